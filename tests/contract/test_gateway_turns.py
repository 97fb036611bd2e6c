"""What one client, or one function, can have the gateway do before it turns to the others: measured in work, not time.

The work of a turn of the loop is the calls of functions in it, as the interpreter's profiler counts them: the same on
every machine. What one call does is bounded by what it is given: a read, a head, a chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fnctl.triggers.http.body import CHUNKS_A_TURN, ChunkedBody
from fnctl.triggers.http.exchange import INTERIMS
from fnctl.triggers.http.head import MAX_FIELDS, RequestParser
from fnctl.triggers.http.limits import Limits
from fnctl.triggers.http.tap import Tap
from tests.contract.gateway_stage import (
    GET,
    HELLO,
    Seen,
    Stage,
    answering,
    app,
    closing,
    play,
    read_request,
    split,
    talk,
)
from tests.contract.test_gateway_refusals import CHUNKED, MALFORMED, POST
from tests.support.turning import turns, until

# Sixteen small requests that are refused take some 2,000, the chunks of a turn 5,000.
MOST_CALLS = 8_000
NOBODY = b"GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n"


class Turns:
    """The most that one turn of the running loop has done, in calls; and the longest one in ms, to be printed only."""

    def __init__(self) -> None:
        self.most = self.calls = 0
        self.longest_ms = 0.0
        self._at = time.perf_counter()
        self._over = False

    def _count(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "c_call"):
            self.calls += 1

    def _turn(self) -> None:
        now = time.perf_counter()
        self.most, self.calls = max(self.most, self.calls), 0
        self.longest_ms, self._at = max(self.longest_ms, (now - self._at) * 1000), now
        if not self._over:
            asyncio.get_running_loop().call_soon(self._turn)

    def tell(self, capsys: pytest.CaptureFixture[str]) -> None:
        with capsys.disabled():
            sys.stdout.write(f" {self.most} calls, {self.longest_ms:.1f} ms (profiled) ")

    @contextlib.asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        self._turn()
        await turns(2)
        self.most, self.longest_ms = 0, 0.0
        sys.setprofile(self._count)
        try:
            yield
        finally:
            sys.setprofile(None)
            self._over = True


def sending(port: int, data: bytes) -> threading.Thread:
    """A client with a thread of its own: what it does is no part of the loop's work. It reads nothing but the end."""

    def send() -> None:
        with socket.create_connection(("127.0.0.1", port)) as client, contextlib.suppress(OSError):
            reading = threading.Thread(target=_drain, args=(client,))
            reading.start()
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            reading.join()

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def _drain(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(1 << 20):
            pass


HOSTILE = {
    "empty lines": b"\r\n" * 500_000 + GET,
    "refused requests": NOBODY * 4_000,
    "pages of the root": GET * 1_000,
    "redirects": b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n" * 3_000,
    "requests that are answered": b"GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n" * 2_000,
    "tiny chunks": CHUNKED.replace(b"/", b"/one/", 1) + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n",
    "tiny chunks to nobody": CHUNKED.replace(b"/", b"/nobody", 1) + b"1\r\nx\r\n" * 100_000,
    "large heads": (b"GET /nobody HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 30_000 + b"\r\n\r\n") * 200,
    "fields": (b"GET /nobody HTTP/1.1\r\nHost: a\r\n" + b"a:b\r\n" * 250 + b"\r\n") * 500,
    "options": (b"GET /nobody HTTP/1.1\r\nHost: a\r\nConnection: " + b"a," * 2000 + b"\r\n\r\n") * 200,
    "segments": (b"GET /one" + b"/." * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 500,
    "escapes": (b"GET /one/" + b"%41" * 1300 + b" HTTP/1.1\r\nHost: a\r\n\r\n") * 500,
    "a body that is refused": POST + b"Content-Length: 99999999\r\n\r\n" + b"x" * (8 << 20),
    "a body": POST.replace(b"/", b"/one/", 1) + b"Content-Length: 8388608\r\n\r\n" + b"x" * (8 << 20),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_one_client_gets_a_small_part_of_a_turn(folder: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    counted = Turns()

    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO))
        await made.add(app("two"), answering(HELLO))
        async with counted.counted():
            client = sending(made.port, data)
            await until(lambda: made.gateway.connections == 1 or not client.is_alive())
            assert (await talk(made, closing(GET.replace(b"/", b"/two/", 1)))).endswith(b"hello")
            await until(lambda: not client.is_alive())

    play(folder, scene)
    counted.tell(capsys)
    assert counted.most < MOST_CALLS


def said(text: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """An agent that answers with these bytes, and stays."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(text)
        await reader.read()

    return handle


TOO_TALKATIVE = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50_000 + HELLO
HOSTILE_ANSWERS = {
    "tiny chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n",
    "informational responses": TOO_TALKATIVE,
    "fields": b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * 6000 + b"\r\n",
    "a large body": b"HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n" + b"x" * (8 << 20),
}


@pytest.mark.parametrize("answer", HOSTILE_ANSWERS.values(), ids=HOSTILE_ANSWERS.keys())
def test_one_function_gets_a_small_part_of_a_turn(
    folder: Path, answer: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = Turns()

    async def scene(made: Stage) -> None:
        await made.add(app("one"), said(answer))
        await made.add(app("two"), answering(HELLO))
        async with counted.counted():
            client = sending(made.port, closing(GET.replace(b"/", b"/one/", 1)))
            assert (await talk(made, closing(GET.replace(b"/", b"/two/", 1)))).endswith(b"hello")
            await until(lambda: len(made.receipts) == 2)
            await until(lambda: not client.is_alive())

    play(folder, scene)
    counted.tell(capsys)
    assert counted.most < MOST_CALLS


def test_a_hundred_informational_responses_pass_and_no_more(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        progress = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        await made.add(app("few"), said(progress * INTERIMS + HELLO))
        await made.add(app("many"), said(progress * (INTERIMS + 1) + HELLO))
        got = await talk(made, closing(GET.replace(b"/", b"/few/", 1)))
        assert (got.count(b" 103 "), got.endswith(b"hello")) == (INTERIMS, True)
        got = await talk(made, closing(GET.replace(b"/", b"/many/", 1)))
        assert b"HTTP/1.1 502 " in got
        assert b"informational" in got

    play(folder, scene)


def test_chunks_are_decoded_so_many_at_once() -> None:
    body, data = ChunkedBody(), b"1\r\nx\r\n" * 2000 + b"0\r\n\r\nrest"
    payload, rest = body.feed(data)
    sizes = [len(payload)]
    while body.behind:
        payload, rest = body.feed(b"")
        sizes.append(len(payload))
    assert (max(sizes), sum(sizes), rest) == (CHUNKS_A_TURN, 2000, b"rest")


def test_chunks_come_out_the_same_however_they_are_cut() -> None:
    chance = random.Random(7)
    for _ in range(50):
        pieces = [bytes([65 + at % 26]) * chance.choice((1, 2, 40)) for at in range(chance.randrange(1, 1500))]
        wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nA: b\r\n\r\nnext"
        body, got, rest = ChunkedBody(), b"", None
        while rest is None:
            size = chance.choice((1, 3, 700, 9000))
            data, wire = (b"", wire) if body.behind else (wire[:size], wire[size:])
            payload, rest = body.feed(data)
            got += payload
        assert (got, rest + wire, body.trailer) == (b"".join(pieces), b"next", b"A: b\r\n")


@pytest.mark.parametrize(("count", "status"), [(MAX_FIELDS - 2, b"200"), (MAX_FIELDS + 1, b"431")])
def test_a_head_has_so_many_fields(folder: Path, count: int, status: bytes) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        line, _, _ = split(await talk(made, closing(GET.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * count + b"\r\n"))))
        assert line.split()[1] == status

    play(folder, scene)


def test_empty_lines_before_a_request_are_ignored_however_many(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        for piece in (b"\r\n" * 100_001, b"\r", b"\n\r\n", b"\r\n\r", b"\n" + closing(GET)):
            writer.write(piece)
            await turns(10)
        assert (await reader.read()).endswith(b"hello")
        writer.close()
        assert (await talk(made, b"\r\n\n" + GET)).startswith(b"HTTP/1.1 400 ")

    play(folder, scene)
    assert len(seen) == 1


class Transport:
    """What a tap does to it."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return False


def test_a_tap_goes_on_once_for_each_rest_and_not_while_it_is_shut() -> None:
    async def scene() -> None:
        transport, went = Transport(), list[int]()
        tap = Tap(transport, lambda: went.append(1))  # type: ignore[arg-type]
        tap.rest()
        tap.rest()
        assert not transport.reading
        await turns(2)
        assert (len(went), transport.reading) == (1, True)
        tap.rest()
        tap.close()
        await turns(2)
        assert (len(went), transport.reading) == (1, False)
        tap.open()
        assert not transport.reading, "there is something to go on with first"
        await turns(2)
        assert (len(went), transport.reading) == (2, True)
        tap.rest()
        tap.reset()
        await turns(2)
        assert (len(went), transport.reading) == (2, True)

    asyncio.run(scene())


FUZZED = [GET, NOBODY, POST + b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", *MALFORMED.values()]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_no_turn_is_long(folder: Path, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests sound and not, repeated, mangled and cut, by several clients at once."""
    chance, counted = random.Random(seed), Turns()

    def hostile() -> bytes:
        pieces = [chance.choice(FUZZED) * chance.choice((1, 1, 50, 5000)) for _ in range(chance.randrange(1, 4))]
        data = bytearray(chance.choice((b"", b"\r\n" * 1000)) + b"".join(pieces))
        for _ in range(chance.choice((0, 0, 1, 5))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO), connections=4)
        async with counted.counted():
            for _ in range(12):
                clients = [sending(made.port, hostile()) for _ in range(4)]
                assert (await talk(made, closing(GET))).endswith(b"hello")
                await until(lambda clients=clients: not any(client.is_alive() for client in clients))  # type: ignore[misc]

    play(folder, scene, Limits(head_s=0.3, body_idle_s=0.3, linger_s=0.3))
    counted.tell(capsys)
    assert counted.most < 4 * MOST_CALLS


@pytest.mark.parametrize("body", [False, True])
def test_many_slow_clients_at_the_same_moment_are_read_a_few_at_a_time(
    folder: Path, body: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each sends a byte, all in one turn of the loop: what they cost the others does not grow with their number."""
    counted, count = Turns(), 300
    request = POST.replace(b"/", b"/one/", 1) + b"Content-Length: 9\r\n\r\n" + b"x" * 9
    cut = len(request) - (9 if body else 20)

    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO))
        await made.add(app("two"), answering(HELLO))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", made.port))) for _ in range(count)]
            sent = cut
            for client in clients:
                client.sendall(request[:cut])
            await until(lambda: made.gateway.connections == count)
            while made.gateway.slow < count:
                for client in clients:
                    client.sendall(request[sent : sent + 1])
                sent += 1
                await turns(3 * count)  # all of it is read
            async with counted.counted():
                for client in clients:
                    client.sendall(request[sent : sent + 1])
                assert (await talk(made, closing(GET.replace(b"/", b"/two/", 1)))).endswith(b"hello")
                await turns(50)
            for client in clients:
                client.sendall(request[sent + 1 :])
            await until(lambda: len(made.receipts) == count + 1)
            assert made.gateway.slow == 0
            for client in clients:
                assert client.recv(12) == b"HTTP/1.1 200"

    play(folder, scene)
    counted.tell(capsys)
    assert counted.most < 1200


def test_the_largest_head_is_parsed_at_the_cost_of_its_size() -> None:
    """Where a field names all others, say: nothing looks at each of them for each of them."""
    names = b", ".join(b"f%d" % number for number in range(MAX_FIELDS - 4))
    lines = b"".join(b"f%d: x\r\n" % number for number in range(MAX_FIELDS - 4))
    data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + names + b"\r\n" + lines + b"\r\n"
    assert RequestParser().parse(data, len(data)).fields.forward == b"Host: a\r\nX-Forwarded-Host: a\r\n"

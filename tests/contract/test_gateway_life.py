"""Lives and ends: queues, deadlines, slow and vanishing clients, drain. Deadlines here are short."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import Counter
from pathlib import Path

import pytest

from fnctl.errors import ConflictError
from fnctl.model import Function
from fnctl.triggers.http.gateway import Gateway
from fnctl.triggers.http.limits import Limits
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
from tests.support.turning import until

QUICK = Limits(head_s=0.1, body_idle_s=0.1, reader_stall_s=0.2, keep_alive_s=0.1, linger_s=0.1)
QUEUE_S, TICK_S = 0.1, 0.01


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes requests and never answers."""
    await read_request(reader)
    await reader.read()


def test_a_waiting_request_gets_the_next_free_instance(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(HELLO))
        held = site.take()
        assert held is not None
        asking = asyncio.create_task(talk(made, closing(GET)))
        await until(lambda: len(site.waiters) == 1)
        held.release(reusable=True)
        assert (await asking).endswith(b"hello")

    play(folder, scene)


def test_a_full_queue_answers_429(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        function = Function("app", folder, "node24", "index.js", queue=1)
        site = await made.add(function, answering(HELLO))
        held = site.take()
        assert held is not None
        first = asyncio.create_task(talk(made, closing(GET)))
        await until(lambda: len(site.waiters) == 1)
        line, fields, _ = split(await talk(made, closing(GET)))
        assert (line, fields[b"retry-after"]) == (b"HTTP/1.1 429 Too Many Requests", b"1")
        held.release(reusable=True)
        assert (await first).endswith(b"hello")

    made = play(folder, scene)
    assert sorted(receipt.verdict for receipt in made.receipts) == ["ok", "queue_full"]


def test_queue_and_handler_have_their_own_deadlines(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(timeout_s=0.1), silent)
        running = asyncio.create_task(talk(made, closing(GET)))
        await until(lambda: len(site.leases) == 1)
        waiting = asyncio.create_task(talk(made, closing(GET)))
        codes = [json.loads(split(got)[2])["error"]["code"] for got in await asyncio.gather(running, waiting)]
        assert codes[0] == "timeout"
        assert codes[1] in ("queue_timeout", "timeout")
        reusable, error = site.leases[0].released[0]
        assert (reusable, error.code if error else None) == (False, "timeout")

    play(folder, scene, QUICK, queue_s=QUEUE_S, tick_s=TICK_S)


def test_a_queue_timeout_leaves_the_queue(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(timeout_s=0.1), answering(HELLO))
        held = site.take()
        assert held is not None
        line, _, body = split(await talk(made, closing(GET)))
        assert line == b"HTTP/1.1 504 Gateway Timeout"
        assert json.loads(body)["error"]["code"] == "queue_timeout"
        assert (site.cancelled, len(site.waiters)) == (1, 0)
        held.release(reusable=True)

    made = play(folder, scene, QUICK, queue_s=QUEUE_S, tick_s=TICK_S)
    assert (made.receipts[0].start, made.receipts[0].handler_ms) == (None, 0.0)


def test_a_lost_connection_before_any_byte_is_retried_once(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(HELLO), connections=2)
        site.free[-1].close()  # the next to be leased: closing, though nobody was told yet
        line, _, _ = split(await talk(made, closing(GET)))
        assert line == b"HTTP/1.1 200 OK"

    play(folder, scene)


@pytest.mark.parametrize("where", ["queued", "running", "streaming", "sending"])
def test_a_client_that_leaves_frees_what_it_held(folder: Path, where: str) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if where == "streaming":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await reader.read()

    async def scene(made: Stage) -> None:
        site = await made.add(app(), endless)
        held = site.take() if where == "queued" else None
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000
        writer.write(body if where == "sending" else GET)
        if where == "queued":
            await until(lambda: len(site.waiters) == 1)
        elif where == "streaming":
            await reader.readuntil(b"hello\r\n")
        else:
            await until(lambda: len(site.leases) == 1)
        writer.transport.abort()
        await until(lambda: made.gateway.in_flight == 0)
        if held is not None:
            assert (site.cancelled, len(site.waiters)) == (1, 0)
            held.release(reusable=True)
        else:
            assert site.leases[0].released == [(False, None)]

    made = play(folder, scene)
    assert [receipt.verdict for receipt in made.receipts] == ["client_gone"]


SLOW_POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"", b""),
        (b"GET / HT", b"HTTP/1.1 408 Request Timeout"),
        (SLOW_POST, b"HTTP/1.1 408 Request Timeout"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", b"HTTP/1.1 408 Request Timeout"),
        (GET, b"HTTP/1.1 200 OK"),  # and then idle
    ],
)
def test_slow_clients_are_let_go(folder: Path, data: bytes, answer: bytes) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(HELLO))
        got = await talk(made, data)  # returns: the gateway ends it
        assert got.partition(b"\r\n")[0] == answer
        if data == SLOW_POST:
            assert site.leases == [], "a slow sender holds no instance"

    play(folder, scene, QUICK, queue_s=QUEUE_S, tick_s=TICK_S)


def test_a_reader_that_stalls_is_cut_off(folder: Path) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def scene(made: Stage) -> None:
        await made.add(app(), flood)
        with socket.create_connection(("127.0.0.1", made.port)) as client:
            client.sendall(GET)
            await until(lambda: made.gateway.in_flight == 1)
            await until(lambda: made.gateway.in_flight == 0)

    made = play(folder, scene, QUICK, queue_s=QUEUE_S, tick_s=TICK_S)
    assert [receipt.verdict for receipt in made.receipts] == ["client_gone"]


PATIENT = Limits(head_s=1.0, body_idle_s=1.0, reader_stall_s=1.0, keep_alive_s=1.0, linger_s=0.1)
SENDERS, READERS = 480, 40
FLOOD = b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_thousand_slow_clients_are_let_go_and_the_others_served_meanwhile(folder: Path) -> None:
    """Some do not end their head, some not their body, and some do not read what they asked for."""

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/flood" not in (await read_request(reader)).line:
            writer.write(HELLO)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def scene(made: Stage) -> None:
        await made.add(app(), agent, connections=READERS + 4)
        sent = [*[b"GET / HT"] * SENDERS, *[SLOW_POST] * SENDERS, *[FLOOD] * READERS]
        slow = [await slow_client(made.port, data) for data in sent]
        try:
            answered = 0
            while made.gateway.connections > 1 or answered < 100:
                assert (await talk(made, closing(GET))).endswith(b"hello")
                answered += 1
            await until(lambda: made.gateway.connections == 0)  # the last of them may still be let go
            told = Counter(client.recv(12) for client in slow)
        finally:
            for client in slow:
                client.close()
        assert told == {b"HTTP/1.1 408": 2 * SENDERS, b"HTTP/1.1 200": READERS}

    made = play(folder, scene, PATIENT, tick_s=TICK_S)
    assert Counter(receipt.verdict for receipt in made.receipts)["client_gone"] == READERS


async def slow_client(port: int, data: bytes) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    client.sendall(data)
    return client


def test_drain_lets_work_end_and_takes_no_more(folder: Path) -> None:
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await go.wait()
        writer.write(HELLO)
        await reader.read()

    async def scene(made: Stage) -> None:
        await made.add(app(), slow)
        _, idle = await asyncio.open_connection("127.0.0.1", made.port)
        asking = asyncio.create_task(talk(made, GET))
        await until(lambda: made.gateway.in_flight == 1)
        draining = asyncio.create_task(made.gateway.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", made.port)
        go.set()
        line, fields, body = split(await asking)
        assert (line, fields[b"connection"], body) == (b"HTTP/1.1 200 OK", b"close", b"hello")
        assert await draining is True
        idle.close()

    play(folder, scene)


def test_who_has_connected_when_it_drains_is_answered(folder: Path) -> None:
    """One that was accepted and has not asked yet, and some that the kernel took and nobody has accepted."""

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        idle = await slow_client(made.port, b"")
        early = await slow_client(made.port, b"")
        await until(lambda: made.gateway.connections == 2)
        unaccepted = [socket.create_connection(("127.0.0.1", made.port)) for _ in range(5)]  # the loop stands still
        for client in unaccepted:
            client.sendall(GET)
        draining = asyncio.create_task(made.gateway.drain(10))
        await asyncio.sleep(0)
        early.sendall(GET)
        for client in (early, *unaccepted):
            client.setblocking(False)
            assert (await asyncio.get_running_loop().sock_recv(client, 4096)).startswith(b"HTTP/1.1 200 OK")
            client.close()
        assert await draining is True, "the one that asks nothing is let go"
        idle.close()

    play(folder, scene)


def test_drain_is_bounded(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), silent)
        asking = asyncio.create_task(talk(made, GET))
        await until(lambda: made.gateway.in_flight == 1)
        assert await made.gateway.drain(0.05) is False
        with contextlib.suppress(ConnectionError):
            assert await asking == b""

    assert len(play(folder, scene).receipts) == 1


def test_a_port_in_use_is_named_with_its_holder(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        with pytest.raises(ConflictError) as caught:
            await made.gateway.start("127.0.0.1", made.port)
        assert f"port {made.port}" in caught.value.message
        assert "(pid " in caught.value.message
        assert caught.value.hint

    play(folder, scene)


@pytest.mark.own_connection
def test_bytes_between_requests_end_the_connection(folder: Path) -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(HELLO)
        await writer.drain()
        await told.wait()
        writer.write(HELLO)
        await reader.read()

    told = asyncio.Event()

    async def scene(made: Stage) -> None:
        site = await made.add(app(), chatty)
        await talk(made, closing(GET))
        spoiled = site.free[0]
        told.set()
        await until(lambda: bool(site.free) and site.free[0] is not spoiled)

    play(folder, scene)


def test_replaced_routes_count_for_the_next_request(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO, seen))
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(GET)
        await reader.readuntil(b"hello")
        made.routes.replace([])
        writer.write(b"GET /one/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404 ")
        writer.close()

    play(folder, scene)
    assert len(seen) == 1


@pytest.mark.parametrize("lingers", [struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)], ids=["ends", "resets"])
def test_what_a_client_had_sent_ahead_is_dropped_with_it(folder: Path, lingers: bytes) -> None:
    """It ends the connection while its first request runs: the second is nobody's by then."""
    seen: list[Seen] = []

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        await reader.read()

    async def scene(made: Stage) -> None:
        await made.add(app(), never, connections=2)
        _, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(GET + GET)
        await until(lambda: len(seen) == 1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingers)
        writer.transport.abort()
        await until(lambda: len(made.receipts) >= 1 and made.gateway.in_flight == 0)

    made = play(folder, scene)
    assert [receipt.verdict for receipt in made.receipts] == ["client_gone"]
    assert len(seen) == 1


def test_who_keeps_a_connection_is_told_before_another_takes_over_the_sockets(folder: Path) -> None:
    """No request of theirs is lost; one that comes when nobody accepts waits for the next gateway."""

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO), connections=2)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(GET)
        await reader.readuntil(b"hello")
        made.gateway.hand_on()
        draining = asyncio.create_task(made.gateway.drain(10))
        await asyncio.sleep(0)  # it waits for this client, whose connection it would end under the next request
        line, fields, body = split(await talk(made, GET))
        assert (line, fields[b"connection"], body) == (b"HTTP/1.1 200 OK", b"close", b"hello")
        writer.write(GET)
        line, fields, body = split(await reader.read())
        assert (line, fields[b"connection"], body) == (b"HTTP/1.1 200 OK", b"close", b"hello")
        writer.close()
        assert await draining is True
        waiting = asyncio.create_task(talk(made, closing(GET)))
        await asyncio.sleep(0)
        (listener,) = made.gateway.kept
        following = Gateway(made.invocations, made.routes)
        await following.start_on([listener])
        assert split(await waiting)[2] == b"hello"
        assert listener.getsockname()[1] == made.port
        await following.close()
        listener.close()

    play(folder, scene)

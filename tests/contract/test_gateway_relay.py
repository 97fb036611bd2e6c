"""The relay, byte for byte: real sockets on both sides, odd but valid messages in both directions."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from fnctl.model import Model, StartKind
from tests.contract.gateway_stage import (
    GET,
    HELLO,
    Seen,
    Stage,
    answering,
    app,
    closing,
    echo,
    play,
    read_request,
    split,
    talk,
)
from tests.support.turning import until


def test_a_request_and_its_receipt(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        request = b"POST /x%20y?q=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\nX-Fnctl-Params: no\r\n\r\nabc"
        line, fields, body = split(await talk(made, closing(request)))
        assert (line, body) == (b"HTTP/1.1 200 OK", b"hello")
        assert re.fullmatch(
            rb"start;desc=warm, queue;dur=0.0, container;dur=0.0, runtime;dur=0.0, load;dur=0.0, handler;dur=[0-9.]+",
            fields[b"server-timing"],
        )
        assert fields[b"connection"] == b"close"
        assert fields[b"date"].endswith(b"GMT")
        assert fields[b"x-fnctl-invocation-id"].decode() == made.receipts[0].id

    made = play(folder, scene)
    (request,) = seen
    assert (request.line, request.body) == (b"POST /x%20y?q=1 HTTP/1.1", b"abc")
    assert request.all(b"x-fnctl-params") == []
    assert request.one(b"host") == request.one(b"x-forwarded-host") == b"a:1"
    assert request.one(b"x-forwarded-for") == b"127.0.0.1"
    assert request.one(b"x-forwarded-proto") == b"http"
    (receipt,) = made.receipts
    assert request.one(b"x-fnctl-invocation-id").decode() == receipt.id
    assert abs(int(request.one(b"x-fnctl-deadline-ms")) - (receipt.at + 20) * 1000) < 1000
    assert (receipt.function, receipt.status, receipt.verdict, receipt.start) == ("app", 200, "ok", StartKind.WARM)
    assert (receipt.method, receipt.path, receipt.instance) == ("POST", "/x%20y?q=1", "i-1")
    assert receipt.total_ms >= receipt.handler_ms > 0


def test_a_connection_is_used_again_on_both_sides(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(HELLO, seen))
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        for _ in range(3):
            writer.write(GET)
            await reader.readuntil(b"hello")
        writer.close()
        assert [lease.released for lease in site.leases] == [[(True, None)]] * 3

    play(folder, scene)
    assert len(seen) == 3


def test_pipelined_requests_are_answered_in_order(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), echo)
        requests = b"".join(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            for body in (b"one", b"two", b"", b"four" * 10000)
        )
        got = await talk(made, requests + b"\r\n" + closing(GET))
        bodies = re.split(rb"HTTP/1\.1 200 OK\r\n.*?\r\n\r\n", got, flags=re.DOTALL)
        assert bodies == [b"", b"one", b"two", b"", b"four" * 10000, b""]

    play(folder, scene)


@pytest.mark.parametrize(
    ("response", "body", "extra"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", (b"content-length", None)),
        (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", b"", (b"etag", b"x")),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", (b"content-length", b"9")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", (b"content-length", b"0")),
        (b"HTTP/1.1 404 Nope\r\nContent-Length: 2\r\nX-A: \xc3\xa9\r\n\r\nno", b"no", (b"x-a", b"\xc3\xa9")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x00\xff\r\n", b"\x00\xff\r\n", (b"content-length", b"4")),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO, b"hello", (b"content-length", b"5")),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n",
            b"6\r\nhello!\r\n0\r\nX-Sum: 1\r\n\r\n",
            (b"transfer-encoding", b"chunked"),
        ),
    ],
)
def test_responses_keep_their_meaning(
    folder: Path, response: bytes, body: bytes, extra: tuple[bytes, bytes | None]
) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(response))
        _, fields, got = split(await talk(made, closing(GET)))
        assert got == body
        assert fields.get(extra[0]) == extra[1]
        assert site.leases[0].released == [(True, None)]

    play(folder, scene)


def test_the_answer_to_head_has_no_body(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"))
        _, fields, body = split(await talk(made, closing(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")))
        assert (fields[b"content-length"], body) == (b"5", b"")

    play(folder, scene)


def test_a_response_without_length_ends_with_its_connection(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), answering(b"HTTP/1.1 200 OK\r\n\r\nhello", close=True))
        _, fields, body = split(await talk(made, GET, until=b"0\r\n\r\n"))
        assert (fields[b"transfer-encoding"], body) == (b"chunked", b"5\r\nhello\r\n0\r\n\r\n")
        assert site.leases[0].released == [(False, None)]
        await until(lambda: bool(site.free))
        _, fields, body = split(await talk(made, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"))
        assert (fields[b"connection"], body) == (b"close", b"hello")

    play(folder, scene)


def test_http_1_0_is_spoken(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        _, fields, body = split(await talk(made, b"GET / HTTP/1.0\r\n\r\n"))
        assert (fields[b"connection"], body) == (b"close", b"hello")
        got = await talk(made, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2 + b"GET / HTTP/1.0\r\n\r\n")
        assert got.count(b"Connection: keep-alive") == 2
        assert got.count(b"hello") == 3

    play(folder, scene)


def test_chunked_requests_stream_with_trailers(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        await talk(made, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n")

    play(folder, scene)
    assert seen[0].body == b"abcde"
    assert seen[0].one(b"trailer:X-Sum".lower()) == b"1"
    assert seen[0].all(b"trailer:host") == []


def test_a_chunked_conversation_flows_before_the_request_ends(folder: Path) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2):
            size = int(await reader.readline(), 16)
            writer.write(b"%x\r\n%b\r\n" % (size, await reader.readexactly(size)))
            await reader.readline()
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async def scene(made: Stage) -> None:
        await made.add(app(), converse)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await reader.readuntil(b"one\r\n")
        writer.write(b"3\r\ntwo\r\n")
        await reader.readuntil(b"two\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    play(folder, scene)


def test_continue_is_answered_before_the_body_comes(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
        writer.close()

    play(folder, scene)
    assert seen[0].all(b"expect") == []


def test_large_bodies_go_both_ways_under_backpressure(folder: Path) -> None:
    size = 12 * 1024 * 1024
    data = bytes(range(256)) * (size // 256)

    async def scene(made: Stage) -> None:
        await made.add(app(), echo)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(data)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(size) == data
        writer.close()

    play(folder, scene)


def test_events_are_not_held_back(folder: Path) -> None:
    go = asyncio.Event()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"9\r\ndata: 1\n\n\r\n")
        await go.wait()
        writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
        await reader.read()

    async def scene(made: Stage) -> None:
        await made.add(app(), events)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(GET)
        await reader.readuntil(b"data: 1\n\n\r\n")
        go.set()
        await reader.readuntil(b"data: 2\n\n\r\n")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    play(folder, scene)


def _websocket(upgrade: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %b\r\nSec-WebSocket-Key: k\r\n\r\n" % upgrade


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await read_request(reader)
    if not request.all(b"upgrade"):
        writer.write(HELLO)
        await reader.read()
        return
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-A: 1\r\n\r\nfirst"
    )
    while data := await reader.read(1000):
        writer.write(data.upper())


def test_a_websocket_is_a_tunnel(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), tunnel)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(_websocket(b"websocket"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nUpgrade: websocket\r\n" in head
        assert await reader.readexactly(5) == b"first"
        writer.write(b"raw \x00 bytes")
        assert await reader.readexactly(11) == b"RAW \x00 BYTES"
        writer.close()
        await until(lambda: not made.gateway.in_flight)
        assert site.leases[0].released == [(False, None)]

    made = play(folder, scene)
    assert made.receipts[0].status == 101


@pytest.mark.parametrize(("upgrade", "model"), [(b"h2c", Model.RESIDENT), (b"websocket", Model.EPHEMERAL)])
def test_other_upgrades_are_ignored(folder: Path, upgrade: bytes, model: Model) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(model=model), tunnel)
        assert (await talk(made, _websocket(upgrade), until=b"hello")).startswith(b"HTTP/1.1 200 OK")

    play(folder, scene)


def test_by_name_over_the_unix_socket(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        assert made.socket.stat().st_mode & 0o777 == 0o600
        reader, writer = await asyncio.open_unix_connection(str(made.socket))
        writer.write(b"GET /app/x?y HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"hello")
        writer.close()

    play(folder, scene)
    assert seen[0].line == b"GET /x?y HTTP/1.1"
    assert seen[0].one(b"x-forwarded-prefix") == b"/app"


def test_the_index_lists_functions(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO))
        await made.add(app("two"), answering(HELLO))
        asks = b"GET / HTTP/1.1\r\nHost: localhost:1\r\nAccept: application/json\r\n\r\n"
        _, _, body = split(await talk(made, closing(asks)))
        assert [each["name"] for each in json.loads(body)["functions"]] == ["one", "two"]
        line, fields, _ = split(await talk(made, closing(b"GET /one?a HTTP/1.1\r\nHost: a\r\n\r\n")))
        assert (line, fields[b"location"]) == (b"HTTP/1.1 308 Permanent Redirect", b"/one/?a")

    play(folder, scene)

"""Answers that are none, that break off, or that an agent gives for its function: what the client is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from tests.contract.gateway_stage import (
    GET,
    HELLO,
    Handler,
    Stage,
    answering,
    app,
    closing,
    play,
    read_request,
    split,
    talk,
    unread,
)
from tests.support.turning import until


def _handler(response: bytes) -> Handler:
    return answering(response, close=True)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (b"garbage\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 40000, "bad_response"),
        (HELLO + HELLO, "protocol"),
        (b"HTTP/1.1 500 E\r\nX-Fnctl-Error: crash\r\nContent-Length: 20000\r\n\r\n" + b"[" * 20000, "protocol"),
        (b"HTTP/1.1 500 E\r\nX-Fnctl-Error: crash\r\n\r\n" + b"[" * 20000, "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad_response"),
        (b"", "oom"),
        (b"HTTP/1.1 200", "oom"),
    ],
)
def test_bad_responses_become_502(folder: Path, response: bytes, code: str) -> None:
    async def scene(made: Stage) -> None:
        site = await made.add(app(), _handler(response))
        line, fields, body = split(await talk(made, closing(GET)))
        assert line == b"HTTP/1.1 502 Bad Gateway"
        assert fields[b"content-type"] == b"application/json"
        error = json.loads(body)["error"]
        assert error["code"] == code
        assert error["invocation"] == fields[b"x-fnctl-invocation-id"].decode() == made.receipts[0].id
        ((reusable, why),) = site.leases[0].released
        assert (reusable, why.code if why else None) == (False, code)

    made = play(folder, scene)
    assert (made.receipts[0].status, made.receipts[0].verdict) == (502, code)


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 9\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"],
)
def test_a_response_that_breaks_off_is_not_made_to_look_whole(folder: Path, rest: bytes) -> None:
    async def scene(made: Stage) -> None:
        async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            head, _, body = rest.partition(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body[:3])
            await sent.wait()
            writer.write(body[3:])

        sent = asyncio.Event()
        await made.add(app(), slowly)
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        sent.set()
        got = b""
        with contextlib.suppress(ConnectionError):
            got = await reader.read(-1)
        assert not got.endswith(b"0\r\n\r\n")
        assert len(got) < 12
        writer.close()

    made = play(folder, scene)
    assert made.receipts[0].verdict in ("oom", "bad_response")


@pytest.mark.parametrize(("code", "status"), [(b"crash", b"500"), (b"bad_response", b"502")])
@pytest.mark.parametrize("cut", [False, True])
def test_an_agents_own_error_is_told(folder: Path, code: bytes, status: bytes, cut: bool) -> None:
    said = b'{"error":{"type":"TypeError","message":"x is undefined"}}'
    head = b"HTTP/1.1 %b E\r\nX-Fnctl-Error: %b\r\nContent-Length: %d\r\n\r\n" % (status, code, len(said))

    async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head if cut else head + said)
        if cut:
            await until(lambda: unread(writer) == 0)  # two reads on the other side
            writer.write(said)
        await reader.read()

    async def scene(made: Stage) -> None:
        site = await made.add(app(), failing)
        line, fields, body = split(await talk(made, closing(GET)))
        assert line == b"HTTP/1.1 502 Bad Gateway"
        assert b"x-fnctl-error" not in fields
        error = json.loads(body)["error"]
        assert (error["code"], "TypeError: x is undefined" in error["message"]) == (code.decode(), True)
        assert site.leases[0].released == [(True, None)]

    made = play(folder, scene)
    assert made.receipts[0].verdict == code.decode()

"""What the gateway refuses, on the wire: each with its status, none of it forwarded, and the connection's end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnctl.triggers.http.limits import Limits
from tests.contract.gateway_stage import GET, HELLO, Seen, Stage, answering, app, closing, play, split, talk

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

MALFORMED = {
    "both lengths": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd" + GET,
    "odd coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding with a tab": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "plus": POST + b"Content-Length: +5\r\n\r\nhello",
    "hex": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF inside": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "path above the root": b"GET /%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "chunk extension": CHUNKED + b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "chunk size with a plus": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk with a bare LF": CHUNKED + b"5\nhello\n0\n\n",
    "chunk longer than said": CHUNKED + b"4\r\nhello\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests_are_answered_400_and_never_forwarded(folder: Path, data: bytes) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        got = await talk(made, data + GET)  # returns: the gateway ends the connection
        line, fields, body = split(got)
        assert line == b"HTTP/1.1 400 Bad Request"
        assert fields[b"connection"] == b"close"
        error = json.loads(body)["error"]
        assert error["code"] == "bad_request"
        assert error["invocation"] == fields[b"x-fnctl-invocation-id"].decode()

    play(folder, scene)
    assert seen == []


def test_one_bad_request_in_a_pipeline_ends_it_after_the_good_ones(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        got = await talk(made, GET + GET + MALFORMED["two hosts"] + GET)
        assert (got.count(b"200 OK"), got.count(b"400 Bad")) == (2, 1)

    play(folder, scene)
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000, 431),
        (b"GET /" + b"a" * 40000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 10000 + b"\r\n", 431),
        (POST + b"Content-Length: 2000\r\n\r\n", 413),
        (POST + b"Content-Length: 2000\r\n\r\n" + b"x" * 2000, 413),
        (CHUNKED + b"5dc\r\n" + b"x" * 1500 + b"\r\n0\r\n\r\n", 413),
    ],
)
def test_what_is_too_large(folder: Path, data: bytes, status: int) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        line, fields, _ = split(await talk(made, data))
        assert line.startswith(b"HTTP/1.1 %d " % status)
        assert fields[b"connection"] == b"close"

    made = play(folder, scene, Limits(body_bytes=1000))
    assert seen == []
    assert [receipt.status for receipt in made.receipts] == ([413] if status == 413 else [])


def test_a_function_may_take_larger_bodies_than_others(folder: Path) -> None:
    """`max_body`: what is larger than the gateway's own limit is passed on, and what is larger than this is refused."""
    seen: list[Seen] = []
    large = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"

    async def scene(made: Stage) -> None:
        await made.add(replace(app(), max_body_mb=1), answering(HELLO, seen))
        line, _, _ = split(await talk(made, closing(large % (1 << 20, b"x" * (1 << 20)))))
        assert line == b"HTTP/1.1 200 OK"
        line, _, body = split(await talk(made, closing(large % ((1 << 20) + 1, b""))))
        assert line.startswith(b"HTTP/1.1 413 ")
        assert b"max_body" in body

    play(folder, scene, Limits(body_bytes=1000))
    assert len(seen) == 1


def test_load_balancers_are_answered_whatever_they_say(folder: Path) -> None:
    """HAProxy asks in HTTP/1.0 without a Host, others by the machine's address. A function gets a Host all the same."""
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        for line in (b"GET /_fnctl/health HTTP/1.0", b"OPTIONS * HTTP/1.0"):
            assert (await talk(made, line + b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert seen == []
        by_address = b"GET /_fnctl/health HTTP/1.1\r\nHost: 10.0.0.7\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n"
        assert (await talk(made, closing(by_address))).startswith(b"HTTP/1.1 200 OK")
        assert (await talk(made, b"OPTIONS / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert [one.all(b"host") for one in seen] == [[b"localhost"]]

    play(folder, scene)


def test_unknown_addresses_and_methods(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO))
        await made.add(app("two"), answering(HELLO))
        got = await talk(made, b"GET /nobody HTTP/1.1\r\nHost: a\r\n\r\n" + closing(GET))
        line, _, body = split(got)
        assert line == b"HTTP/1.1 404 Not Found"
        assert b"http://one.localhost/" in body
        assert got.count(b"HTTP/1.1 ") == 2, "a well-formed request to nobody costs nobody the connection"

    assert play(folder, scene).receipts == []


def test_the_answer_to_a_refused_head_request_has_no_body(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        got = await talk(made, closing(b"HEAD /nobody HTTP/1.1\r\nHost: a\r\n\r\n"))
        assert got.startswith(b"HTTP/1.1 404 ")
        assert got.endswith(b"\r\n\r\n")

    play(folder, scene)


def test_a_hundred_thousand_tiny_chunks(folder: Path) -> None:
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        got = await talk(made, closing(CHUNKED) + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 200 OK")

    play(folder, scene)
    assert seen[0].body == b"x" * 100_000


WHOLE = POST + b"Content-Length: 5\r\n\r\nhello" + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3)), min_size=1, max_size=4))
def test_mangled_bytes_never_reach_a_function_as_another_request(folder: Path, edits: list[tuple[int, bytes]]) -> None:
    """The agent's reader is strict: an assertion or a parse error in it fails the scene."""
    data = WHOLE
    for at, piece in edits:
        data = data[:at] + piece + data[at + 1 :]
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO, seen))
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        writer.write(data)
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(0.03):
                while piece := await reader.read(65536):
                    got += piece
        writer.close()
        assert got.count(b"HTTP/1.1 200 OK") <= len(seen)

    made = play(folder, scene)
    (folder / "app.sock").unlink(missing_ok=True)
    assert len([receipt for receipt in made.receipts if receipt.start]) == len(seen)

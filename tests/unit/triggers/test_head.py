"""Heads and bodies as pure values: what is refused, what is sent on, and that no way of cutting the input matters."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.ids import InvocationIds
from fnctl.dispatch.receipts import served_receipt
from fnctl.errors import FunctionError, UsageError
from fnctl.model import Receipt, StartKind
from fnctl.triggers.http.body import ChunkedBody, CountedBody, chunk, last_chunk
from fnctl.triggers.http.head import (
    CHUNKED,
    UNTIL_CLOSE,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    hopeless,
)


def request(head: bytes) -> RequestHead:
    return RequestParser().parse(head, len(head))


def response(head: bytes) -> ResponseHead:
    return ResponseParser().parse(head, len(head))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: empty name\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\nHost: a\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_malformed_requests_are_refused(head: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        request(head)
    assert caught.value.code == "bad_request"


def test_what_is_forwarded_of_a_request() -> None:
    head = request(
        b"POST /x HTTP/1.1\r\nHost: a:1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
        b"Proxy: evil\r\nX-Fnctl-Params: a=1\r\nx_fnctl_params: a=1\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=1\r\n"
        b"content_length: 3\r\nTransfer-Encoding: Chunked\r\nCookie: a=b; c=d\r\nx_own: kept\r\nEmpty:\r\n\r\n"
    )
    assert head.fields.forward == (
        b"Host: a:1\r\nX-Forwarded-Host: a:1\r\nCookie: a=b; c=d\r\nx_own: kept\r\nEmpty:\r\n"
    )
    assert head.fields.length == CHUNKED
    assert not head.fields.keep_alive


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_keep_alive(head: bytes, keep_alive: bool) -> None:
    assert request(head).fields.keep_alive is keep_alive


def test_an_absolute_target_names_the_host() -> None:
    head = request(b"GET http://b:2?q HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n")
    assert (head.target, head.fields.host) == (b"/?q", b"b:2")
    assert head.fields.forward == b"Host: b:2\r\nX-Forwarded-Host: b:2\r\nX: 1\r\n"


def test_only_websockets_are_upgrades() -> None:
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: %b\r\n\r\n"
    assert request(upgrade % b"WebSocket").fields.websocket
    assert not request(upgrade % b"h2c").fields.websocket


def test_a_parser_keeps_nothing_of_another_head() -> None:
    parser = RequestParser()
    for host, minor in ((b"a", b"1"), (b"a", b"0"), (b"b", b"1"), (b"b", b"1")):
        head = b"GET / HTTP/1.%b\r\nHost: %b\r\n\r\n" % (minor, host)
        parsed = parser.parse(head, len(head))
        assert (parsed.fields.host, parsed.fields.keep_alive) == (host, minor == b"1")


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 600 No\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_malformed_responses_are_refused(head: bytes) -> None:
    with pytest.raises(FunctionError) as caught:
        response(head)
    assert caught.value.code == "bad_response"


def test_what_is_returned_of_a_response() -> None:
    head = response(
        b"HTTP/1.1 201 \r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
        b"X-Fnctl-Error: crash\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nDate: now\r\n\r\n"
    )
    assert head.fields.forward == b"Set-Cookie: a\r\nSet-Cookie: b\r\nDate: now\r\n"
    assert (head.status, head.fields.length, head.fields.error, head.fields.dated) == (201, UNTIL_CLOSE, b"crash", True)


@pytest.mark.parametrize(
    ("start", "lost"),
    [(b"GET / HTTP/1.1\r", False), (b"GET / HTTP/1.1\n", True), (b"\x16\x03\x01", True), (b"GET / HT\r\n\r", False)],
)
def test_beginnings_that_cannot_become_a_head(start: bytes, lost: bool) -> None:
    assert hopeless(start) is lost


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [piece for piece in [*pieces, data] if piece]


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(1, 9), max_size=60), st.booleans()
)
def test_chunked_bodies_are_the_same_however_they_are_cut(parts: list[bytes], sizes: list[int], trailed: bool) -> None:
    trailer = b"X-Sum: 1\r\n" if trailed else b""
    data = b"".join(chunk(part) for part in parts) + last_chunk(trailer) + b"NEXT"
    body, got, rest = ChunkedBody(), b"", None
    for piece in cut(data, sizes):
        if rest is not None:
            rest += piece
            continue
        payload, rest = body.feed(piece)
        got += payload
    assert (got, rest, body.trailer) == (b"".join(parts), b"NEXT", trailer)


@pytest.mark.parametrize(
    "data",
    [
        b"5;ext=1\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n",
        b"\r\n",
        b"-1\r\n",
        b"FFFFFFFFF\r\n",
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\nX: " + b"a" * 9000,
    ],
)
def test_malformed_chunked_coding_is_refused_however_it_is_cut(data: bytes) -> None:
    for step in (1, 3, len(data)):
        body = ChunkedBody()
        with pytest.raises(ValueError, match="malformed"):
            for start in range(0, len(data), step):
                body.feed(data[start : start + step])


def test_trailers_cannot_smuggle_what_heads_may_not() -> None:
    body = ChunkedBody()
    block = b"Content-Length: 5\r\nx-fnctl-params: a\r\nX-Sum: 1\r\nHost: b\r\n"
    _, rest = body.feed(b"0\r\n" + block + b"\r\n")
    assert (rest, body.trailer) == (b"", b"X-Sum: 1\r\n")


def test_a_counted_body_ends_where_it_said() -> None:
    body = CountedBody(5)
    assert body.feed(b"hel") == (b"hel", None)
    assert body.feed(b"loGET") == (b"lo", b"GET")


def test_a_served_receipt_has_every_field_in_its_place() -> None:
    class Warm:
        connection = None
        instance, function, version, start = "i-1", "app", "0123", StartKind.WARM
        queue_ms, container_ms, runtime_ms, load_ms = 1.0, 2.0, 3.0, 4.0

    made = served_receipt("id", cast(Lease, Warm()), 200, "ok", 9.0, 5.2, 6.0, "GET", "/", None)
    assert made == Receipt(
        id="id", function="app", version="0123", start=StartKind.WARM, status=200, verdict="ok", at=9.0, queue_ms=1.0,
        container_ms=2.0, runtime_ms=3.0, load_ms=4.0, handler_ms=5.2, total_ms=6.0, billed_ms=6, instance="i-1",
        method="GET", path="/",
    )  # fmt: skip


def test_ids_are_unique_and_sorted_even_when_the_clock_steps_back() -> None:
    ids = InvocationIds()
    made = [ids(at) for at in (1_700_000_000.0, 1_700_000_000.0, 1_600_000_000.0, 1_700_000_000.5)]
    made += [ids(1_700_000_001.0) for _ in range(5000)]
    assert made == sorted(set(made))
    assert {len(each) for each in made} == {26}

"""The client's side of a connection: reads requests, one after the other, and hands each to an Exchange.

A connection is in one of four phases, each with at most one deadline (the function's own is the Exchange's):
head (idle, or a part of one) → hold (the first part of a body) → serving → head …; at the end lingering.
Long for one file: every phase shares the buffer, the deadline and the one way to write, and has one owner.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from typing import cast

from fnctl.errors import FnctlError, TooLarge
from fnctl.gateway.body import Body, body_of, chunk, last_chunk
from fnctl.gateway.door import Door
from fnctl.gateway.exchange import NEVER, Exchange, may_tunnel
from fnctl.gateway.head import CHUNKED, RequestHead, RequestParser, hopeless, malformed
from fnctl.gateway.index import index_page
from fnctl.gateway.refusal import HeadTooLarge, SlowClient, error_body, error_headers
from fnctl.gateway.routes import Index, Match, Redirect
from fnctl.gateway.wire import CLOSE, CONTINUE, answer_head, own_fields, request_stem

Matcher = Callable[[bytes, bytes, bytes], Match | Redirect | Index]


class Phase(enum.Enum):
    HEAD = enum.auto()
    HOLD = enum.auto()
    SERVING = enum.auto()
    LINGERING = enum.auto()


class ClientConnection(asyncio.Protocol):
    """Guarantees: requests are answered in the order they came, and nothing of a malformed one is forwarded.

    After a refusal that leaves the position in the stream unknown, the connection ends.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_chunked",
        "_deadline",
        "_door",
        "_exchange",
        "_forwarded",
        "_held",
        "_match",
        "_parser",
        "_paused",
        "_phase",
        "_pumping",
        "_received",
        "_scanned",
        "_stalled",
        "_stem",
        "_stem_head",
        "_stem_match",
        "_transport",
        "closing",
    )

    def __init__(self, door: Door, match: Matcher) -> None:
        self._door = door
        self._match = match
        self._transport: asyncio.Transport | None = None
        self._parser = RequestParser()
        self._phase = Phase.HEAD
        self._deadline = NEVER
        self._buffer = b""  # read, and not yet looked at or not a whole head
        self._scanned = 0  # of the buffer, known to hold no end of a head
        self._pumping = False
        self._exchange: Exchange | None = None
        self._body: Body | None = None  # the rest of the present request's
        self._chunked = False
        self._received = 0
        self._held: list[bytes] = []
        self._paused = False  # we do not read
        self._stalled = False  # the client does not read
        self.closing = False
        self._forwarded = b""
        self._stem = b""  # of the last request, which the next often equals: and what it was made from
        self._stem_head: RequestHead | None = None
        self._stem_match: Match | None = None

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._door.draining:
            self._transport.abort()
            return
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) and peer else "127.0.0.1"
        self._forwarded = f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: http\r\n".encode()
        self._deadline = time.monotonic() + self._door.limits.head_s
        self._door.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._door.leave(self)
        if self._exchange is not None:
            self._exchange.abandon()

    def eof_received(self) -> None:
        """A client that half-closes cannot be told from one that left: both are gone. The transport closes itself."""
        self.closing = True
        if self._exchange is not None:
            self._exchange.abandon()

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            self._pump()
        elif self._body is not None:
            self._read_body(self._body, data)
        elif self._phase is Phase.SERVING:
            self._read_ahead(data)

    def pause_writing(self) -> None:
        self._stalled = True
        self._deadline = time.monotonic() + self._door.limits.reader_stall_s
        if self._exchange is not None:
            self._exchange.client_slow()

    def resume_writing(self) -> None:
        self._stalled = False
        self._deadline = self._next_deadline()
        if self._exchange is not None:
            self._exchange.client_ready()
        elif self._phase is Phase.HEAD and self._buffer:
            self._pump()

    # -- heads -----------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Begin requests for as long as there are whole heads and nothing is being served. Never enters itself."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._phase is Phase.HEAD and self._buffer and not self._stalled:
                data = self._buffer
                if data[0] == 0x0D and data.startswith(b"\r\n"):
                    self._buffer = data[2:]  # RFC 9112 §2.2: an empty line before a request is ignored
                    continue
                end = data.find(b"\r\n\r\n", self._scanned) + 4
                if end < 4:
                    self._incomplete(data)
                    return
                self._scanned = 0
                self._begin(data, end)
        finally:
            self._pumping = False

    def _incomplete(self, data: bytes) -> None:
        if len(data) > self._door.limits.head_bytes:
            self._refuse(self._head_too_large())
        elif hopeless(data, self._scanned):
            self._refuse(malformed("a line break or control character where none may be"))
        else:
            if self._scanned == 0:
                self._deadline = time.monotonic() + self._door.limits.head_s
            self._scanned = max(1, len(data) - 3)

    def _begin(self, data: bytes, end: int) -> None:
        """`data[:end]` is a head."""
        door = self._door
        door.requests += 1
        at = time.time()
        started = time.monotonic()
        head = None
        try:
            if end > door.limits.head_bytes:
                raise self._head_too_large()
            head = self._parser.parse(data, end)
            self._buffer = data[end:]
            routed = self._match(head.fields.host, head.method, head.target)
        except FnctlError as error:
            self._refuse(error, head)
            return
        if door.draining or not head.fields.keep_alive:
            self.closing = True
        if isinstance(routed, Match):
            if head is not self._stem_head or routed is not self._stem_match:
                self._stem_head, self._stem_match = head, routed
                self._stem = request_stem(head, routed, self._forwarded, tunnels=may_tunnel(head, routed))
            self._serve(Exchange(door, self, head, routed, self._stem, at, started), head)
        elif isinstance(routed, Redirect):
            self._answer(308, b"Location: %b\r\n" % routed.location, b"", head)
        else:
            content_type, page = index_page(routed, head.fields.host, as_json=head.fields.wants_json)
            self._answer(200, b"Content-Type: %b\r\n" % content_type, page, head)

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"the request's head is larger than {self._door.limits.head_bytes} bytes")

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _serve(self, exchange: Exchange, head: RequestHead) -> None:
        self._exchange = exchange
        self._phase = Phase.SERVING
        self._deadline = NEVER
        length = head.fields.length
        if length == 0:
            exchange.start(b"", True)
            return
        self._body = body = body_of(length)
        self._chunked = length == CHUNKED
        self._received = 0
        if length > self._door.limits.body_bytes:
            self._refuse_body(exchange, self._too_large())
            return
        self._phase = Phase.HOLD
        limits = self._door.limits
        self._deadline = time.monotonic() + (limits.hold_s if self._chunked else limits.body_idle_s)
        data, self._buffer = self._buffer, b""
        if data:
            self._read_body(body, data)
        elif head.fields.expects_continue:
            self.write(CONTINUE)

    def _read_body(self, body: Body, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            payload, rest = body.feed(data)
        except ValueError as error:
            self._refuse_body(exchange, malformed(str(error)))
            return
        self._received += len(payload)
        if self._received > self._door.limits.body_bytes:
            self._refuse_body(exchange, self._too_large())
            return
        wire = chunk(payload) if self._chunked else payload
        if rest is not None:
            wire += last_chunk(body.trailer) if self._chunked else b""
            self._body = None
            self._buffer = rest
        self._pass_on(exchange, wire, rest is not None)

    def _pass_on(self, exchange: Exchange, wire: bytes, ended: bool) -> None:
        if self._phase is Phase.HOLD:
            if wire:
                self._held.append(wire)
            if ended or self._received >= self._door.limits.hold_bytes:
                self._admit(exchange, ended)
            elif not self._chunked:
                self._deadline = time.monotonic() + self._door.limits.body_idle_s
        else:
            self._deadline = self._next_deadline()
            if wire:
                exchange.body(wire, ended)

    def _admit(self, exchange: Exchange, ended: bool) -> None:
        held, self._held = b"".join(self._held), []
        self._phase = Phase.SERVING
        self._deadline = self._next_deadline()
        exchange.start(held, ended)

    def _too_large(self) -> TooLarge:
        limit = self._door.limits.body_bytes
        return TooLarge(
            f"the request's body is larger than {limit} bytes",
            hint="large data goes to a service, not through a function",
        )

    def _refuse_body(self, exchange: Exchange, error: FnctlError) -> None:
        self.closing = True
        exchange.refuse(error)

    def _read_ahead(self, data: bytes) -> None:
        """While a request is served: a tunnel's bytes, or the requests after it."""
        exchange = self._exchange
        if exchange is not None and exchange.tunnelling:
            self.touch()
            exchange.body(data, False)
            return
        self._buffer += data
        if len(self._buffer) > self._door.limits.pipeline_bytes:
            self.pause_reading()

    # -- for the exchange (exchange.Client) ------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(data)

    def pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
            if not self._stalled:
                self._deadline = NEVER  # it is not the client that waits

    def resume_reading(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
            self._deadline = self._next_deadline()

    def touch(self) -> None:
        """A tunnel is in use."""
        if not self._stalled:
            self._deadline = time.monotonic() + self._door.limits.tunnel_idle_s

    def finished(self, clean: bool) -> None:
        self._exchange = None
        self._held = []
        if not clean:
            self.abort()
        elif self.closing or self._door.draining:
            self._shut()
        else:
            self._phase = Phase.HEAD
            if not self._stalled:
                self._deadline = self._door.now + self._door.limits.keep_alive_s
            if self._paused:
                self.resume_reading()
            if self._buffer:
                self._pump()

    # -- the clock and the door (door.Guarded) ---------------------------------------------------------------------

    def tick(self, now: float) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.deadline <= now:
            exchange.expire()
        elif self._deadline <= now:
            self._expire(exchange)

    def _expire(self, exchange: Exchange | None) -> None:
        if self._stalled or self._phase is Phase.LINGERING or (exchange is not None and exchange.tunnelling):
            self.abort()
        elif self._phase is Phase.HOLD and self._chunked:
            assert exchange is not None
            self._admit(exchange, False)
        elif exchange is not None:
            slow = f"no byte of the request's body came for {self._door.limits.body_idle_s:g} s"
            self._refuse_body(exchange, SlowClient(slow))
        elif self._buffer:
            self._refuse(SlowClient(f"the request's head did not come within {self._door.limits.head_s:g} s"))
        else:
            self.abort()

    def drain(self) -> None:
        exchange = self._exchange
        if exchange is None:
            if self._phase is Phase.HEAD and self._stem_head is None:
                # just connected: its first request may be here, and not read yet
                self._deadline = min(self._deadline, time.monotonic() + self._door.limits.first_s)
            elif self._phase is Phase.HEAD:
                self._shut()
            return
        self.closing = True
        if exchange.tunnelling:
            exchange.abandon()

    def abort(self) -> None:
        """End at once; an exchange on its way is abandoned (in `connection_lost`)."""
        if self._transport is not None:
            self._transport.abort()

    # -- answers of the gateway itself -----------------------------------------------------------------------------

    def _refuse(self, error: FnctlError, head: RequestHead | None = None) -> None:
        """`head`: of a request that was well-formed. Without one, where the next would begin is unknown."""
        invocation = self._door.next_id(time.time())
        malformed_too = error.http_status == 400  # a path, say: its sender is not to be trusted with another
        self.closing = self.closing or malformed_too or head is None or not head.fields.keep_alive
        self._answer(error.http_status, error_headers(error), error_body(error, invocation), head, invocation)

    def _answer(
        self, status: int, headers: bytes, body: bytes, head: RequestHead | None, invocation: str | None = None
    ) -> None:
        unread = head is None or head.fields.length != 0
        self.closing = self.closing or unread or self._door.draining
        now = time.time()
        own = own_fields((invocation or self._door.next_id(now)).encode(), b"", CLOSE if self.closing else b"")
        answer = answer_head(status, headers, len(body), own, self._door.date(now))
        self.write(answer if head is not None and head.method == b"HEAD" else answer + body)
        if self.closing:
            self._shut(unread=unread)
        else:
            self._deadline = self._next_deadline()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _next_deadline(self) -> float:
        limits = self._door.limits
        if self._stalled:
            return self._deadline
        if self._phase is Phase.HEAD:
            return time.monotonic() + limits.keep_alive_s
        if self._phase is Phase.LINGERING:
            return self._deadline
        return time.monotonic() + limits.body_idle_s if self._body is not None else NEVER

    def _shut(self, unread: bool = False) -> None:
        """End once all is written. What the client still sends is read and dropped for a while: closing a socket with
        unread input resets it, and the client might never see the answer."""
        transport = self._transport
        self._phase = Phase.LINGERING
        self._buffer = b""
        unread = unread or self._body is not None
        self._body = None
        if transport is None or transport.is_closing():
            return
        limits = self._door.limits
        self._deadline = time.monotonic() + (limits.linger_s if unread else limits.reader_stall_s)
        if not unread:
            transport.close()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        transport.write_eof()

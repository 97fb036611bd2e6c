"""An HTTP exchange: one request and its response, relayed both ways. Not the parsing of either side, nor the invocation
(dispatch/invocation.py) that it starts.

Long for one file: whichever side speaks, the same status, body and pauses change, and have one owner.
"""

from __future__ import annotations

import time
from typing import Protocol, cast

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.invocation import Invocation
from fnctl.errors import FnctlError
from fnctl.model import Model
from fnctl.triggers.http.body import chunk, last_chunk
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.head import RequestHead, ResponseHead, bad_response
from fnctl.triggers.http.refusal import agent_error, error_body
from fnctl.triggers.http.render import (
    CLOSE,
    KEEP_ALIVE,
    Stem,
    error_head,
    interim_head,
    own_fields,
    relocated,
    request_tail,
    response_head,
    server_timing,
    switching,
    warm_response,
)
from fnctl.triggers.http.state import GatewayState
from fnctl.triggers.http.upstream import Upstream

INTERIMS = 100  # 1xx responses before the one that counts: programs that show their progress send some
CLIENT_GONE = 499  # nginx's status for it; only receipts have it
STOPPING = 503


class Client(Protocol):
    """The connection that the request came on."""

    closing: bool  # the connection ends after this response

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def finished(self, clean: bool) -> None:
        """The exchange is over; not clean: the client can only tell by losing the connection."""
        ...


def may_tunnel(head: RequestHead, match: Match) -> bool:
    """A WebSocket outlives the one invocation that an ephemeral instance serves."""
    return head.fields.websocket and match.function.model is Model.RESIDENT


class Exchange:
    """The source of its invocation (invocation.Source) and the reader of its upstream (upstream.Reader)."""

    # What most exchanges never change stands in the class, which makes one cheap to create.
    body_bytes: int | None = None  # that the function takes; None: what all do
    bodyless = False
    tunnels = False
    tunnelling = False
    done = False
    _upstream: Upstream | None = None
    _backlog: tuple[bytes, ...] = ()  # of the request's body, while there is no instance to send it to
    _backlog_size = 0
    _sent: tuple[bytes, ...] = ()  # of the body, with the head: again where nobody read it
    _body_ended = True
    _interims = 0  # 1xx responses so far
    _chunked = False  # the response goes out in chunks
    _collected: list[bytes] | None = None  # of an agent's own error, in place of a response
    _lost = False  # the upstream ended too early, and it is being found out why
    _status = 0  # that the client was told
    _clean = True  # the client can tell where the response ends
    _endless = False  # an event stream: it has no end of its own
    _prefix = b""  # of the path that the client asked for, which the function does not see
    _paused = False
    given = b""  # a field of the gateway's own for this client: the cookie that keeps it on a version

    def __init__(
        self,
        gateway: GatewayState,
        client: Client,
        head: RequestHead,
        match: Match,
        stem: Stem,
        at: float,
        started: float,
        parent: Invocation | None = None,
        depth: int = 0,
    ) -> None:
        """`stem`: of the request as the function gets it (render.request_stem). `parent`, `depth`: of a call that a
        function makes."""
        self._gateway = gateway
        self._client = client
        self._head = head
        self._stem = stem
        if match.prefix:
            self._prefix = match.prefix
        self._invocation = invocation = Invocation(
            gateway.invocations, self, match.function, match.site, head, at, started, None, parent, depth
        )
        self._id = invocation.id.encode()
        if match.function.max_body_mb is not None:
            self.body_bytes = match.function.max_body_mb << 20
        if head.method == b"HEAD":
            self.bodyless = True
        if head.fields.websocket:
            self.tunnels = may_tunnel(head, match)

    # -- from the client -------------------------------------------------------------------------------------------

    def start(self, body: bytes, ended: bool) -> None:
        """`body`: what there is of it, as it goes on the wire; `ended`: that is all."""
        self._body_ended = ended
        if body:
            self._backlog = (body,)
        self._invocation.start()

    def refuse(self, error: FnctlError) -> None:
        """The request itself is at fault, even where a part of it was sent already."""
        self._invocation.fail(error, blame=False)

    def body(self, data: bytes, ended: bool) -> None:
        """More of the request's body, as it goes on the wire; or a tunnel's bytes."""
        self._body_ended = ended
        if self.tunnelling:
            self._invocation.spoke(time.monotonic())
        if self._upstream is not None:
            self._upstream.write(data)
        elif not self._lost:
            self._backlog = (*self._backlog, data)
            self._backlog_size += len(data)
            if self._backlog_size > self._gateway.limits.hold_bytes:
                self._client.pause_reading()

    def abandon(self) -> None:
        """The client is gone, or the gateway is about to be."""
        if self.done:
            return
        self._let_go()
        if self._gateway.closing:
            self._invocation.cancel("stopping", self._status or STOPPING)
        else:
            self._invocation.cancel("client_gone", self._status or CLIENT_GONE)

    def drain(self) -> None:
        """The gateway stops: what may have no end of its own, ends now."""
        if self.done or not (self.tunnelling or self._endless):
            return
        if self._chunked:
            self._client.write(last_chunk(b""))
        self._let_go()
        self._invocation.cancel("stopping", self._status)

    def client_slow(self) -> None:
        if self._upstream is not None and not self._paused:
            self._paused = True
            self._upstream.pause_reading()
            self._invocation.held_up()

    def client_ready(self) -> None:
        if self._upstream is not None and self._paused:
            self._paused = False
            self._upstream.resume_reading()
            if self._status:
                self._invocation.spoke(time.monotonic())

    # -- from the invocation (invocation.Source) -------------------------------------------------------------------

    def ready(self, lease: Lease, deadline_ms: float) -> bool:
        upstream = cast(Upstream, lease.connection)
        whole, asked = self._stem
        body = b"".join(self._backlog)
        # Sharing pays where requests come together. One alone is answered sooner on a connection of its own.
        fits = self._body_ended and not lease.alone
        shared = asked is not None and fits and upstream.submit(self, asked, self._id, deadline_ms, body)
        if not shared and not upstream.send(self, request_tail(whole, self._id, deadline_ms) + body):
            return False
        self._upstream = upstream
        if self._backlog:
            self._sent, self._backlog = self._backlog, ()
            self._client.resume_reading()
        return True

    def failed(self, error: FnctlError) -> int:
        """Told to the client in a body, or, where a head is out already, by hanging up."""
        if self._status == 0:
            self._answer(error)
        else:
            self._clean = False
        self._let_go()
        return self._status

    def ended(self) -> None:
        self.done = True
        self._client.finished(self._clean)

    # -- from the upstream -----------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > INTERIMS:
            raise bad_response(f"it has more than {INTERIMS} informational (1xx) responses before it")
        # 100 is between us and the client, who was told already. Others are the client's, if it can know them.
        if head.status != 100 and self._head.http_1_1:
            self._client.write(interim_head(head))

    def complete(self, head: ResponseHead, payload: bytes, reusable: bool) -> None:
        if self.done:
            return
        if head.fields.error:
            self._agent_failed(head.fields.error, payload, reusable)
            return
        now = time.monotonic()
        invocation = self._invocation
        if self._prefix and head.redirects:
            head = self._relocated(head)
        if self._plain_to(head, payload, invocation.lease):
            self._status = head.status
            self._client.write(warm_response(head, payload, self._id, (now - invocation.leased_at) * 1000))
        else:
            self._client.write(self._response(head, len(payload), now) + payload)
        if self._paused:
            self._let_go()
        invocation.finish(self._status, reusable and self._body_ended, now)

    def _plain_to(self, head: ResponseHead, payload: bytes, lease: Lease | None) -> bool:
        """Nothing about this response asks for more than `warm_response` can say."""
        return (
            lease is not None
            and lease.plain
            and head.fields.dated
            and head.fields.length == len(payload) > 0
            and self._body_ended
            and self._head.http_1_1
            and not self.bodyless
            and not self.given
            and not self._client.closing
        )

    def head(self, head: ResponseHead, payload: bytes) -> None:
        if self.done:
            return
        if head.fields.error:
            self._collected = [head.fields.error, payload]
            return
        if self._prefix and head.redirects:
            head = self._relocated(head)
        self._chunked = head.fields.length < 0 and self._head.http_1_1
        if head.fields.length < 0 and not self._head.http_1_1:
            self._client.closing = True
        now = time.monotonic()
        lines = self._response(head, head.fields.length, now)
        self._endless = head.is_event_stream
        self._invocation.begun(now)
        self._client.write(lines + (chunk(payload) if self._chunked else payload))

    def _relocated(self, head: ResponseHead) -> ResponseHead:
        """A redirect of a function that does not know where it is mounted stays in the function."""
        return relocated(head, self._prefix, self._head.fields.host)

    def payload(self, data: bytes) -> None:
        if self.done:
            return
        if self._collected is not None:
            if sum(map(len, self._collected)) < self._gateway.limits.error_bytes:
                self._collected.append(data)
            return
        if not self._paused:
            self._invocation.spoke(time.monotonic())
        self._client.write(chunk(data) if self._chunked else data)

    def end(self, data: bytes, trailer: bytes, reusable: bool) -> None:
        if self.done:
            return
        if self._collected is not None:
            code, *rest = self._collected
            self._agent_failed(code, b"".join(rest) + data, reusable)
            return
        if self._chunked:
            data = chunk(data) + last_chunk(trailer)
        if data:
            self._client.write(data)
        self._finish(reusable, time.monotonic())

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        self.tunnelling = True
        self._invocation.begun(time.monotonic())
        self._status = 101
        self._client.closing = True
        self._client.write(switching(head, own_fields(self._id, b"", b"") + self.given) + data)

    def broken(self, error: FnctlError) -> None:
        self._invocation.fail(error)

    def lost(self, unread: bool) -> None:
        if self.done or self._lost:
            return
        if unread:
            self._upstream = None
            self._backlog, self._sent = self._sent, ()
            self._invocation.unread()
            return
        if self.tunnelling:
            self._finish(False, time.monotonic())
            return
        self._lost = True
        self._upstream = None
        self._invocation.lost()

    def pause(self) -> None:
        self._client.pause_reading()

    def resume(self) -> None:
        self._client.resume_reading()

    # -- answers ---------------------------------------------------------------------------------------------------

    def _response(self, head: ResponseHead, length: int, now: float) -> bytes:
        self._status = head.status
        date = b"" if head.fields.dated else self._gateway.date(self._invocation.at)
        return response_head(head, length, self._own_fields(now), date, bodyless=self.bodyless, chunked=self._chunked)

    def _own_fields(self, now: float) -> bytes:
        client = self._client
        connection = b""
        if client.closing or not self._body_ended:
            client.closing = True
            connection = CLOSE
        elif not self._head.http_1_1:
            connection = KEEP_ALIVE
        invocation = self._invocation
        timing = server_timing(invocation.lease, (now - invocation.leased_at) * 1000)
        return own_fields(self._id, timing, connection) + self.given

    def _agent_failed(self, code: bytes, body: bytes, reusable: bool) -> None:
        """The agent answered in place of the handler: it raised, or returned what is no response."""
        cut = len(body) + len(code) >= self._gateway.limits.error_bytes
        error = agent_error(self._invocation.function, code, body, cut=cut)
        self._invocation.fail(error, blame=False, reusable=reusable and self._body_ended)

    def _answer(self, error: FnctlError) -> None:
        body = error_body(error, self._invocation.id)
        self._status = error.http_status
        own = self._own_fields(time.monotonic())
        head = error_head(error, len(body), own, self._gateway.date(self._invocation.at))
        self._client.write(head if self.bodyless else head + body)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self, reusable: bool, now: float) -> None:
        if self._paused:
            self._let_go()
        self._invocation.finish(self._status, reusable and self._body_ended, now)

    def _let_go(self) -> None:
        """Of the upstream, which another invocation may have next."""
        upstream = self._upstream
        if upstream is not None:
            if self._paused:
                upstream.resume_reading()
            upstream.forget()

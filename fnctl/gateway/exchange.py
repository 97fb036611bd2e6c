"""One invocation, from its head to its receipt: admission, lease, deadline, relaying. Not the parsing of either side.

    start ─ queued ─ sent ─ streaming ─ done          (or refused, failed, timed out, abandoned: done as well)

The warm path has no task, future or timer: acquire → send → `complete` → release → receipt, each a plain call. Long for
one file: whichever side speaks, the same lease, status and deadline change, and all ways out are one.
"""

from __future__ import annotations

import math
import time
from typing import Protocol, cast

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError
from fnctl.gateway.body import chunk, last_chunk
from fnctl.gateway.door import Door
from fnctl.gateway.head import RequestHead, ResponseHead
from fnctl.gateway.receipts import refused_receipt, served_receipt
from fnctl.gateway.refusal import agent_error, error_body
from fnctl.gateway.routes import Match
from fnctl.gateway.upstream import Upstream
from fnctl.gateway.wire import (
    CLOSE,
    KEEP_ALIVE,
    error_head,
    interim_head,
    own_fields,
    request_tail,
    response_head,
    server_timing,
    switching,
    warm_response,
)
from fnctl.model import Model
from fnctl.runtime.lease import Lease, Waiter

NEVER = math.inf
CLIENT_GONE = 499  # nginx's status for it; only receipts have it


class Client(Protocol):
    """The connection that the request came on."""

    closing: bool  # the connection ends after this response

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def finished(self, clean: bool) -> None:
        """The exchange is over; not clean: the client can only tell by losing the connection."""
        ...

    def touch(self) -> None:
        """A tunnel is in use."""
        ...


def may_tunnel(head: RequestHead, match: Match) -> bool:
    """A WebSocket outlives the one invocation that an ephemeral instance serves."""
    return head.fields.websocket and match.function.model is Model.RESIDENT


class Exchange:
    """The reader of its upstream (upstream.Reader). Every way out leads through `_close`, once."""

    # What most invocations never change stands in the class, which makes an exchange cheap to create.
    bodyless = False
    tunnels = False
    tunnelling = False
    done = False
    deadline = NEVER
    _lease: Lease | None = None
    _upstream: Upstream | None = None
    _waiter: Waiter | None = None
    _backlog: tuple[bytes, ...] = ()  # of the request's body, while there is no instance to send it to
    _backlog_size = 0
    _body_ended = True
    _chunked = False  # the response goes out in chunks
    _collected: list[bytes] | None = None  # of an agent's own error, in place of a response
    _failing = False  # the connection was lost, and the owner asked why
    _status = 0  # that the client was told
    _paused = False

    def __init__(
        self, door: Door, client: Client, head: RequestHead, match: Match, stem: bytes, at: float, started: float
    ) -> None:
        """`stem`: of the request as the function gets it (wire.request_stem)."""
        self._door = door
        self._client = client
        self._head = head
        self._match = match
        self._stem = stem
        self._at = at
        self._started = self._leased_at = started
        self.id = invocation = door.next_id(at)
        self._id = invocation.encode()
        if head.method == b"HEAD":
            self.bodyless = True
        if head.fields.websocket:
            self.tunnels = may_tunnel(head, match)
        door.in_flight += 1

    # -- from the client -------------------------------------------------------------------------------------------

    def start(self, body: bytes, ended: bool) -> None:
        """`body`: what there is of it, as it goes on the wire; `ended`: that is all."""
        self._body_ended = ended
        if body:
            self._backlog = (body,)
        self._acquire(self._started)

    def refuse(self, error: FnctlError) -> None:
        """The request itself is at fault, even where a part of it was sent already."""
        self._fail(error, blame=False)

    def body(self, data: bytes, ended: bool) -> None:
        """More of the request's body, as it goes on the wire; or a tunnel's bytes."""
        self._body_ended = ended
        if self._upstream is not None:
            self._upstream.write(data)
        elif not self._failing:
            self._backlog = (*self._backlog, data)
            self._backlog_size += len(data)
            if self._backlog_size > self._door.limits.hold_bytes:
                self._client.pause_reading()

    def abandon(self) -> None:
        """The client is gone."""
        if self.done:
            return
        if self._waiter is not None:
            self._waiter.cancel()
        self._status = self._status or CLIENT_GONE
        self._close("client_gone", reusable=False)

    def client_slow(self) -> None:
        if self._upstream is not None and not self._paused:
            self._paused = True
            self._upstream.pause_reading()

    def client_ready(self) -> None:
        if self._upstream is not None and self._paused:
            self._paused = False
            self._upstream.resume_reading()

    # -- from the clock --------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline passed: of the queue, or of the function."""
        function = self._match.function
        if self._waiter is not None:
            self._waiter.cancel()
            self._fail(
                DeadlineExceeded(
                    f"no instance of {function.name} was free within {self._patience_s:g} s",
                    code="queue_timeout",
                    hint="raise scale.max or concurrency of the function, or its timeout",
                )
            )
        else:
            self._fail(
                DeadlineExceeded(
                    f"{function.name} did not answer within {function.timeout_s:g} s",
                    hint="raise `timeout` of the function if it needs longer",
                )
            )

    @property
    def _patience_s(self) -> float:
        return max(self._match.function.timeout_s, self._door.limits.queue_s)

    # -- from admission --------------------------------------------------------------------------------------------

    def _acquire(self, now: float, *, retry: bool = True) -> None:
        function = self._match.function
        try:
            lease = self._door.admission.try_acquire(function.name)
            if lease is not None:
                self._send(lease, now, retry)
                return
            self.deadline = now + self._patience_s
            waiter = self._door.admission.enqueue(function.name, self._ready)
        except FnctlError as error:
            self._fail(error)
            return
        if self._lease is None and not self.done:
            self._waiter = waiter

    def _ready(self, outcome: Lease | FnctlError) -> None:
        self._waiter = None
        if isinstance(outcome, FnctlError):
            self._fail(outcome)
        else:
            self._send(outcome, time.monotonic(), retry=True)

    def _send(self, lease: Lease, now: float, retry: bool) -> None:
        timeout_s = self._match.function.timeout_s
        upstream = cast(Upstream, lease.connection)
        deadline_ms = (self._at + now - self._started + timeout_s) * 1000
        request = request_tail(self._stem, self._id, deadline_ms)
        if self._backlog:
            request += b"".join(self._backlog)
        if not upstream.send(self, request):
            lease.release(reusable=False)
            if retry:  # no byte was sent: the one retry that nobody can notice
                self._acquire(now, retry=False)
            else:
                self._fail(FunctionError(f"{lease.function}: its connection was lost before the request was sent"))
            return
        self._lease = lease
        self._upstream = upstream
        self._leased_at = now
        self.deadline = now + timeout_s
        if self._backlog:
            self._backlog = ()
            self._client.resume_reading()

    # -- from the upstream -----------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
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
        if self._plain_to(head, payload):
            self._status = head.status
            self._client.write(warm_response(head, payload, self._id, (now - self._leased_at) * 1000))
        else:
            self._client.write(self._response(head, len(payload), now) + payload)
        self._close("ok", now, reusable=reusable and self._body_ended)

    def _plain_to(self, head: ResponseHead, payload: bytes) -> bool:
        """Nothing about this response asks for more than `warm_response` can say."""
        lease = self._lease
        return (
            lease is not None
            and lease.plain
            and head.fields.dated
            and head.fields.length == len(payload) > 0
            and self._body_ended
            and self._head.http_1_1
            and not self.bodyless
            and not self._client.closing
        )

    def head(self, head: ResponseHead, payload: bytes) -> None:
        if self.done:
            return
        if head.fields.error:
            self._collected = [head.fields.error, payload]
            return
        self._chunked = head.fields.length < 0 and self._head.http_1_1
        if head.fields.length < 0 and not self._head.http_1_1:
            self._client.closing = True
        lines = self._response(head, head.fields.length, time.monotonic())
        self._client.write(lines + (chunk(payload) if self._chunked else payload))

    def payload(self, data: bytes) -> None:
        if self.done:
            return
        if self._collected is not None:
            if sum(map(len, self._collected)) < self._door.limits.error_bytes:
                self._collected.append(data)
            return
        if self.tunnelling:
            self._client.touch()
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
        self._close("ok", reusable=reusable and self._body_ended)

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        self.tunnelling = True
        self.deadline = NEVER
        self._status = 101
        self._client.closing = True
        self._client.touch()
        self._client.write(switching(head, own_fields(self._id, b"", b"")) + data)

    def broken(self, error: FnctlError) -> None:
        self._fail(error)

    def lost(self) -> None:
        """Why? Only the instance's owner can tell, in a moment."""
        if self.done or self._failing:
            return
        if self.tunnelling:
            self._close("ok", reusable=False)
            return
        assert self._lease is not None
        self._failing = True
        self._upstream = None
        self._lease.failure(self._fail)

    def pause(self) -> None:
        self._client.pause_reading()

    def resume(self) -> None:
        self._client.resume_reading()

    # -- answers ---------------------------------------------------------------------------------------------------

    def _response(self, head: ResponseHead, length: int, now: float) -> bytes:
        self._status = head.status
        date = b"" if head.fields.dated else self._door.date(self._at)
        return response_head(head, length, self._own_fields(now), date, bodyless=self.bodyless, chunked=self._chunked)

    def _own_fields(self, now: float) -> bytes:
        client = self._client
        connection = b""
        if client.closing or not self._body_ended:
            client.closing = True
            connection = CLOSE
        elif not self._head.http_1_1:
            connection = KEEP_ALIVE
        since = self._started if self._lease is None else self._leased_at
        return own_fields(self._id, server_timing(self._lease, (now - since) * 1000), connection)

    def _agent_failed(self, code: bytes, body: bytes, reusable: bool) -> None:
        """The agent answered in place of the handler: it raised, or returned what is no response."""
        error = agent_error(self._match.function, code.decode(), body)
        self._answer(error)
        self._close(error.code, reusable=reusable and self._body_ended, detail=error.message)

    def _fail(self, error: FnctlError, *, blame: bool = True) -> None:
        """End with this error: told to the client in a body, or, where a head is out already, by hanging up.

        `blame`: the instance is told of it."""
        if self.done:
            return
        told = self._status == 0
        if told:
            self._answer(error)
        self._close(
            error.code,
            reusable=False,
            error=error if blame else None,
            detail=error.message,
            clean=told,
        )

    def _answer(self, error: FnctlError) -> None:
        body = error_body(error, self.id)
        self._status = error.http_status
        own = self._own_fields(time.monotonic())
        head = error_head(error, len(body), own, self._door.date(self._at))
        self._client.write(head if self.bodyless else head + body)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _close(
        self,
        verdict: str,
        now: float | None = None,
        *,
        reusable: bool,
        error: FnctlError | None = None,
        detail: str | None = None,
        clean: bool = True,
    ) -> None:
        if now is None:
            now = time.monotonic()
        self.done = True
        self.deadline = NEVER
        door, lease, upstream = self._door, self._lease, self._upstream
        door.in_flight -= 1
        if upstream is not None:
            if self._paused:
                upstream.resume_reading()
            upstream.forget()
        if lease is not None:
            lease.release(reusable=reusable, error=error)
        self._enter(verdict, now, detail)
        self._client.finished(clean)

    def _enter(self, verdict: str, now: float, detail: str | None) -> None:
        """Into the ledger."""
        lease, head, total_s = self._lease, self._head, now - self._started
        handler_s = now - self._leased_at
        if lease is not None and lease.plain and verdict == "ok":
            what = head.method, head.target, self._status
            self._door.ledger.warm(lease, (self.id, self._at, handler_s, total_s, what))
            return
        method, path = head.method.decode(), head.target.decode("latin-1")
        if lease is None:
            name = self._match.function.name
            receipt = refused_receipt(
                self.id, name, self._status, verdict, self._at, total_s * 1000, method, path, detail
            )
        else:
            times = handler_s * 1000, total_s * 1000
            receipt = served_receipt(self.id, lease, self._status, verdict, self._at, *times, method, path, detail)
        self._door.ledger.receipt(receipt)

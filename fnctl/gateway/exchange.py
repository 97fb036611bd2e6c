"""One invocation, from its head to its receipt: admission, lease, deadline, relaying. Not the parsing of either side.

    start ─ queued ─ sent ─ streaming ─ done          (or refused, failed, timed out, abandoned: done as well)

The warm path has no task, future or timer: acquire → send → `complete` → release → receipt, each a plain call.
"""

from __future__ import annotations

import json
import math
import time
from typing import Protocol, cast

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError
from fnctl.gateway.body import chunk, last_chunk
from fnctl.gateway.door import Door
from fnctl.gateway.head import RequestHead, ResponseHead
from fnctl.gateway.refusal import REASONS, error_body, error_headers
from fnctl.gateway.routes import Match
from fnctl.gateway.upstream import Upstream
from fnctl.model import Model, Receipt
from fnctl.runtime.lease import Lease, Waiter

NEVER = math.inf


class Client(Protocol):
    """The connection that the request came on."""

    forwarded: bytes  # X-Forwarded-For and -Proto, with CRLF
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


class Exchange:
    """The reader of its upstream (upstream.Reader). Every way out leads through `_close`, once."""

    __slots__ = (
        "_at",
        "_backlog",
        "_backlog_size",
        "_body_ended",
        "_chunked_out",
        "_client",
        "_collected",
        "_door",
        "_failing",
        "_head",
        "_head_out",
        "_lease",
        "_leased_at",
        "_match",
        "_paused",
        "_started",
        "_upstream",
        "_waiter",
        "bodyless",
        "deadline",
        "done",
        "id",
        "tunnelling",
        "tunnels",
    )

    def __init__(self, door: Door, client: Client, head: RequestHead, match: Match, at: float, started: float) -> None:
        self._door = door
        self._client = client
        self._head = head
        self._match = match
        self._at = at
        self._started = started
        self.id = door.next_id()
        self.bodyless = head.method == b"HEAD"
        self.tunnels = head.fields.websocket and match.function.model is Model.RESIDENT
        self.tunnelling = False
        self.done = False
        self.deadline = NEVER
        self._lease: Lease | None = None
        self._leased_at = started
        self._upstream: Upstream | None = None
        self._waiter: Waiter | None = None
        self._backlog: list[bytes] = []
        self._backlog_size = 0
        self._body_ended = True
        self._chunked_out = False
        self._collected: list[bytes] | None = None  # of an agent's own error, in place of a response
        self._failing: FnctlError | None = None
        self._head_out = 0  # the status that the client was told
        self._paused = False
        door.in_flight += 1

    # -- from the client -------------------------------------------------------------------------------------------

    def start(self, body: bytes, ended: bool) -> None:
        """`body`: what there is of it, as it goes on the wire; `ended`: that is all."""
        self._body_ended = ended
        if body:
            self._backlog.append(body)
        self._acquire(retry=True)

    def refuse(self, error: FnctlError) -> None:
        """The request itself is at fault, even where a part of it was sent already."""
        self._fail(error, blame=False)

    def body(self, data: bytes, ended: bool) -> None:
        """More of the request's body, as it goes on the wire; or a tunnel's bytes."""
        self._body_ended = ended
        if self._upstream is not None:
            self._upstream.write(data)
        elif self._failing is None:
            self._backlog.append(data)
            self._backlog_size += len(data)
            if self._backlog_size > self._door.limits.hold_bytes:
                self._client.pause_reading()

    def abandon(self) -> None:
        """The client is gone."""
        if self.done:
            return
        if self._waiter is not None:
            self._waiter.cancel()
        self._close(499, "client_gone", reusable=False)

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
                    f"no instance of {function.name} was free within {function.timeout_s:g} s",
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

    # -- from admission --------------------------------------------------------------------------------------------

    def _acquire(self, retry: bool) -> None:
        function = self._match.function
        try:
            lease = self._door.admission.try_acquire(function.name)
            if lease is not None:
                self._send(lease, retry)
                return
            self.deadline = time.monotonic() + function.timeout_s
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
            self._send(outcome, retry=True)

    def _send(self, lease: Lease, retry: bool) -> None:
        function = self._match.function
        now = time.monotonic()
        upstream = cast(Upstream, lease.connection)
        if not upstream.send(self, self._request(function.timeout_s)):
            lease.release(reusable=False)
            if retry:  # no byte was sent: the one retry that nobody can notice
                self._acquire(retry=False)
            else:
                self._fail(FunctionError(f"{function.name}: its connection was lost before the request was sent"))
            return
        self._lease = lease
        self._upstream = upstream
        self._leased_at = now
        self.deadline = now + function.timeout_s
        if self._backlog:
            self._backlog = []
            self._client.resume_reading()

    def _request(self, timeout_s: float) -> bytes:
        head = self._head
        fields = head.fields
        match = self._match
        framing = b""
        if fields.length > 0 or (fields.length == 0 and head.method in (b"POST", b"PUT", b"PATCH")):
            framing = b"Content-Length: %d\r\n" % fields.length
        elif fields.length < 0:
            framing = b"Transfer-Encoding: chunked\r\n"
        if self.tunnels:
            framing += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
        return b"%b %b HTTP/1.1\r\n%b%b%b%bX-Fnctl-Invocation-Id: %b\r\nX-Fnctl-Deadline-Ms: %d\r\n\r\n%b" % (
            head.method,
            match.target,
            fields.forward,
            self._client.forwarded,
            match.headers,
            framing,
            self.id.encode(),
            (time.time() + timeout_s) * 1000,
            b"".join(self._backlog) if self._backlog else b"",
        )

    # -- from the upstream -----------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        # 100 is between us and the client, who was told already. Others are the client's, if it can know them.
        if head.status != 100 and self._head.http_1_1:
            self._client.write(b"HTTP/1.1 %d %b\r\n%b\r\n" % (head.status, head.reason, head.fields.forward))

    def complete(self, head: ResponseHead, payload: bytes, reusable: bool) -> None:
        if self.done:
            return
        if head.fields.error:
            self._agent_failed(head.fields.error, payload, reusable)
            return
        self._client.write(self._response(head, len(payload)) + payload)
        self._close(head.status, "ok", reusable=reusable and self._body_ended)

    def head(self, head: ResponseHead, payload: bytes) -> None:
        if self.done:
            return
        if head.fields.error:
            self._collected = [head.fields.error, payload]
            return
        self._chunked_out = head.fields.length < 0 and self._head.http_1_1
        if head.fields.length < 0 and not self._head.http_1_1:
            self._client.closing = True
        lines = self._response(head, head.fields.length)
        self._client.write(lines + (chunk(payload) if self._chunked_out else payload))

    def payload(self, data: bytes) -> None:
        if self.done:
            return
        if self._collected is not None:
            if sum(map(len, self._collected)) < self._door.limits.error_bytes:
                self._collected.append(data)
            return
        if self.tunnelling:
            self._client.touch()
        self._client.write(chunk(data) if self._chunked_out else data)

    def end(self, data: bytes, trailer: bytes, reusable: bool) -> None:
        if self.done:
            return
        if self._collected is not None:
            code, *rest = self._collected
            self._agent_failed(code, b"".join(rest) + data, reusable)
            return
        if self._chunked_out:
            data = chunk(data) + last_chunk(trailer)
        if data:
            self._client.write(data)
        self._close(self._head_out, "ok", reusable=reusable and self._body_ended)

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        self.tunnelling = True
        self.deadline = NEVER
        self._head_out = 101
        self._client.closing = True
        self._client.touch()
        self._client.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b%b\r\n%b"
            % (head.fields.forward, self._own_fields(), data)
        )

    def broken(self, error: FnctlError) -> None:
        self._fail(error)

    def lost(self) -> None:
        """Why? Only the instance's owner can tell, in a moment."""
        if self.done or self._failing is not None:
            return
        if self.tunnelling:
            self._close(101, "ok", reusable=False)
            return
        assert self._lease is not None
        self._failing = FunctionError(f"{self._match.function.name}: the connection to its instance was lost")
        self._upstream = None
        self._lease.failure(self._failed)

    def _failed(self, error: FnctlError) -> None:
        self._fail(error)

    def pause(self) -> None:
        self._client.pause_reading()

    def resume(self) -> None:
        self._client.resume_reading()

    # -- answers ---------------------------------------------------------------------------------------------------

    def _response(self, head: ResponseHead, length: int) -> bytes:
        """The response's head for the client; `length` of the payload that follows, or a word for none known."""
        fields = head.fields
        self._head_out = status = head.status
        if self.bodyless or status == 304:
            length = fields.length  # what a GET would have brought, where that is known
            framing = b"Content-Length: %d\r\n" % length if length >= 0 else b""
        elif status == 204:
            framing = b""
        elif length >= 0:
            framing = b"Content-Length: %d\r\n" % length
        else:
            framing = b"Transfer-Encoding: chunked\r\n" if self._chunked_out else b""
        return b"HTTP/1.1 %d %b\r\n%b%b%b%b\r\n" % (
            status,
            head.reason,
            fields.forward,
            framing,
            b"" if fields.dated else self._door.date(self._at),
            self._own_fields(),
        )

    def _own_fields(self) -> bytes:
        client = self._client
        connection = b""
        if not self.tunnelling:
            if client.closing or self._door.draining or not self._body_ended:
                client.closing = True
                connection = b"Connection: close\r\n"
            elif not self._head.http_1_1:
                connection = b"Connection: keep-alive\r\n"
        return b"X-Fnctl-Invocation-Id: %b\r\n%b%b" % (self.id.encode(), self._server_timing(), connection)

    def _server_timing(self) -> bytes:
        lease = self._lease
        if lease is None:
            return b"Server-Timing: queue;dur=%.1f\r\n" % ((time.monotonic() - self._started) * 1000)
        return (
            b"Server-Timing: start;desc=%b, queue;dur=%.1f, container;dur=%.1f, runtime;dur=%.1f, load;dur=%.1f, "
            b"handler;dur=%.2f\r\n"
            % (
                lease.start.encode(),
                lease.queue_ms,
                lease.container_ms,
                lease.runtime_ms,
                lease.load_ms,
                (time.monotonic() - self._leased_at) * 1000,
            )
        )

    def _agent_failed(self, code: bytes, body: bytes, reusable: bool) -> None:
        """The agent answered in place of the handler: it raised, or returned what is no response."""
        error = _agent_error(self._match.function.name, code.decode(), body)
        self._answer(error)
        self._close(error.http_status, error.code, reusable=reusable and self._body_ended, detail=error.message)

    def _fail(self, error: FnctlError, *, blame: bool = True) -> None:
        """End with this error: told to the client in a body, or, where a head is out already, by hanging up.

        `blame`: the instance is told of it."""
        if self.done:
            return
        told = self._head_out == 0
        if told:
            self._answer(error)
        self._close(
            self._head_out,
            error.code,
            reusable=False,
            error=error if blame else None,
            detail=error.message,
            clean=told,
        )

    def _answer(self, error: FnctlError) -> None:
        body = error_body(error, self.id)
        self._head_out = status = error.http_status
        self._client.write(
            b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n%b%b\r\n%b"
            % (
                status,
                REASONS.get(status, b"Error"),
                error_headers(error),
                len(body),
                self._door.date(self._at),
                self._own_fields(),
                b"" if self.bodyless else body,
            )
        )

    # -- the end ---------------------------------------------------------------------------------------------------

    def _close(
        self,
        status: int,
        verdict: str,
        *,
        reusable: bool,
        error: FnctlError | None = None,
        detail: str | None = None,
        clean: bool = True,
    ) -> None:
        now = time.monotonic()
        self.done = True
        self.deadline = NEVER
        self._waiter = None
        door = self._door
        door.in_flight -= 1
        lease, upstream = self._lease, self._upstream
        if upstream is not None:
            upstream.forget()
            if self._paused:
                upstream.resume_reading()
        if lease is not None:
            lease.release(reusable=reusable, error=error)
        door.sink(self._receipt(now, status, verdict, detail))
        self._client.finished(clean)

    def _receipt(self, now: float, status: int, verdict: str, detail: str | None) -> Receipt:
        lease = self._lease
        total_ms = (now - self._started) * 1000
        head = self._head
        if lease is None:
            return Receipt(
                id=self.id, function=self._match.function.name, version="", start=None, status=status, verdict=verdict,
                at=self._at, queue_ms=total_ms, total_ms=total_ms, method=head.method.decode(),
                path=head.target.decode("latin-1"), detail=detail,
            )  # fmt: skip
        handler_ms = (now - self._leased_at) * 1000
        return Receipt(
            id=self.id, function=lease.function, version=lease.version, start=lease.start, status=status,
            verdict=verdict, at=self._at, queue_ms=lease.queue_ms, container_ms=lease.container_ms,
            runtime_ms=lease.runtime_ms, load_ms=lease.load_ms, handler_ms=handler_ms, total_ms=total_ms,
            billed_ms=math.ceil(handler_ms), instance=lease.instance, method=head.method.decode(),
            path=head.target.decode("latin-1"), detail=detail,
        )  # fmt: skip


def _agent_error(function: str, code: str, body: bytes) -> FunctionError:
    """From the agent's `{"error": {"type", "message"}}`; whatever else it may be, there is an error to show."""
    try:
        said = json.loads(body)["error"]
        what = f"{said['type']}: {said['message']}"[:2000]
    except (ValueError, KeyError, TypeError):
        what = "the agent gave no reason"
    done = "returned no valid response" if code == "bad_response" else "raised an error"
    return FunctionError(f"{function} {done}: {what}", code=code, hint="`fnctl logs` has the stack")

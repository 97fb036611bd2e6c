"""A call that no client waits for: its request is here whole, its answer is kept. Not who asked, nor what follows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.invocation import Invocation, Invocations
from fnctl.errors import FnctlError
from fnctl.model import Function, SiteKey
from fnctl.triggers.http.head import ResponseHead
from fnctl.triggers.http.refusal import agent_error
from fnctl.triggers.http.render import request_tail
from fnctl.triggers.http.upstream import Upstream

KEPT_BYTES = 256 << 10  # of an answer's body


class CallRequest(NamedTuple):
    """What is asked. `headers`: lines as they go to the agent, each with its CRLF, without framing and without ours.

    A tuple, not a dataclass: one is made for each call that is accepted.
    """

    method: bytes
    target: bytes
    headers: bytes
    body: bytes

    def head(self, attempt: int) -> bytes:
        """All of the head but what `request_tail` adds."""
        return b"%b %b HTTP/1.1\r\n%bX-Fnctl-Attempt: %d\r\nContent-Length: %d\r\n" % (
            self.method,
            self.target,
            self.headers,
            attempt,
            len(self.body),
        )


@dataclass(frozen=True, slots=True)
class When:
    """When a deferred call is made, and beside which others. `due` None: now.

    `group`: calls of one group are made one at a time, in their order. `dedup`: with the word of an earlier call that
    is still known, it is that call.
    """

    due: float | None = None
    group: str | None = None
    dedup: str | None = None


NOW = When()


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended. `error` is None where the function answered, whatever its status."""

    status: int
    headers: bytes = b""  # lines, as the function sent them
    body: bytes = b""
    cut: bool = False  # the body was longer than what is kept
    error: FnctlError | None = None


class Call:
    """The source of its invocation (invocation.Source) and the reader of its upstream (upstream.Reader).

    `tell` comes once, last; possibly before `start` returns.
    """

    bodyless = False
    tunnels = False

    def __init__(
        self,
        invocations: Invocations,
        function: Function,
        request: CallRequest,
        tell: Callable[[Answer], None],
        *,
        id: str,
        attempt: int = 1,
        at: float | None = None,
        keep: int = KEPT_BYTES,
        site: SiteKey | None = None,
    ) -> None:
        """`site`: a version of the function; None: the current one. `at`: the time for the receipt, where the clock is
        not the machine's. `keep`: bytes of the answer's body."""
        self._keep = keep
        self._function = function
        self._request = request
        self._attempt = attempt
        self._tell = tell
        self._upstream: Upstream | None = None
        self._head: ResponseHead | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._answer: Answer | None = None
        self._real = time.time()
        self._at = self._real if at is None else at
        site = site or SiteKey(function.name)
        self._invocation = Invocation(invocations, self, function, site, request, self._at, time.monotonic(), id)

    def start(self) -> None:
        self._invocation.start()

    @property
    def instance(self) -> str | None:
        """That serves it, once one does."""
        lease = self._invocation.lease
        return lease.instance if lease is not None else None

    def cancel(self, verdict: str) -> None:
        """Nobody wants the answer any more; `tell` hears of an error all the same."""
        self._let_go()
        self._answer = Answer(503, error=FnctlError("the call was cut off", code=verdict))
        self._invocation.cancel(verdict, 503)

    # -- invocation.Source -----------------------------------------------------------------------------------------

    def ready(self, lease: Lease, deadline_ms: float) -> bool:
        real_ms = deadline_ms + (self._real - self._at) * 1000  # the function's own clock is the machine's
        data = request_tail(self._request.head(self._attempt), self._invocation.id.encode(), real_ms)
        upstream = cast(Upstream, lease.connection)
        if not upstream.send(self, data + self._request.body):
            return False
        self._upstream = upstream
        return True

    def failed(self, error: FnctlError) -> int:
        self._let_go()
        self._answer = Answer(error.http_status, error=error)
        return error.http_status

    def ended(self) -> None:
        assert self._answer is not None
        self._tell(self._answer)

    # -- upstream.Reader -------------------------------------------------------------------------------------------

    def interim(self, head: ResponseHead) -> None:
        pass

    def complete(self, head: ResponseHead, payload: bytes, reusable: bool) -> None:
        self.head(head, payload)
        self.end(b"", b"", reusable)

    def head(self, head: ResponseHead, payload: bytes) -> None:
        self._head = head
        self.payload(payload)

    def payload(self, data: bytes) -> None:
        if self._size < self._keep:
            self._body.append(data[: self._keep - self._size])
        self._size += len(data)

    def end(self, data: bytes, trailer: bytes, reusable: bool) -> None:
        self.payload(data)
        head = self._head
        assert head is not None
        body = b"".join(self._body)
        if head.fields.error:
            error = agent_error(self._function, head.fields.error, body, cut=self._size > self._keep)
            self._invocation.fail(error, blame=False, reusable=reusable)
            return
        self._answer = Answer(head.status, head.fields.forward, body, self._size > self._keep)
        self._invocation.finish(head.status, reusable, time.monotonic())

    def broken(self, error: FnctlError) -> None:
        self._invocation.fail(error)

    def lost(self, unread: bool) -> None:
        self._upstream = None
        if unread:
            self._invocation.unread()
        else:
            self._invocation.lost()

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        raise AssertionError("no tunnel was asked for")  # and Upstream lets none through unasked

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass

    def _let_go(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.forget()

"""One invocation of a function, from its id to its receipt, whoever asked for it. Not how its request is put or sent.

    start ─ (queued) ─ ready ─ finish          or, at any point before that: fail, cancel

The warm path has no task, future or timer: start → ready → finish, each a plain call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

from fnctl.dispatch import chain
from fnctl.dispatch.admission import Admission, Lease, Ledger, Waiter
from fnctl.dispatch.ids import InvocationIds
from fnctl.dispatch.receipts import refused_receipt, served_receipt
from fnctl.dispatch.ticker import Ticker
from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError
from fnctl.model import Function, SiteKey
from fnctl.pace import Pace

NEVER = math.inf
# An invocation waits this long for an instance, or its function's `timeout` where that is longer: a start takes its
# time however short the handler is, and may itself end in a load timeout, which tells more.
QUEUE_S = 15.0


Observer = Callable[[SiteKey, int, float], None]  # of which version, the status, seconds since it had an instance
Explained = Callable[[Function, FnctlError, float], FnctlError]


class Request(Protocol):
    """What the receipt says was asked. Every agent speaks HTTP, so every request has these two."""

    @property
    def method(self) -> bytes: ...

    @property
    def target(self) -> bytes:
        """Path and query."""
        ...


class Source(Protocol):
    """Who started an invocation: an HTTP exchange, or a trigger that has no client at all.

    It is told `ready` (again after False, and after `unread`), `failed` at most once, and `ended` once, last. All on
    the event loop's thread, and possibly before the call that started or ended the invocation returns.
    """

    def ready(self, lease: Lease, deadline_ms: float) -> bool:
        """Send the request on `lease.connection` now. False: that connection is gone, and no byte was sent.

        `deadline_ms`: by when the function has to answer, wall clock, since the epoch. From now on the source reads the
        answer, and says `finish`, `fail`, `unread`, `lost` or `cancel`. The lease is the invocation's: the source never
        releases it.
        """
        ...

    def failed(self, error: FnctlError) -> int:
        """It comes to nothing: refused, out of time, its instance lost, or what the source itself said by `fail`.

        Stop reading the answer: the lease is given back next. Returns the status for the receipt.
        """
        ...

    def ended(self) -> None:
        """The lease is given back and the receipt is written."""
        ...


class Invocations:
    """What all invocations of a run share: admission, ledger, ids, and the clock that ends those out of time."""

    def __init__(
        self,
        admission: Admission,
        ledger: Ledger,
        ticker: Ticker,
        explained: Explained = lambda function, error, began: error,
        *,
        queue_s: float = QUEUE_S,
        pace: Pace | None = None,
    ) -> None:
        """`explained`: a function's failure, perhaps as that of something it depends on, since it `began`.

        `queue_s`: how long a call waits for an instance on a usual machine.
        """
        self.explained = explained
        self.admission = admission
        self.ledger = ledger
        self.ticker = ticker
        self._queue_s = queue_s
        self._pace = pace or Pace()
        self.next_id = InvocationIds()
        self.observer: Observer | None = None  # of every call's end
        self.active: dict[Invocation, None] = {}  # from their id to their receipt, in the order of their coming
        ticker.add(self._watch)

    @property
    def in_flight(self) -> int:
        return len(self.active)

    @property
    def queue_s(self) -> float:
        """At today's pace: who waits for a start must not be told of the queue while that start still has time."""
        return self._pace.deadline(self._queue_s)

    def _watch(self, now: float) -> bool:
        for invocation in [each for each in self.active if each.deadline <= now]:
            invocation.expire()
        return bool(self.active)


class Invocation:
    """Guarantees: one lease at a time, given back once; one receipt; every way out ends in `Source.ended`, once.

    An invocation that has ended takes every call and does nothing.
    """

    __slots__ = (
        "_begun",
        "_ends",
        "_invocations",
        "_request",
        "_retried",
        "_site",
        "_source",
        "_started",
        "_waiter",
        "at",
        "deadline",
        "depth",
        "function",
        "id",
        "lease",
        "leased_at",
        "parent",
    )

    def __init__(
        self,
        invocations: Invocations,
        source: Source,
        function: Function,
        site: SiteKey,
        request: Request,
        at: float,
        started: float,
        id: str | None = None,
        parent: Invocation | None = None,
        depth: int = 0,
    ) -> None:
        """`site`: who serves it, of the function's versions. `at` and `started`: when it was asked for, by the wall
        clock and by the monotonic one. `id`: of a call that has one already, since it was accepted earlier. `parent`:
        the invocation that has made this call; it ends no later than that one's deadline. `depth`: how many calls
        stand above it, which may be known where the parent is not."""
        self._invocations = invocations
        self._source: Source | None = source  # None once it has ended, so that the two do not hold each other
        self.function = function
        self._site = site
        self._request = request
        self.at = at
        self._started = self.leased_at = started
        self.deadline = NEVER  # on the monotonic clock: of the queue while it waits, of the function while it runs
        self._begun = False  # the answer has
        self._ends = NEVER
        self.lease: Lease | None = None
        self._waiter: Waiter | None = None
        self._retried = False
        self.parent = parent
        self.depth = depth
        self.id = id or invocations.next_id(at)
        invocations.active[self] = None
        if invocations.ticker.asleep:
            invocations.ticker.wake()

    # -- for the source --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask for an instance: `ready` comes at once, later, or `failed` does."""
        if self.depth and (endless := chain.problem(self)) is not None:
            self.fail(endless)
            return
        self._acquire(self._started)

    def begun(self, now: float) -> None:
        """The answer has begun, and more of it is to come: from now on, silence and its whole duration are bounded."""
        self._begun = True
        if (longest_s := self.function.longest_s) is not None:
            self._ends = self.leased_at + longest_s
        self.spoke(now)

    def spoke(self, now: float) -> None:
        """More of the answer has come."""
        self.deadline = min(now + self.function.idle_s, self._ends)

    def held_up(self) -> None:
        """More of the answer does not come because nobody takes it, until `spoke`."""
        if self._begun:
            self.deadline = self._ends

    def finish(self, status: int, reusable: bool, now: float) -> None:
        """The function's answer is there, to its end. `reusable`: the connection may carry another request."""
        source, self._source = self._source, None
        if source is None:
            return
        invocations, lease = self._invocations, self.lease
        assert lease is not None
        invocations.active.pop(self, None)
        lease.release(reusable=reusable)
        if invocations.observer is not None:
            invocations.observer(self._site, status, now - self.leased_at)
        if lease.plain and self.parent is None:
            request = self._request
            asked = request.method, request.target, status
            invocations.ledger.warm(lease, (self.id, self.at, now - self.leased_at, now - self._started, asked))
        else:
            self._enter_served(lease, "ok", status, now, None)
        source.ended()

    def fail(self, error: FnctlError, *, blame: bool = True, reusable: bool = False) -> None:
        """End with this error. `blame`: the instance is told of it, and may end for it (Lease.release)."""
        source = self._source
        if source is not None:
            told = self._invocations.explained(self.function, error, self._started)
            status = source.failed(told)
            self._end(told.code, status, time.monotonic(), reusable, error if blame else None, told.message)

    def unread(self) -> None:
        """The connection ended before the function's side had read a byte: ask for another lease.

        Each time costs a connection that the function's side had ended, so there is an end to it.
        """
        lease, self.lease = self.lease, None
        assert lease is not None
        self.leased_at, self._retried = self._started, False
        lease.release(reusable=False)
        self._acquire(time.monotonic())

    def lost(self) -> None:
        """The connection ended before the answer did: fail with the reason, which the instance's owner finds out."""
        assert self.lease is not None
        self.lease.failure(self.fail)

    def cancel(self, verdict: str, status: int) -> None:
        """Nobody wants the answer any more."""
        if self._source is not None:
            if self._waiter is not None:
                self._waiter.cancel()
            self._end(verdict, status, time.monotonic(), False)

    # -- from the clock --------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline passed: of the queue, or one of the function's three."""
        function = self.function
        starting = False
        if self._waiter is not None:
            starting = self._waiter.for_a_start
            self._waiter.cancel()
        if self.parent is not None and self.deadline >= self.parent.deadline:
            self.fail(DeadlineExceeded(f"{function.name}: its caller, {self.parent.function.name}, has no time left"))
        elif starting:
            self.fail(
                DeadlineExceeded(
                    f"the first instance of {function.name} was still being started after {self._patience_s:g} s",
                    code="queue_timeout",
                    hint="the engine or the machine is slow: `fnctl doctor` looks at both",
                )
            )
        elif self._waiter is not None:
            self.fail(
                DeadlineExceeded(
                    f"no instance of {function.name} was free within {self._patience_s:g} s",
                    code="queue_timeout",
                    hint="raise scale.max or concurrency of the function, or its timeout",
                )
            )
        elif not self._begun:
            self.fail(
                DeadlineExceeded(
                    f"{function.name} did not answer within {function.timeout_s:g} s",
                    hint="raise `timeout` of the function if it needs longer",
                )
            )
        elif self.deadline == self._ends:
            self.fail(
                DeadlineExceeded(
                    f"the answer of {function.name} did not end within {function.longest_s:g} s",
                    code="max_duration",
                    hint="raise `max_duration` of the function if it needs longer",
                )
            )
        else:
            self.fail(
                DeadlineExceeded(
                    f"the answer of {function.name} was silent for {function.idle_s:g} s",
                    code="idle",
                    hint="raise `idle` of the function if it can be silent for longer",
                )
            )

    def _bounded(self, deadline: float) -> float:
        """Nobody is there any more for an answer that comes after the caller's own deadline."""
        return deadline if self.parent is None else min(deadline, self.parent.deadline)

    @property
    def _patience_s(self) -> float:
        return max(self.function.timeout_s, self._invocations.queue_s)

    # -- from admission --------------------------------------------------------------------------------------------

    def _acquire(self, now: float) -> None:
        admission, site = self._invocations.admission, self._site
        try:
            lease = admission.try_acquire(site)
            if lease is not None:
                self._hand_over(lease, now)
                return
            self.deadline = self._bounded(now + self._patience_s)
            waiter = admission.enqueue(site, self._answered)
        except FnctlError as error:
            self.fail(error)
            return
        if self.lease is None and self._source is not None:
            self._waiter = waiter

    def _answered(self, outcome: Lease | FnctlError) -> None:
        """The queue has come to a result."""
        self._waiter = None
        if isinstance(outcome, FnctlError):
            self.fail(outcome)
        else:
            self._hand_over(outcome, time.monotonic())

    def _hand_over(self, lease: Lease, now: float) -> None:
        """The lease to the source; where its connection is gone, another one, once: nobody can notice."""
        source, deadline = self._source, now + self.function.timeout_s
        assert source is not None
        if self.parent is not None:
            deadline = self._bounded(deadline)
        lease.carry(self.id)
        if source.ready(lease, (self.at + deadline - self._started) * 1000):
            self.lease = lease
            self.leased_at = now
            self.deadline = deadline
            return
        lease.release(reusable=False)
        if self._retried:
            self.fail(FunctionError(f"{lease.function}: its connection was lost before the request was sent"))
        else:
            self._retried = True
            self._acquire(now)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(
        self,
        verdict: str,
        status: int,
        now: float,
        reusable: bool,
        error: FnctlError | None = None,
        detail: str | None = None,
    ) -> None:
        source, self._source = self._source, None
        if source is None:
            return
        self._invocations.active.pop(self, None)
        if self._invocations.observer is not None:
            self._invocations.observer(self._site, status, now - self.leased_at)
        lease = self.lease
        if lease is None:
            self._enter_refused(verdict, status, now, detail)
        else:
            lease.release(reusable=reusable, error=error)
            self._enter_served(lease, verdict, status, now, detail)
        source.ended()

    def _enter_served(self, lease: Lease, verdict: str, status: int, now: float, detail: str | None) -> None:
        times = (now - self.leased_at) * 1000, (now - self._started) * 1000
        receipt = served_receipt(self.id, lease, status, verdict, self.at, *times, *self._asked(), detail)
        receipt.parent = self.parent.id if self.parent is not None else None
        self._invocations.ledger.receipt(receipt)

    def _enter_refused(self, verdict: str, status: int, now: float, detail: str | None) -> None:
        name, waited_ms = self.function.name, (now - self._started) * 1000
        receipt = refused_receipt(self.id, name, status, verdict, self.at, waited_ms, *self._asked(), detail)
        receipt.parent = self.parent.id if self.parent is not None else None
        self._invocations.ledger.receipt(receipt)

    def _asked(self) -> tuple[str, str]:
        return self._request.method.decode(), self._request.target.decode("latin-1")

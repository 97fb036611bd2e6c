"""The clock of all that is due later: one heap, and time that is real or only moves when it is told to.

Not for deadlines of running calls, idle instances or the pool: those are about this machine, and stay on its monotonic
clock whatever a test does with the calendar.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

Call = Callable[[], object]
# The wall clock can be set while we sleep: it is looked at again after this long.
LOOK_S = 60.0


class Alarm:
    """One call to come. `cancel` may be said at any time, also twice."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Call) -> None:
        self.due = due
        self.call: Call | None = call

    def cancel(self) -> None:
        self.call = None


class Clock(Protocol):
    """On one event loop's thread. Times are seconds since the epoch."""

    def now(self) -> float: ...

    def call_at(self, due: float, call: Call) -> Alarm:
        """Call once when it is due; soon, where it is due already. Never before this returns."""
        ...


class _Heap:
    """What is due, the soonest first; the same moment in the order of asking."""

    def __init__(self) -> None:
        self._alarms: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()

    def push(self, due: float, call: Call) -> Alarm:
        alarm = Alarm(due, call)
        heapq.heappush(self._alarms, (due, next(self._order), alarm))
        return alarm

    def first(self) -> float | None:
        while self._alarms and self._alarms[0][2].call is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def pop(self, now: float) -> Call | None:
        """What is due by `now`, and no longer in the heap."""
        due = self.first()
        if due is None or due > now:
            return None
        alarm = heapq.heappop(self._alarms)[2]
        call, alarm.call = alarm.call, None
        return call


class RealClock:
    """The machine's clock, with one timer of the event loop for the soonest alarm."""

    def __init__(self) -> None:
        self._heap = _Heap()
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0.0  # for when

    def now(self) -> float:
        return time.time()

    def call_at(self, due: float, call: Call) -> Alarm:
        alarm = self._heap.push(due, call)
        if self._timer is None or due < self._armed:
            self._arm()
        return alarm

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        first = self._heap.first()
        if first is not None:
            self._armed = first
            wait_s = min(max(0.0, first - self.now()), LOOK_S)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        try:
            while call := self._heap.pop(self.now()):
                call()
        finally:
            self._arm()

    def close(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._heap = _Heap()


class VirtualClock:
    """Stands still until `advance`, and then stops at every moment at which something is due."""

    def __init__(self, start: float | None = None) -> None:
        """`start`: the time it shows first; None: the real one."""
        self._heap = _Heap()
        self._now = time.time() if start is None else start
        self._soon: asyncio.Handle | None = None
        self.settled: list[Callable[[], Awaitable[object]]] = []

    def now(self) -> float:
        return self._now

    def call_at(self, due: float, call: Call) -> Alarm:
        alarm = self._heap.push(due, call)
        if due <= self._now and self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._ring)
        return alarm

    def _ring(self) -> None:
        self._soon = None
        while call := self._heap.pop(self._now):
            call()

    async def advance(self, seconds: float) -> float:
        """Move on, and return the new time. What is due on the way is done at its own time, one moment after the other:
        before the next one, all that `settled` names has come to rest."""
        target = self._now + max(0.0, seconds)
        while True:
            await self._rest()
            due = self._heap.first()
            if due is None or due > target:
                break
            self._now = max(self._now, due)
            self._ring()
        self._now = target
        return target

    async def _rest(self) -> None:
        """Until nothing that is due now is left, and nobody is busy with what it led to."""
        while True:
            for settled in self.settled:
                await settled()
            due = self._heap.first()
            if due is None or due > self._now:
                return
            self._ring()

    def close(self) -> None:
        """Ring no more."""
        if self._soon is not None:
            self._soon.cancel()
        self._heap = _Heap()

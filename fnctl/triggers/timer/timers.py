"""The timers of a run: each waits for its next time on the clock, and puts a call into its function's queue then.

A call is put at most once for each time, however often a run ends in between: its deduplication word names the time.
What became due while nothing ran is known from the last time that was done.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator

from fnctl import schedule
from fnctl.clock import Alarm, Clock
from fnctl.errors import FnctlError
from fnctl.model import Function, Missed, Overlap, TimerTrigger
from fnctl.store.port import Keys
from fnctl.tasks import Tasks
from fnctl.triggers.http.call import When
from fnctl.triggers.queue.deferred import Deferred
from fnctl.triggers.timer.events import stamp, timer_request

CAUGHT_UP = 1000  # missed times that are made up for at most
AGAIN_S = 1.0  # after the store failed

Tell = Callable[[str, str], None]  # a line for the log of a function


class Timers:
    """open → refresh … → close. On the event loop's thread."""

    def __init__(self, keys: Keys, clock: Clock, deferred: Deferred, tell: Tell) -> None:
        self._keys = keys
        self._clock = clock
        self._deferred = deferred
        self._tell = tell
        self._tasks = Tasks()
        self._timers: dict[str, _Timer] = {}

    async def refresh(self, functions: Iterable[Function]) -> None:
        """These are the functions now. A timer that stays as it is goes on; a new one begins now."""
        wanted = {_key(function.name, timer): (function, timer) for function in functions for timer in function.timers}
        for key in self._timers.keys() - wanted.keys():
            self._timers.pop(key).close()
        for key, (function, timer) in wanted.items():
            if key in self._timers:
                self._timers[key].function = function
            else:
                made = self._timers[key] = _Timer(self, key, function, timer)
                await made.open()

    async def rest(self) -> None:
        """Until no call is being put."""
        while self._tasks:
            await self._tasks.wait()

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.close()
        await self._tasks.cancel()

    def next_times(self) -> list[tuple[str, str, float]]:
        """(function, what, when), the soonest first."""
        times = [
            (each.function.name, describe(each.timer), each.next)
            for each in self._timers.values()
            if each.next is not None
        ]
        return sorted(times, key=lambda each: each[2])


class _Timer:
    def __init__(self, timers: Timers, key: str, function: Function, timer: TimerTrigger) -> None:
        self._timers = timers
        self._key = key
        self.function = function
        self.timer = timer
        self.next: float | None = None
        self._times: Iterator[float] = iter(())  # the next ones
        self._alarm: Alarm | None = None
        self._last_call: str | None = None

    async def open(self) -> None:
        """Make up for what was missed, as the timer's rule says, and wait for the next time."""
        now = self._timers._clock.now()
        known = await self._timers._keys.get(self._key, now)
        if known is None:
            await self._timers._keys.set(self._key, repr(now).encode(), now)
            last = now
        else:
            last = float(known.data)
        past = itertools.takewhile(lambda due: due <= now, schedule.occurrences(self.timer, last))
        missed = list(itertools.islice(past, CAUGHT_UP + 1))
        for due in self._to_make_up(missed):
            await self._put(due)
        if missed:
            await self._timers._keys.set(self._key, repr(now).encode(), now)
        self._times = schedule.occurrences(self.timer, now)
        self._arm()

    def _to_make_up(self, missed: list[float]) -> list[float]:
        if not missed:
            return []
        kept = {Missed.SKIP: [], Missed.ONE: missed[-1:], Missed.ALL: missed[:CAUGHT_UP]}[self.timer.missed]
        several = f"{len(missed)} times" if len(missed) <= CAUGHT_UP else f"more than {CAUGHT_UP} times"
        self._say(f"missed {several} since {stamp(missed[0])}, while nothing ran; calls made for them: {len(kept)}")
        return kept

    def _arm(self) -> None:
        self.next = next(self._times, None)
        if self.next is not None:
            due = self.next
            self._alarm = self._timers._clock.call_at(due, lambda: self._ring(due))

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _ring(self, due: float) -> None:
        self._timers._tasks.spawn(self._fire(due))
        self._arm()

    async def _fire(self, due: float) -> None:
        while True:
            try:
                if await self._may_overlap(due):
                    # In this order on their way to the store: the time is not done before its call is kept.
                    done = self._timers._keys.set(self._key, repr(due).encode(), due)
                    await asyncio.gather(self._put(due), done)
                return
            except FnctlError as error:
                self._say(f"the call for {stamp(due)} could not be kept: {error.message}; trying again")
                await asyncio.sleep(AGAIN_S)

    async def _may_overlap(self, due: float) -> bool:
        """Whether a call is made though the one before may not have ended."""
        before = self._last_call
        if self.timer.overlap is Overlap.ALLOW or before is None or not await self._timers._deferred.is_open(before):
            return True
        if self.timer.overlap is Overlap.REPLACE:
            await self._timers._deferred.stop(before)
            return True
        self._say(f"no call for {stamp(due)}: the one before has not ended (overlap: forbid)")
        return False

    async def _put(self, due: float) -> None:
        word = f"{self._key}/{due:.3f}"
        request = timer_request(self.function, self.timer, due, hashlib.sha256(word.encode()).hexdigest()[:32])
        self._last_call = await self._timers._deferred.accept(self.function, request, When(due=due, dedup=word))

    def _say(self, text: str) -> None:
        self._timers._tell(self.function.name, f"timer {describe(self.timer)}: {text}")


def describe(timer: TimerTrigger) -> str:
    """As its owner knows it."""
    if timer.name:
        return timer.name
    if timer.cron is not None:
        return f"`{timer.cron}` {timer.timezone}"
    return f"every {timer.every_s:g} s" if timer.every_s is not None else f"at {stamp(timer.at or 0.0)}"


def _key(function: str, timer: TimerTrigger) -> str:
    """Changes with the times, so that a new schedule does not make up for an old one's."""
    times = f"{timer.cron}\0{timer.timezone}\0{timer.every_s}\0{timer.at}\0{timer.name}"
    return f"timer/{function}/{hashlib.sha256(times.encode()).hexdigest()[:16]}"

"""When the queues look for due messages: after a put, after an end, and when the next one is due. Never by polling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fnctl.clock import Alarm, Clock
from fnctl.store.port import StoreUnavailable
from fnctl.tasks import Tasks

AGAIN_S = 1.0  # after the store failed


class Watch:
    """One look at a time, and another one after it where something was put meanwhile. On the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        tasks: Tasks,
        begin: Callable[[], Awaitable[bool]],
        next_due: Callable[[], Awaitable[float | None]],
    ) -> None:
        """`begin`: begin what is due, and tell whether there is room for more than that; where there is none, whoever
        makes room kicks. `next_due`: when something will be."""
        self._clock = clock
        self._tasks = tasks
        self._begin = begin
        self._next_due = next_due
        self._alarm: Alarm | None = None
        self._looking = False
        self._again = False  # something was put while a look was on its way
        self.closed = False

    def kick(self) -> None:
        """Something may be due, or there may be room."""
        if self.closed:
            return
        if self._looking:
            self._again = True
            return
        self._looking = True
        self._tasks.spawn(self._look())

    def expect(self, due: float) -> None:
        """Something was put that is due then: look by that time."""
        if self._looking:
            self._again = True  # whether the look has seen it is not known
        elif self._alarm is None or self._alarm.call is None or self._alarm.due > due:
            self.ring_at(due)

    def ring_at(self, due: float) -> None:
        """Look then, in place of when it was to be before."""
        if self._alarm is not None:
            if self._alarm.due == due and self._alarm.call is not None:
                return  # it will; and a cancelled alarm is in the heap until its time
            self._alarm.cancel()
        if not self.closed:
            self._alarm = self._clock.call_at(due, self.kick)

    def close(self) -> None:
        """Look no more."""
        self.closed = True
        if self._alarm is not None:
            self._alarm.cancel()

    async def _look(self) -> None:
        try:
            room = await self._begin()
            while room and self._again:
                self._again = False
                room = await self._begin()
            if room and (due := await self._next_due()) is not None:
                self.ring_at(due)
        except StoreUnavailable:
            self.ring_at(self._clock.now() + AGAIN_S)
        finally:
            self._looking = False
        if self._again:
            self._again = False
            self.kick()

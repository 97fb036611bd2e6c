"""Executions that have not ended, as memory holds them, and the lines in which they wait to be invoked. No store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fnctl.clock import Alarm
from fnctl.model import Function
from fnctl.triggers.http.call import Call
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.log import Tail


@dataclass(slots=True, eq=False)
class Held:
    """An execution that has not ended, as memory holds it."""

    id: str
    function: str
    tail: Tail[Execution] | None = None  # None: it sleeps
    length: int = 0  # of the log, while it sleeps
    timers: tuple[tuple[float, str, str], ...] = ()  # the same
    alarm: Alarm | None = None
    call: Call | None = None  # of the open invocation
    ready: bool = False  # it stands in its function's line
    waiters: list[asyncio.Future[Execution]] = field(default_factory=list)

    def answer(self, ended: Execution) -> None:
        """Tell those who wait for its end."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(ended)
        self.waiters.clear()

    def turn_away(self, error: Exception) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self.waiters.clear()

    def quiet(self) -> None:
        """No alarm any more."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


@dataclass(slots=True)
class _Line:
    waiting: deque[Held] = field(default_factory=deque)
    running: int = 0


class Lines:
    """One a function. As many are served at once as its instances take: more would only wait in its queue."""

    def __init__(self, function: Callable[[str], Function | None], serve: Callable[[Held, Function], None]) -> None:
        """`function`: by its name. `serve` begins to serve one, and `served` is said at its end."""
        self._function = function
        self._serve = serve
        self._lines: dict[str, _Line] = {}
        self.closed = False

    def join(self, held: Held) -> None:
        held.ready = True
        self._lines.setdefault(held.function, _Line()).waiting.append(held)
        self._go_on(held.function)

    def served(self, held: Held) -> None:
        held.ready = False
        self._lines[held.function].running -= 1
        self._go_on(held.function)

    def refresh(self) -> None:
        """The functions have changed: some may wait for one that is there now."""
        for name in list(self._lines):
            self._go_on(name)

    def _go_on(self, name: str) -> None:
        function, line = self._function(name), self._lines[name]
        if function is None or self.closed:
            return
        most = max(1, function.scale.max) * max(1, function.concurrency)
        while line.waiting and line.running < most:
            line.running += 1
            self._serve(line.waiting.popleft(), function)

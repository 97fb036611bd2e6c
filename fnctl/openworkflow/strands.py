"""Strands of a run (one, and one more for each running branch of a fork), and whether all of them wait now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Strands:
    """A run has one strand; a fork has one more for each branch, while its own waits for them."""

    def __init__(self, on_idle: Callable[[], None] = lambda: None) -> None:
        self.count = 1
        self.waiting = 0
        self._on_idle = on_idle

    @property
    def idle(self) -> bool:
        """All wait for a time, an event or another run."""
        return self.waiting >= self.count

    def more(self, count: int) -> None:
        self.count += count

    def less(self) -> None:
        self.count -= 1
        self._look()

    def wait(self) -> None:
        self.waiting += 1
        self._look()

    def go(self) -> None:
        self.waiting -= 1

    def _look(self) -> None:
        if self.idle:
            self._on_idle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """This strand waits for others of the same run."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


class Waiter:
    """One strand that waits to be told. It counts as busy again in the moment in which it is told."""

    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waits = False

    def wake(self, result: Any = None) -> None:
        self._go()
        if not self._future.done():
            self._future.set_result(result)

    def fail(self, error: Exception) -> None:
        self._go()
        if not self._future.done():
            self._future.set_exception(error)

    def _go(self) -> None:
        if self._waits:
            self._waits = False
            self._strands.go()

    async def told(self) -> Any:
        if not self._future.done():
            self._waits = True
            self._strands.wait()
        try:
            return await self._future
        finally:
            self._go()

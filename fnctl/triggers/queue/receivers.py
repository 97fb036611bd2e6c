"""Receivers that wait for the next message of a named queue. They are woken when there may be one; nothing polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Presence:
    """Whether whoever asked still waits for the answer. `leave` may be said at any time, also twice."""

    __slots__ = ("_wake", "patient")

    def __init__(self) -> None:
        self.patient = True
        self._wake: Callable[[], None] | None = None

    def leave(self) -> None:
        """It is gone, or is to be answered now."""
        self.patient = False
        if self._wake is not None:
            self._wake()

    def on_leave(self, wake: Callable[[], None] | None) -> None:
        self._wake = wake


class Arrivals:
    """Of one queue. `count` changes with each arrival: read it before looking, so that none is missed between looking
    and waiting."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def kick(self) -> None:
        """There may be a message."""
        self.count += 1
        for each in self._waiting:
            _wake(each)

    async def wait(self, since: int, timeout_s: float, presence: Presence) -> None:
        """Until `count` is another than `since`, whoever asked has left, or this many (real) seconds are over."""
        if self.count != since or not presence.patient:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        presence.on_leave(lambda: _wake(future))
        try:
            await asyncio.wait([future], timeout=timeout_s)
        finally:
            self._waiting.discard(future)
            presence.on_leave(None)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

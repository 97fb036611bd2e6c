"""Clients that send a request in crumbs. They are read in turns, some at a time, so that a thousand of them that send a
byte each at the same moment hold up the others no longer than a few do. Knows nothing of what is read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fnctl.triggers.http.tap import Tap

CRUMB, CRUMBS = 256, 2  # bytes of a small read, and how many of these a request may come in before it counts as slow
TURN_S = 0.01
# To open, read and close one takes some 10 µs. All have had their turn within a second, however many they are.
AT_ONCE = 16
TURNS = 100


class Slow(Protocol):
    def hold(self) -> None:
        """Read nothing more, until `release`."""
        ...

    def release(self) -> None: ...


class SlowLane:
    """Who is in it is held, but for one turn at a time. On the event loop's thread; a timer only while there is one."""

    def __init__(self) -> None:
        self._all: dict[Slow, None] = {}
        self._line: deque[Slow] = deque()
        self._open: list[Slow] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._all)

    def join(self, slow: Slow) -> None:
        if slow in self._all:
            return
        self._all[slow] = None
        self._line.append(slow)
        slow.hold()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TURN_S, self._turn)

    def leave(self, slow: Slow) -> None:
        """Its request is whole, or it is gone."""
        if slow in self._all:
            del self._all[slow]
            slow.release()

    def _turn(self) -> None:
        self._timer = None
        for slow in self._open:
            if slow in self._all:
                slow.hold()
                self._line.append(slow)
        self._open.clear()
        for _ in range(min(len(self._line), max(AT_ONCE, len(self._all) // TURNS))):
            slow = self._line.popleft()
            if slow in self._all:
                slow.release()
                self._open.append(slow)
        if self._all:
            self._timer = asyncio.get_running_loop().call_later(TURN_S, self._turn)


class ClientTap(Tap):
    """Of a client's connection: in the lane while its request comes in crumbs."""

    __slots__ = ("_crumbs", "_lane")

    def __init__(self, transport: asyncio.Transport, go_on: Callable[[], None], lane: SlowLane) -> None:
        super().__init__(transport, go_on)
        self._crumbs = 0  # small reads of a request that is not whole yet
        self._lane = lane

    def partial(self, size: int) -> None:
        """The request has not come whole, with this many bytes more."""
        if size <= CRUMB:
            self._crumbs += 1
            if self._crumbs > CRUMBS:
                self._lane.join(self)

    def whole(self) -> None:
        """Or whatever there is of it is on its way."""
        if self._crumbs:
            self._crumbs = 0
            self._lane.leave(self)

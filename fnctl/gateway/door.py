"""What all connections of one gateway share: admission, limits, counters, and one coarse clock for every deadline."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Protocol

from fnctl.gateway.ids import InvocationIds
from fnctl.gateway.limits import Limits
from fnctl.gateway.routes import Routes
from fnctl.runtime.lease import Admission, Ledger


class Guarded(Protocol):
    """A connection with deadlines, on `time.monotonic`'s scale."""

    def tick(self, now: float) -> None:
        """Act on deadlines that have passed."""
        ...

    def drain(self) -> None:
        """Take no further request; end as soon as the present one has its answer."""
        ...

    def abort(self) -> None: ...


class Door:
    """Plain attributes: they are read on every request."""

    def __init__(self, admission: Admission, routes: Routes, ledger: Ledger, limits: Limits) -> None:
        self.admission = admission
        self.routes = routes
        self.ledger = ledger
        self.limits = limits
        self.next_id = InvocationIds()
        self.connections: set[Guarded] = set()
        self.draining = False
        self.in_flight = 0  # invocations: from the request's head to its receipt
        self.requests = 0  # heads that were parsed, whatever came of them
        self.now = time.monotonic()  # as of the last tick: for deadlines that need not be exact
        self._clock: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._second = 0
        self._date = b""

    def enter(self, connection: Guarded) -> None:
        self.connections.add(connection)
        if self._clock is None:
            self.now = time.monotonic()
            self._clock = asyncio.get_running_loop().call_later(self.limits.tick_s, self._tick)

    def leave(self, connection: Guarded) -> None:
        self.connections.discard(connection)
        if self._emptied is not None and not self.connections:
            self._emptied.set()

    async def empty(self) -> None:
        """Until there is no connection."""
        if self.connections:
            self._emptied = self._emptied or asyncio.Event()
            self._emptied.clear()
            await self._emptied.wait()

    def date(self, now: float) -> bytes:
        """The Date field with its CRLF, made once a second."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._date

    def _tick(self) -> None:
        """One scan of all connections costs less than a timer a request: 1 ms for 10,000."""
        self._clock = None
        self.now = now = time.monotonic()
        for connection in tuple(self.connections):
            connection.tick(now)
        if self.connections:
            self._clock = asyncio.get_running_loop().call_later(self.limits.tick_s, self._tick)

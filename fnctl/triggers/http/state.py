"""What all connections of one gateway share: the invocations, limits, counters, and the clock of their deadlines."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from fnctl.dispatch.invocation import Invocations
from fnctl.tasks import Tasks
from fnctl.triggers.http.bodies import Bodies
from fnctl.triggers.http.clients import Clients
from fnctl.triggers.http.limits import Limits
from fnctl.triggers.http.slowlane import SlowLane

if TYPE_CHECKING:
    from fnctl.triggers.http.durable import Durable


class Guarded(Protocol):
    """A connection with deadlines, on `time.monotonic`'s scale."""

    @property
    def serving(self) -> bool:
        """A request on it has no answer yet."""
        ...

    @property
    def idle(self) -> bool:
        """It had a request before, and has none now."""
        ...

    def tick(self, now: float) -> None:
        """Act on deadlines that have passed."""
        ...

    def drain(self) -> None:
        """Take no further request; end as soon as the present one has its answer."""
        ...

    def abort(self) -> None: ...

    def expendable(self) -> tuple[int, float] | None:
        """Whether it may be ended to make room for another (clients.Client)."""
        ...


class Inside:
    """What all code in sandboxes has of the gateway together; none of it is taken from clients outside."""

    def __init__(self, limits: Limits) -> None:
        self.most = limits.inside
        self.connections = 0
        self.bodies = Bodies(limits.held_bytes)


class GatewayState:
    """Plain attributes: they are read on every request."""

    def __init__(self, invocations: Invocations, limits: Limits) -> None:
        self.invocations = invocations
        self.next_id = invocations.next_id
        self.limits = limits
        self.connections: set[Guarded] = set()
        self.clients = Clients(limits)
        self.slow = SlowLane()
        self.bodies = Bodies(limits.held_bytes)  # of clients outside
        self.inside = Inside(limits)
        self.parting = False  # answers say that their connection ends with them
        self.draining = False
        self.closing = False  # what is still on its way is cut off
        self.requests = 0  # heads that were parsed, whatever came of them
        self.durable: Durable | None = None  # keeps executions of durable functions
        self.tasks = Tasks()  # of requests that wait for the store
        self.now = time.monotonic()  # as of the last tick: for deadlines that need not be exact
        self._emptied: asyncio.Event | None = None
        self._left: asyncio.Event | None = None
        self._second = 0
        self._date = b""
        invocations.ticker.add(self._watch)

    @property
    def in_flight(self) -> int:
        """Connections with a request that has no answer yet."""
        return sum(connection.serving for connection in self.connections)

    def enter(self, connection: Guarded) -> None:
        self.connections.add(connection)
        if self.invocations.ticker.asleep:
            self.now = time.monotonic()
            self.invocations.ticker.wake()

    def leave(self, connection: Guarded) -> None:
        self.connections.discard(connection)
        self.clients.leave(connection)
        if self._emptied is not None and not self.connections:
            self._emptied.set()
        if self._left is not None:
            self._left.set()

    async def empty(self) -> None:
        """Until there is no connection."""
        if self.connections:
            self._emptied = self._emptied or asyncio.Event()
            self._emptied.clear()
            await self._emptied.wait()

    async def no_idle_clients(self) -> None:
        """Until no connection over TCP waits for its next request. For where each ends with its next answer."""
        self._left = asyncio.Event()
        while any(connection.idle for connection in self.connections if connection in self.clients):
            self._left.clear()
            await self._left.wait()

    def date(self, now: float) -> bytes:
        """The Date field with its CRLF, made once a second."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._date

    def _watch(self, now: float) -> bool:
        self.now = now
        for connection in tuple(self.connections):
            connection.tick(now)
        return bool(self.connections)

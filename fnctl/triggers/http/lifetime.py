"""How long a client's connection lasts: its one deadline, what is done past it, draining, lingering, and its end.

Not what is read on it, nor what is answered: connection.py.
"""

from __future__ import annotations

import asyncio
import enum
import time
from typing import Protocol

from fnctl.dispatch.invocation import NEVER
from fnctl.errors import FnctlError
from fnctl.triggers.http.refusal import SlowClient
from fnctl.triggers.http.slowlane import ClientTap
from fnctl.triggers.http.state import GatewayState


class Phase(enum.Enum):
    HEAD = enum.auto()
    HOLD = enum.auto()
    SERVING = enum.auto()
    LINGERING = enum.auto()


# Looked up in the class, each would cost what a method call does, five times a request.
HEAD, HOLD, SERVING, LINGERING = Phase


class Drained(Protocol):
    """What a request has become, as far as its end."""

    def drain(self) -> None: ...


class Lasting(Protocol):
    """The connection, as its lifetime sees it."""

    phase: Phase
    closing: bool

    @property
    def exchange(self) -> Drained | None:
        """What is being served."""
        ...

    @property
    def fresh(self) -> bool:
        """No request has come on it yet."""
        ...

    @property
    def partial(self) -> bool:
        """A part of a head is here."""
        ...

    @property
    def unread(self) -> bool:
        """There is more to come of the present request's body."""
        ...

    def admit_part(self) -> bool:
        """Start with what there is of a body that comes in chunks; False: nothing of this kind is held."""
        ...

    def refuse(self, error: FnctlError) -> None:
        """What has come of a request's head."""
        ...

    def refuse_body(self, error: FnctlError) -> None: ...

    def shut(self) -> None: ...


class Lifetime:
    """(state.Guarded, clients.Client) A connection has at most one deadline, by its phase."""

    __slots__ = ("_connection", "_gateway", "_transport", "deadline", "since", "stalled")

    def __init__(self, connection: Lasting, gateway: GatewayState, transport: asyncio.Transport) -> None:
        self._connection = connection
        self._gateway = gateway
        self._transport = transport
        self.stalled = False  # the client does not read
        self.since = time.monotonic()  # when it began to wait for a request: how long idle clients are (clients.py)
        self.deadline = self.since + gateway.limits.head_s

    # -- told by the connection ------------------------------------------------------------------------------------

    def expect(self, within_s: float) -> None:
        """Something must come of the client in this time."""
        self.deadline = time.monotonic() + within_s

    def renew(self) -> None:
        """Something has: the deadline of this phase begins anew."""
        phase = self._connection.phase
        if self.stalled or phase is LINGERING:
            return
        limits = self._gateway.limits
        if phase is HEAD:
            self.deadline = time.monotonic() + limits.keep_alive_s
        else:
            self.deadline = time.monotonic() + limits.body_idle_s if self._connection.unread else NEVER

    def stall(self) -> None:
        """The client does not read what it is sent."""
        self.stalled = True
        self.deadline = time.monotonic() + self._gateway.limits.reader_stall_s

    def recover(self) -> None:
        """It does."""
        self.stalled = False
        self.renew()

    def linger(self, tap: ClientTap, *, unread: bool) -> None:
        """End once all is written. What the client still sends is read and dropped for a while: closing a socket with
        unread input resets it, and the client might never see the answer."""
        if self._transport.is_closing():
            return
        limits = self._gateway.limits
        self.deadline = time.monotonic() + (limits.linger_s if unread else limits.reader_stall_s)
        if not unread:
            self._transport.close()
            return
        tap.reset()
        self._transport.write_eof()

    def over(self) -> None:
        """The connection is gone, and is not kept by this."""
        del self._connection

    # -- asked by the gateway (state.Guarded, clients.Client) --------------------------------------------------------

    @property
    def serving(self) -> bool:
        return self._connection.exchange is not None

    @property
    def idle(self) -> bool:
        connection = self._connection
        return connection.phase is HEAD and not connection.fresh and not connection.partial

    def tick(self, now: float) -> None:
        if self.deadline <= now:
            self._expire()

    def _expire(self) -> None:
        connection, limits = self._connection, self._gateway.limits
        if self.stalled or connection.phase is LINGERING:
            self.abort()
        elif connection.admit_part():
            pass
        elif connection.exchange is not None:
            connection.refuse_body(
                SlowClient(f"no byte of the request's body arrived for {limits.body_idle_s:g} s"),
            )
        elif connection.partial:
            connection.refuse(SlowClient(f"the request's header fields did not arrive within {limits.head_s:g} s"))
        else:
            self.abort()

    def expendable(self) -> tuple[int, float] | None:
        """Idle ones first, then who has sent a part of a head or was refused, then part of a body."""
        phase = self._connection.phase
        if phase is SERVING:
            return None
        return 2 if phase is HOLD else 1 if self._connection.partial or phase is LINGERING else 0, self.since

    def drain(self) -> None:
        connection = self._connection
        if connection.exchange is not None:
            connection.closing = True
            connection.exchange.drain()
        elif connection.phase is HEAD and connection.fresh:
            # just connected: its first request may be here, and not read yet
            self.deadline = min(self.deadline, time.monotonic() + self._gateway.limits.first_s)
        elif connection.phase is HEAD:
            connection.shut()

    def abort(self) -> None:
        """End at once; an exchange on its way is abandoned (in `connection_lost`)."""
        self._transport.abort()

"""How an instance takes invocations: what both process models share, and an instance without a function."""

from __future__ import annotations

from asyncio import BaseTransport
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from fnctl.errors import FnctlError, ProtocolError
from fnctl.model import RuntimeSpec
from fnctl.sandbox.connection import DataConnection
from fnctl.sandbox.conversation import Conversation
from fnctl.sandbox.exit_news import ExitNews
from fnctl.sandbox.lifecycle import Death, Lifecycle, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.placement import Place, Usage


@dataclass(frozen=True, slots=True)
class Figure:
    """How the process of one ephemeral invocation ended, for its receipt."""

    cpu_ms: float | None = None
    peak_mb: float | None = None
    own: bool = True  # the figures are of that process alone; else the sandbox's have to do
    cut: bool = False  # it worked on after its answer, and was ended


Figures = deque[Figure]
# Errors after which an instance takes no further request: by their code, what it then ends of.
ENDING = {"timeout": Death.TIMEOUT, "protocol": Death.BREACH}


class Agent(Protocol):
    """What runs in the instance (agent_process.py), as what serves in it sees it."""

    exits: ExitNews
    boots: int
    booted_ahead: bool


class Served(Protocol):
    """The instance, as what serves in it sees it."""

    place: Place
    life: Lifecycle
    conversation: Conversation
    clock: Callable[[], float]
    created: float
    held: bool
    usage: Usage | None

    @property
    def agent(self) -> Agent: ...

    def offer(self, connection: DataConnection) -> None:
        """This connection is free to carry a request."""
        ...

    def withdraw(self, connection: DataConnection) -> None:
        """This connection ended, whether it was on offer or carried a request."""
        ...

    async def boot(self, spec: RuntimeSpec, *, ahead: bool = False, template: bool = False) -> None: ...

    async def load(self, code: Code, timeout_s: float) -> None: ...

    def drain(self, why: Death) -> None: ...

    def end(self, why: Death) -> None: ...


class Serving:
    """The connections of one instance and the invocations on them. An instance has one for its code, until it ends.

    This class is what an instance without a function has: it takes nothing.
    """

    plain: ClassVar[bool] = False  # a receipt of a warm call has no figures of its own to wait for
    stays: ClassVar[bool] = False  # its program lives on between invocations, and is told before it ends

    def __init__(self, instance: Served) -> None:
        self._instance = instance
        self._life = instance.life
        self._clock = instance.clock
        self.connections: dict[DataConnection, None] = {}  # a set in the order of their coming
        self.dialling = 0  # connections that the agent was asked for, and that are not here yet
        self.in_flight = 0
        self.served = 0
        self.idle_since = instance.created  # from when idleness counts: its load, its last invocation ended

    # -- what is asked of it ---------------------------------------------------------------------------------------

    @property
    def figures(self) -> Figures | None:
        """Of single invocations, in order, where each has a process whose end is waited for; else None."""
        return None

    @property
    def leftover_processes(self) -> int:
        """How many there were at the last look."""
        return 0

    @property
    def cleaning(self) -> bool:
        """Between two invocations: back in a moment."""
        return False

    def room(self) -> int:
        """How many more connections it may open for its function."""
        return 0

    def dial(self, count: int) -> None:
        self.dialling += count
        self._instance.conversation.dial(count)

    def begin(self) -> None:
        """An invocation goes in."""
        raise NotImplementedError

    def finish(self, connection: DataConnection, *, reusable: bool, error: FnctlError | None) -> None:
        """An invocation is over: put the connection back, or clean, drain or end the instance (Lease.release)."""
        raise NotImplementedError

    def carry(self, connection: DataConnection, invocation: str) -> None:
        """The invocation that went in has this id. On the warm path."""

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        """Whether what was printed there can be of this invocation: it runs here, or ran here not long ago."""
        return False

    # -- told by the instance --------------------------------------------------------------------------------------

    def loading(self) -> None:
        """The agent is about to load the code, and to open one connection by itself."""
        self.dialling = 1

    def loaded(self, message: Mapping[str, Any]) -> None:
        """The agent has said so; the state follows."""

    def released(self) -> None:
        """Loaded, and nothing else is waited for: idleness counts from now on."""
        self.idle_since = self._clock()
        self.settle()

    def settle(self) -> None:
        """Offer what came before it could be offered, once nothing stands against it."""

    def draining(self) -> None:
        self.dialling = 0  # what is still on its way is turned away

    def end_expected(self, *, oom: bool) -> bool:
        """Whether the agent's end, of which the supervisor has just told, is how it should be."""
        return False

    @property
    def asked_to_end(self) -> bool:
        """Whether we asked for the agent's end."""
        return False

    def process_ended(self) -> None:
        """The process that served is gone; what is known of its end is in `exits`."""

    def agent_hung_up(self) -> None:
        """The agent says no more. Its process has ended or is about to, which `process_ended` will tell."""

    def done(self, message: Mapping[str, Any], oom_killed: Callable[[], bool]) -> None:
        """A forking agent's word that an invocation's process has ended."""
        raise ProtocolError("`done` without an invocation")

    def close(self) -> None:
        """The instance is dead."""
        for connection in list(self.connections):
            connection.close()

    # -- told by its connections (DataOwner) -----------------------------------------------------------------------

    def data_connected(self, connection: DataConnection, transport: BaseTransport) -> None:
        if self._life.state in (State.DRAINING, State.DEAD):
            connection.close()  # it was on its way
            return
        if not self._instance.place.admits(transport) or not self._expects(transport):
            connection.close()
            self._instance.conversation.refused()
            return
        self.connections[connection] = None
        self.dialling = max(0, self.dialling - 1)
        self._connected(connection)

    def data_lost(self, connection: DataConnection) -> None:
        self.connections.pop(connection, None)
        self._instance.withdraw(connection)

    def _expects(self, transport: BaseTransport) -> bool:
        """Whether one more connection, and from this process, is expected."""
        return False

    def _connected(self, connection: DataConnection) -> None: ...

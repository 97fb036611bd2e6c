"""The resident process model in one instance: a process that stays, with several connections that are used again."""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Mapping
from typing import Any, cast

from fnctl.errors import FnctlError
from fnctl.model import Function
from fnctl.sandbox.connection import DataConnection, SharedConnection, SharingConnection
from fnctl.sandbox.leftover_processes import WORKERS_S, LeftoverProcesses
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import can_share
from fnctl.sandbox.serving import ENDING, Served, Serving

# Ended invocations, the half of them: what works on after its answer prints as its own until as many others have come.
LATE = 512


class Resident(Serving):
    """Begin and finish are the warm path: they do nothing that can wait."""

    plain = True
    stays = True

    def __init__(self, instance: Served, function: Function) -> None:
        super().__init__(instance)
        self._concurrency = function.concurrency
        self._early: list[DataConnection] = []  # they came before they could be offered
        self._carried: dict[DataConnection, str] = {}  # the last invocation of each
        self._late: set[str] = set()  # those before, of which lines may still come; when full, the older half goes
        self._later: set[str] = set()
        self._shared: SharedConnection | None = None
        self._offers = can_share(function)  # the agent may say that the first connection is for the requests of all
        self._shares = False  # it has said so, and that connection is still to be told from the others
        self._leftovers = LeftoverProcesses(WORKERS_S if function.command else 0.0)

    @property
    def leftover_processes(self) -> int:
        return self._leftovers.count

    def room(self) -> int:
        if not self._life.takes_requests:
            return 0
        return self._concurrency - len(self.connections) - self.dialling

    def begin(self) -> None:
        self.in_flight += 1
        self.served += 1
        life = self._life
        if life.state is State.IDLE or life.state is State.ASLEEP:
            life.state = State.BUSY

    def carry(self, connection: DataConnection, invocation: str) -> None:
        before = self._carried.get(connection)
        self._carried[connection] = invocation
        if before is not None:
            self._ended(before)

    def _ended(self, invocation: str) -> None:
        self._late.add(invocation)
        if len(self._late) >= LATE:
            self._later, self._late = self._late, set()

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        return invocation in self._late or invocation in self._later or invocation in self._carried.values()

    def finish(self, connection: DataConnection, *, reusable: bool, error: FnctlError | None) -> None:
        self.in_flight -= 1
        self.idle_since = now = self._clock()
        life = self._life
        if life.state is State.DEAD:
            return
        if error is not None and error.code in ENDING:
            connection.close()
            self._instance.drain(ENDING[error.code])
        elif life.state is State.DRAINING:
            connection.close()
            self._instance.drain(life.death or Death.REPLACED)
        else:
            if self.in_flight == 0 and life.state is State.BUSY:
                life.state = State.IDLE
                if now >= self._leftovers.look_at and self._too_many_left():
                    self._instance.end(Death.LEFTOVER_PROCESSES)
                    return
            if reusable and connection in self.connections:
                self._instance.offer(connection)
            else:
                connection.close()

    def _too_many_left(self) -> bool:
        return self._leftovers.too_many(self._instance.usage, self.idle_since)

    def loaded(self, message: Mapping[str, Any]) -> None:
        self._shares = self._offers and message.get("shares") is True
        self._offers = False
        if self._shares:
            self.dialling = max(0, 2 - len(self._early))
        self._leftovers.loaded(self._instance.usage, self._clock())

    def settle(self) -> None:
        if self._instance.held or not self._life.takes_requests:
            return
        early, self._early = self._early, []
        for connection in early:
            self._welcome(connection)

    def data_lost(self, connection: DataConnection) -> None:
        if connection in self._early:
            self._early.remove(connection)
        if (last := self._carried.pop(connection, None)) is not None:
            self._ended(last)
        super().data_lost(connection)

    def close(self) -> None:
        super().close()
        if self._shared is not None:
            self._shared.close()

    def _expects(self, transport: BaseTransport) -> bool:
        return len(self.connections) < self._concurrency + (self._offers or self._shares)

    def _connected(self, connection: DataConnection) -> None:
        if self._life.state is State.LOADING or self._instance.held:
            # it may overtake `loaded`, which travels on another socket: offered when that is here
            self._early.append(connection)
        else:
            self._welcome(connection)

    def _welcome(self, connection: DataConnection) -> None:
        if self._shares:
            self._shares = False
            del self.connections[connection]
            self._shared = cast(SharingConnection, connection).share()
            return
        if self._shared is not None:
            cast(SharingConnection, connection).join(self._shared)
        self._instance.offer(connection)

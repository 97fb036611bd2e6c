"""The networks of one run: which of them a sandbox of a given reach is on. Made when first asked for, and removed when
the run ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from fnctl.engine.port import Engine, Guard
from fnctl.model import Function, Network, Reach
from fnctl.services.plan import Owner, network_name

SERVICES = Reach(Network.SERVICES)


class Networks:
    """Blocking, from any thread. What `stop` finds still in use it leaves for the next run's sweep."""

    def __init__(self, engine: Engine, owner: Owner) -> None:
        self._engine = engine
        self._owner = owner
        self._made: dict[Reach, str] = {}
        self._lock = threading.Lock()

    def ensure(self, functions: Iterable[Function]) -> None:
        """Those that these functions need are there. EngineError where one cannot be."""
        for reach in {function.reach for function in functions}:
            self.of(reach)

    def of(self, reach: Reach) -> tuple[str, ...]:
        """The networks' names; the first has the way out, where there is one."""
        if reach.network is Network.NONE:
            return ()
        if reach.network is Network.SERVICES:
            return (self._one(SERVICES),)
        return (self._one(reach), self._one(SERVICES))

    def _one(self, reach: Reach) -> str:
        with self._lock:
            if reach not in self._made:
                name = network_name(self._owner, reach)
                inside = reach.network is Network.SERVICES
                self._engine.ensure_network(
                    name, internal=inside, labels=self._owner.of_run, guard=None if inside else guard(reach)
                )
                self._made[reach] = name
            return self._made[reach]

    def stop(self) -> None:
        with self._lock:
            while self._made:
                self._engine.remove_network(self._made.popitem()[1])


def guard(reach: Reach) -> Guard | None:
    """What the project has not allowed; None where it has allowed everything."""
    refused = Guard(host=not reach.egress.host, link_local=not reach.egress.link_local)
    return refused if refused.host or refused.link_local else None

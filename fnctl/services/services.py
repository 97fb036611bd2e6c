"""The stateful services of a project (`services:`): plain containers with a volume, on a network with no way out. When
one that has ended is started anew is told in supervisor.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fnctl.engine.port import LABEL_HOME, LABEL_PROJECT, LABEL_ROLE, Engine
from fnctl.errors import EngineError, FnctlError, ServiceDown
from fnctl.model import Function, Network
from fnctl.services import failing
from fnctl.services.left_behind import left_behind
from fnctl.services.networks import SERVICES, Networks
from fnctl.services.node import Health, Node
from fnctl.services.plan import Owner, Planned, spec, volume_name, volume_to_use

READY_S = 15.0  # a service that starts answers within tenths of a second, also after it was killed in a write


class Services:
    """Starts the services that a project asks for, and takes them away again. `start`, `check` and `stop` block."""

    def __init__(
        self,
        engine: Engine,
        owner: Owner,
        networks: Networks,
        planned: Sequence[Planned],
        folder: Path,
        on_line: Callable[[str, str, str], None] = lambda service, sandbox, text: None,
        ready_s: float = READY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is the project's for slots: a service gets one of its own in it. `on_line`: see Node."""
        self._engine = engine
        self._owner = owner
        self._networks = networks
        self._planned = planned
        self._folder = folder
        self._on_line = on_line
        self._clock = clock
        self.ready_s = ready_s
        self.nodes: list[Node] = []
        self.notes: list[str] = []  # what the user should know of their volumes

    def start(self) -> None:
        """EngineError where one does not come up; what was started is stopped by `stop`."""
        before = self._engine.volumes({LABEL_HOME: self._owner.home})
        for planned in self._planned:
            (network,) = self._networks.of(SERVICES)
            folder = self._folder / f"service-{planned.name}"
            made = spec(self._owner, planned, folder, self._volume(planned), network)
            self.nodes.append(Node(self._engine, planned, folder, made, self._on_line, self._clock))
            self.nodes[-1].make()
        self.notes += left_behind(self._owner, [each.name for each in self._planned if each.kind.volume], before)

    def _volume(self, planned: Planned) -> str:
        if not planned.kind.volume:
            return ""
        project = {LABEL_PROJECT: self._owner.project}
        there = self._engine.volumes(project)
        if volume_name(self._owner, planned.name) in there:
            return volume_name(self._owner, planned.name)
        others = self._engine.list({**project, LABEL_ROLE: "service"})
        shared = any(box.running and box.labels.get(LABEL_HOME) != self._owner.home for box in others)
        volume = volume_to_use(self._owner, planned.name, there, shared=shared)
        if volume in there:
            self.notes.append(f"service {planned.name} keeps using the volume {volume}, made by an earlier fnctl")
        else:
            self._engine.ensure_volume(volume, self._owner.labels)
        return volume

    def check(self) -> None:
        """Wait until every service can be used. EngineError for one that cannot."""
        began = self._clock()
        for node in self.nodes:
            node.await_ready(self.ready_s, began)
            node.is_up()

    def hold(self) -> None:
        """All of them stand still until `release`, and what is in their volumes is of one moment. EngineError: none
        does."""
        try:
            for node in self.nodes:
                node.hold()
        except EngineError:
            self.release()
            raise

    def release(self) -> None:
        """They go on. Again is fine."""
        for node in self.nodes:
            node.release()

    def stop(self) -> None:
        """Volumes stay: they hold the state."""
        while self.nodes:
            self.nodes.pop().close()

    # -- what is known of them -------------------------------------------------------------------------------------

    def addresses(self) -> Mapping[str, str | None]:
        """Where each is, by name; None: nowhere now."""
        reachable = (Health.UP, Health.UNRESPONSIVE)  # it may be slow only
        return {node.name: node.address if node.health in reachable else None for node in self.nodes}

    def rows(self) -> list[dict[str, Any]]:
        return [node.row() for node in self.nodes]

    def explained(self, function: Function, error: FnctlError, began: float) -> FnctlError:
        """A function's failure as that of a service, where the function can reach services, one was down since it
        `began`, and the failure reads like a connection that failed. Else the same error."""
        if function.network is Network.NONE:
            return error
        down = [node for node in self.nodes if node.missed_since(began)]
        if not down or not failing.of_connection(error):
            return error
        node = down[0]
        if node.health is Health.UNRESPONSIVE:
            return _down(node, error, f"{function.name} failed while the service {node.name} hung: {node.found}")
        state = "is running again" if node.health is Health.UP else "is being started again"
        ago = self._clock() - node.down_at
        found = f"{node.found} {ago:.1f} s ago, and {state}" if node.found else "it is not up yet"
        return _down(node, error, f"{function.name} failed while the service {node.name} was down: {found}")


def _down(node: Node, error: FnctlError, said: str) -> ServiceDown:
    hint = f"retry; `fnctl logs {node.name}` and `fnctl ps` show more"
    return ServiceDown(f"{said}; {error.message}", hint=hint, detail=error.detail, retry_after_s=1)

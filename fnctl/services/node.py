"""One stateful service of a run: its container, made anew where it ended, and what is known of it. Not when to make it
anew (supervisor.py)."""

from __future__ import annotations

import enum
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fnctl.engine.port import Closer, Engine
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec
from fnctl.services.plan import Planned
from fnctl.services.ready import Readiness, readiness

LOOK_S = 0.02
INSPECT_S = 0.5  # how soon a service that has ended instead is noticed
LINES_A_SECOND = 1000  # of its output that are kept: what it prints must not take the gateway's time


class Health(enum.StrEnum):
    STARTING = "starting"
    UP = "up"
    UNRESPONSIVE = "unresponsive"  # it runs, and accepts no connection: restarted if that lasts
    DOWN = "down"


class Node:
    """The container's owner. `make`, `await_ready` and `unmake` block, one at a time; what else is known of it is set
    by them and by the supervisor, and read by anybody."""

    def __init__(
        self,
        engine: Engine,
        planned: Planned,
        folder: Path,
        spec: SandboxSpec,
        on_line: Callable[[str, str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` is its own, and is made here. `on_line` is called with its name, its container's id and a line of
        its output, from a thread of the engine's."""
        self.name = planned.name
        self.planned = planned
        self.sandbox: str | None = None
        self.pid = 0
        self.address: str | None = None
        self.health = Health.STARTING
        self.since = clock()  # in this state
        self.down_at = -1.0  # when it was found down last; negative: never
        self.restarts = 0
        self.found = ""  # why it is, or was, down
        self.held = False  # its processes are stopped where they are, for a while
        self._engine = engine
        self._folder = folder
        self._spec = spec
        self._on_line = on_line
        self._clock = clock
        self._lines: Closer | None = None
        folder.mkdir()
        folder.chmod(0o755)
        self._readiness: Readiness = readiness(planned.kind, folder)

    # -- blocking --------------------------------------------------------------------------------------------------

    def make(self) -> None:
        """A new container. EngineError where there is none."""
        self._readiness.reset()
        sandbox = self._engine.create(self._spec)
        self.sandbox = sandbox
        bounded = Bounded(lambda text: self._on_line(self.name, sandbox[:12], text), self._clock)
        self._lines = self._engine.logs(sandbox, bounded.line)

    def await_ready(self, within_s: float, since: float | None = None) -> None:
        """Wait until it can be used. EngineError for one that cannot, or that has ended: a volume it cannot use, a
        broken image. `since`: when the time began; now, where it is not said."""
        deadline = (self._clock() if since is None else since) + within_s
        hint = f"`fnctl logs {self.name}` shows its output"
        while True:
            info = self._engine.inspect(self.sandbox) if self.sandbox is not None else None
            if info is None or not info.running:
                code = "" if info is None or info.exit_code is None else f" (exit code {info.exit_code})"
                raise EngineError(f"the service {self.name} exited right after its start{code}", hint=hint)
            self.pid, self.address = info.pid, info.addresses.get(self._spec.network or "")
            inspect_at = self._clock() + INSPECT_S
            while not self._readiness.ready(info.pid):
                now = self._clock()
                if now > deadline:
                    raise EngineError(f"service {self.name} did not answer within {within_s:g} s", hint=hint)
                if now > inspect_at:
                    break
                time.sleep(LOOK_S)
            else:
                return

    def hold(self) -> None:
        """Until `release`, none of its processes does anything: what is in its volume stays the same. EngineError where
        it is not up."""
        if self.sandbox is None or self.health not in (Health.UP, Health.UNRESPONSIVE):
            raise EngineError(f"the service {self.name} is {self.health}: it cannot be held", hint="try again")
        self.held = True
        self._engine.pause(self.sandbox)

    def release(self) -> None:
        """Again is fine."""
        try:
            if self.held and self.sandbox is not None:
                self._engine.unpause(self.sandbox)
        finally:
            self.held = False

    def fate(self) -> str:
        """How it ended, in words."""
        try:
            info = self._engine.inspect(self.sandbox) if self.sandbox is not None else None
        except EngineError:
            return "its container ended, and Docker does not answer"
        if info is None:
            return "its container was removed"
        if info.oom_killed:
            return f"it ran out of memory (limit {self._spec.memory_mb} MB)"
        return "its container ended" if info.exit_code is None else f"it exited with code {info.exit_code}"

    def unmake(self) -> None:
        """Its container is gone, its last words are passed on; its volume stays. Again is fine."""
        sandbox, lines = self.sandbox, self._lines
        if lines is not None:
            lines.close()
        if sandbox is not None:
            self._engine.destroy(sandbox)
        self.sandbox = self._lines = None
        self.pid = 0

    def close(self) -> None:
        """For good."""
        sandbox, self.sandbox = self.sandbox, None
        try:
            if sandbox is not None:
                self._engine.destroy(sandbox)
        finally:
            if self._lines is not None:
                self._lines.close()
            self._readiness.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- what is known of it ---------------------------------------------------------------------------------------

    def is_up(self) -> None:
        self.health, self.since = Health.UP, self._clock()

    def is_down(self, found: str) -> None:
        now = self._clock()
        if self.health is not Health.DOWN:
            self.since = now
        self.health, self.down_at, self.found = Health.DOWN, now, found

    def is_unresponsive(self, found: str) -> None:
        if self.health is not Health.UNRESPONSIVE:
            self.since = self._clock()
        self.health, self.found = Health.UNRESPONSIVE, found

    def missed_since(self, at: float) -> bool:
        """Whether it was down at any time from then on, or is unresponsive."""
        return self.health is not Health.UP or (self.down_at >= 0 and self.since >= at)

    def row(self) -> dict[str, Any]:
        """For `fnctl ps` and the live view."""
        return {
            "name": self.name,
            "type": self.planned.kind.name,
            "state": str(self.health),
            "sandbox": (self.sandbox or "")[:12],
            "address": self.address,
            "ports": list(self.planned.kind.ports),
            "age_s": round(self._clock() - self.since, 1),
            "restarts": self.restarts,
            "found": self.found if self.health is not Health.UP else "",
        }


class Bounded:
    """Passes on so many lines a second, and then how many there were more."""

    def __init__(self, on_line: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._on_line = on_line
        self._clock = clock
        self._second = 0
        self._passed = self._dropped = 0

    def line(self, text: str) -> None:
        second = int(self._clock())
        if second != self._second:
            dropped, self._second, self._passed, self._dropped = self._dropped, second, 0, 0
            if dropped:
                self._on_line(f"… {dropped} lines dropped: more than {LINES_A_SECOND} a second")
        self._passed += 1
        if self._passed > LINES_A_SECOND:
            self._dropped += 1
        else:
            self._on_line(text)

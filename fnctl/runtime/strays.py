"""Processes that a resident function leaves behind when it has answered: counted, and how many are too many."""

from __future__ import annotations

from fnctl.engine.cgroup import Cgroup

# A quarter of what the sandbox may have at once (SandboxSpec.pids), so that there is room for those that an invocation
# starts and waits for.
LIMIT = 32
# Counting is one read, but the kernel puts a list together for it, and a busy instance comes to rest thousands of times
# a second.
LOOK_S = 1.0


class Strays:
    """What there is more of than when the code was loaded. What the function had started by then is its own.

    Off a sandbox whose cgroup cannot be read (a remote engine) nothing is known, and nothing is too many.
    """

    def __init__(self) -> None:
        self._own = 0
        self._looked = 0.0
        self.count = 0  # at the last look

    def loaded(self, cgroup: Cgroup | None) -> None:
        self._own = cgroup.processes() if cgroup is not None else 0

    def due(self, now: float) -> bool:
        return now - self._looked > LOOK_S

    def too_many(self, cgroup: Cgroup | None, now: float) -> bool:
        """Look, with no invocation inside."""
        self._looked = now
        if cgroup is not None:
            self.count = max(0, cgroup.processes() - self._own)
        return self.count > LIMIT

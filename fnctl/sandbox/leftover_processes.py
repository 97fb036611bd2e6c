"""Processes that a resident function leaves behind when it has answered: counted, and how many are too many."""

from __future__ import annotations

from fnctl.sandbox.placement import Usage

# A quarter of what the sandbox may have at once (SandboxSpec.pids), so that there is room for those that an invocation
# starts and waits for.
LIMIT = 32
# Counting is one read, but the kernel puts a list together for it, and a busy instance comes to rest thousands of times
# a second.
LOOK_S = 1.0
# A server of several processes listens first and starts its workers then.
WORKERS_S = 10.0


class LeftoverProcesses:
    """What there is more of than when the code was loaded. What the function had started by then is its own.

    Of a sandbox whose usage cannot be read (a remote engine) nothing is known, and nothing is too many.
    """

    def __init__(self, workers_s: float = 0.0) -> None:
        """`workers_s`: what it starts for so long after it has loaded is its own as well, and what is there at the
        first look however late that is; up to LIMIT more."""
        self._workers_s = workers_s
        self._starting = workers_s > 0
        self._own = 0
        self._own_at_most = 0
        self._started_by = 0.0
        self.look_at = 0.0  # when the next look is due
        self.count = 0  # at the last look

    def loaded(self, usage: Usage | None, now: float) -> None:
        self._own = usage.processes() if usage is not None else 0
        self._own_at_most = self._own + LIMIT
        self._started_by = now + self._workers_s

    def too_many(self, usage: Usage | None, now: float) -> bool:
        """Look, with no invocation inside."""
        self.look_at = now + LOOK_S
        if usage is not None:
            there = usage.processes()
            if self._starting:
                self._own = max(self._own, min(there, self._own_at_most))
                self._starting = now < self._started_by
            self.count = max(0, there - self._own)
        return self.count > LIMIT

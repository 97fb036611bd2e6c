"""Processes that a resident function leaves behind when it has answered: counted, and how many are too many."""

from __future__ import annotations

from fnctl.sandbox.placement import Usage

# A quarter of what the sandbox may have at once (SandboxSpec.pids), so that there is room for those that an invocation
# starts and waits for.
LIMIT = 32
# Counting is one read, but the kernel puts a list together for it, and a busy instance comes to rest thousands of times
# a second.
LOOK_S = 1.0


class LeftoverProcesses:
    """What there is more of than when the code was loaded. What the function had started by then is its own.

    Of a sandbox whose usage cannot be read (a remote engine) nothing is known, and nothing is too many.
    """

    def __init__(self) -> None:
        self._own = 0
        self.look_at = 0.0  # when the next look is due
        self.count = 0  # at the last look

    def loaded(self, usage: Usage | None) -> None:
        self._own = usage.processes() if usage is not None else 0

    def too_many(self, usage: Usage | None, now: float) -> bool:
        """Look, with no invocation inside."""
        self.look_at = now + LOOK_S
        if usage is not None:
            self.count = max(0, usage.processes() - self._own)
        return self.count > LIMIT

"""What the start of one instance was, and what it cost: what its first invocation's receipt says."""

from __future__ import annotations

from dataclasses import dataclass

from fnctl.model import StartKind


@dataclass(slots=True)
class Start:
    """Milliseconds of this instance's start that a request waited for."""

    kind: StartKind = StartKind.COLD
    container_ms: float = 0.0  # made, or given its network and limits
    runtime_ms: float = 0.0
    load_ms: float = 0.0

    def claimed(self, kind: StartKind) -> None:
        """A request takes it now. What was made ahead, no request waited for."""
        self.kind = kind
        if kind is not StartKind.COLD:
            self.container_ms = 0.0
        if kind is StartKind.RUNTIME:
            self.runtime_ms = 0.0

    def configured(self, took_ms: float) -> None:
        """The engine's changes were made beside boot and load: what they took longer counts as container."""
        if beside := self.runtime_ms + self.load_ms:
            self.container_ms += max(0.0, took_ms - beside)

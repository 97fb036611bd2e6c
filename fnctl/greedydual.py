"""Which sleeping instance ends where there is no memory for all: a pure policy, no clock, no engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_MB = 1.0  # what is smaller is not worth more for it


@dataclass(frozen=True, slots=True)
class Sleeper:
    """An instance asleep. `value`: what `GreedyDual.value` gave it when it fell asleep."""

    key: str
    value: float
    memory_mb: float


class GreedyDual:
    """The Greedy-Dual-Size-Frequency keep-alive of Fuerst and Sharma, "FaasCache: Keeping Serverless Computing Alive
    with Greedy-Dual Caching", ASPLOS 2021, section 4: what an instance is worth is the time that its next start would
    take, times the calls that it has served, for each MB that it holds. The one of least value ends first.

    `clock` is the value of the last that ended: what falls asleep later begins from there, so an instance that was
    worth much once does not stay for that alone. Guarantees: what is left fits; the same for the same story.
    """

    def __init__(self) -> None:
        self.clock = 0.0

    def value(self, calls: int, start_ms: float, memory_mb: float) -> float:
        return self.clock + max(1, calls) * max(1.0, start_ms) / max(LEAST_MB, memory_mb)

    def evict(self, asleep: Sequence[Sleeper], budget_mb: float) -> list[str]:
        """Whose keys are to end, so that the rest takes no more than the budget."""
        total_mb = sum(one.memory_mb for one in asleep)
        gone: list[str] = []
        for one in sorted(asleep, key=lambda one: one.value):
            if total_mb <= budget_mb:
                break
            gone.append(one.key)
            total_mb -= one.memory_mb
            self.clock = max(self.clock, one.value)
        return gone

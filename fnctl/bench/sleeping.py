"""Instances that sleep, in simulation: who finds one, and the memory that they hold. One budget for all functions.

What decides is `fnctl/greedydual.py`, as in a run; `Latest` stands beside it to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fnctl.bench.arrivals import Trace
from fnctl.greedydual import Sleeper

START_MS = 25.0  # what a start from the pool takes: the same for all, a trace does not tell


class Eviction(Protocol):
    """GreedyDual, as far as it is used here."""

    def value(self, calls: int, start_ms: float, memory_mb: float) -> float: ...

    def evict(self, asleep: Sequence[Sleeper], budget_mb: float) -> list[str]: ...


class Latest:
    """Who fell asleep last stays: least recently used."""

    def __init__(self) -> None:
        self._slept = 0

    def value(self, calls: int, start_ms: float, memory_mb: float) -> float:
        self._slept += 1
        return float(self._slept)

    def evict(self, asleep: Sequence[Sleeper], budget_mb: float) -> list[str]:
        by_age = sorted(asleep, key=lambda one: one.value)
        over_mb = sum(one.memory_mb for one in by_age) - budget_mb
        gone: list[str] = []
        for one in by_age:
            if over_mb <= 0:
                break
            gone.append(one.key)
            over_mb -= one.memory_mb
        return gone


@dataclass(slots=True)
class Slept:
    """What came of it: first calls that found nothing (minute, index of the function), those that found one asleep, and
    the minutes that instances were awake without a call, or asleep."""

    first: list[tuple[int, int]] = field(default_factory=list)
    asleep: int = 0
    idle_min: int = 0
    asleep_min: int = 0


@dataclass(slots=True)
class _Instance:
    """Of one function. `since`: the minute in which it fell asleep; None: awake."""

    last: int
    served: int
    since: int | None = None
    value: float = 0.0


class Sleeping:
    """One simulation, minute by minute: awake for `idle_min` after the last call, asleep for `keep_min` after that,
    within `budget_mb` for all that sleep."""

    def __init__(self, policy: Eviction, idle_min: int, keep_min: int, budget_mb: float, loaded_mb: float) -> None:
        self._policy = policy
        self._idle_min, self._keep_min = idle_min, keep_min
        self._budget_mb, self._loaded_mb = budget_mb, loaded_mb
        self._there: dict[int, _Instance] = {}
        self._slept = Slept()

    def run(self, trace: Trace) -> Slept:
        by_minute: dict[int, list[tuple[int, int]]] = {}
        for index, function in enumerate(trace.functions):
            for minute, calls in function.counts:
                by_minute.setdefault(minute, []).append((index, calls))
        for minute in range(trace.minutes):
            for index, calls in by_minute.get(minute, ()):
                self._called(minute, index, calls)
            self._pass(minute)
        return self._slept

    def _called(self, minute: int, index: int, calls: int) -> None:
        instance = self._there.get(index)
        if instance is None:
            self._slept.first.append((minute, index))
            instance = self._there[index] = _Instance(minute, 0)
        elif instance.since is not None:
            self._slept.asleep += 1
            instance.since = None
        instance.last = minute
        instance.served += calls

    def _pass(self, minute: int) -> None:
        """From this minute to the next, for who is there: awake, falling asleep, asleep, or gone."""
        for index, one in list(self._there.items()):
            if one.since is None and minute - one.last < self._idle_min:
                self._slept.idle_min += 1
            elif one.since is None:
                one.since = minute
                one.value = self._policy.value(one.served, START_MS, self._loaded_mb)
            if one.since is not None and minute - one.since >= self._keep_min:
                del self._there[index]
        asleep = {str(index): one for index, one in self._there.items() if one.since is not None}
        sleepers = [Sleeper(key, one.value, self._loaded_mb) for key, one in asleep.items()]
        gone = self._policy.evict(sleepers, self._budget_mb)
        for key in gone:
            del self._there[int(key)]
        self._slept.asleep_min += len(asleep) - len(gone)

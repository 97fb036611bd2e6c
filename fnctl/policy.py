"""How many containers without a function to hold, for all functions together: a pure policy, no clock, no engine."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from fnctl.errors import UsageError

# Quantiles of the demand that the tiers cover. A booted runtime costs nine base containers: it covers what is common,
# and the cheap tier covers most of the rest.
BOOTED_QUANTILE = 0.95
BASE_QUANTILE = 0.99
MEMORY = 512  # first calls remembered: a quantile of 0.99 needs 100, and more only take time


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an idle container of each tier takes, in MB; the defaults are what `make bench` found."""

    base_mb: float = 2.0
    booted_mb: float = 18.0
    loaded_mb: float = 25.0


@dataclass(frozen=True, slots=True)
class Targets:
    """How many containers without a function to hold: `base` of them bare, `booted` with each runtime."""

    base: int
    booted: dict[str, int]

    @property
    def total(self) -> int:
        return self.base + sum(self.booted.values())

    def memory_mb(self, sizes: Sizes) -> float:
        return self.base * sizes.base_mb + sum(self.booted.values()) * sizes.booted_mb


@dataclass(frozen=True, slots=True)
class PoolRules:
    """What a pool may be. UsageError where the budget has no room for the floor, even of bare containers.

    `floor`: containers that are always held; as far as it goes, one of each of `runtimes`, in their order, is booted.
    `refill_s`: how long it takes to replace what was taken: 0.3 s of quiet, a container and a boot, with room to spare.
    `horizon_s`: how long a first call counts. `half_life_s`: after which it counts half as much as one of now.
    """

    floor: int = 3
    runtimes: tuple[str, ...] = ()
    budget_mb: float = 256.0
    sizes: Sizes = Sizes()
    refill_s: float = 2.0
    horizon_s: float = 1200.0
    half_life_s: float = 300.0

    def __post_init__(self) -> None:
        if self.bases_beside(0) < self.floor:
            raise UsageError(
                f"a pool of {self.floor} needs at least {self.floor * self.sizes.base_mb:g} MB, "
                f"and its memory budget is {self.budget_mb:g} MB",
                hint="raise the budget, or lower the floor",
            )

    def bases_beside(self, booted: int) -> int:
        """How many base containers the budget has room for beside so many booted ones; negative past the budget."""
        return math.floor((self.budget_mb - booted * self.sizes.booted_mb) / self.sizes.base_mb)


@dataclass(frozen=True, slots=True)
class _FirstCall:
    """`of_runtime` and `of_any`: the first calls within a refill time up to this one, itself included."""

    at_s: float
    runtime: str
    of_runtime: int
    of_any: int


class PoolPolicy:
    """Sizes the pool from the first calls seen: those that found no loaded instance, and took from the pool.

    A base-stock policy (Zipkin, "Foundations of Inventory Management", 2000, chapter 6): stock is held up to a quantile
    of the demand in the time that a replacement takes. The demand is what each first call met: how many first calls
    there were within a refill time, itself included. Booted containers of a runtime cover the 95th percentile of its
    own, base containers the 99th of all runtimes together. A first call's weight halves every half-life and ends at the
    horizon, so that without any the pool is at its floor again. Sharing started containers between functions is the
    idea of Lin and Glikson, "Mitigating Cold Starts in Serverless Platforms: A Pool-Based Approach", 2019,
    arXiv:1903.12221.

    Guarantees: never below the floor, never above the budget, the same for the same story. Times are of one clock, in
    seconds; one that is earlier than the last is taken as the last.
    """

    def __init__(self, rules: PoolRules) -> None:
        self.rules = rules
        self._seen: deque[_FirstCall] = deque(maxlen=MEMORY)
        self._latest_s = -math.inf

    def observe(self, at_s: float, runtime: str) -> None:
        """A call at `at_s` found no loaded instance of its function."""
        at_s = self._advance(at_s)
        own = everyone = 1
        for earlier in reversed(self._seen):
            if earlier.at_s <= at_s - self.rules.refill_s:
                break
            everyone += 1
            own += earlier.runtime == runtime
        self._seen.append(_FirstCall(at_s, runtime, own, everyone))

    def targets(self, now_s: float) -> Targets:
        """What to hold from now on. A pass over all that is remembered: for now and then, not for every request."""
        now_s = self._advance(now_s)
        while self._seen and self._seen[0].at_s <= now_s - self.rules.horizon_s:
            self._seen.popleft()
        tallies, everyone = self._demand(now_s)
        booted = dict.fromkeys(self.rules.runtimes[: self.rules.floor], 1)
        for runtime, tally in tallies.items():
            booted[runtime] = max(booted.get(runtime, 0), _quantile(tally, BOOTED_QUANTILE))
        total = _quantile(everyone, BASE_QUANTILE)
        return _within(self.rules, booted, max(total, sum(booted.values()), self.rules.floor))

    def _demand(self, now_s: float) -> tuple[dict[str, dict[int, float]], dict[int, float]]:
        """The weight of each demand that was met: by runtime, and of all runtimes together."""
        tallies: dict[str, dict[int, float]] = {}
        everyone: dict[int, float] = {}
        for first in self._seen:
            weight = math.exp2((first.at_s - now_s) / self.rules.half_life_s)
            own = tallies.setdefault(first.runtime, {})
            own[first.of_runtime] = own.get(first.of_runtime, 0.0) + weight
            everyone[first.of_any] = everyone.get(first.of_any, 0.0) + weight
        return tallies, everyone

    def _advance(self, at_s: float) -> float:
        self._latest_s = max(self._latest_s, at_s)
        return self._latest_s


def _within(rules: PoolRules, booted: dict[str, int], total: int) -> Targets:
    """As much of it as the budget holds: base containers go first, then boots of the runtime that has the most."""
    held = dict(booted)
    while rules.bases_beside(sum(held.values())) < max(0, rules.floor - sum(held.values())):
        held[max(held, key=lambda runtime: (held[runtime], runtime))] -= 1
    boots = sum(held.values())
    base = min(total - boots, rules.bases_beside(boots))
    return Targets(base, {runtime: count for runtime, count in held.items() if count})


def _quantile(tally: dict[int, float], quantile: float) -> int:
    """The smallest value with at least that share of the weight at or below it; 0 of nothing."""
    wanted, passed, value = quantile * sum(tally.values()), 0.0, 0
    for value in sorted(tally):
        passed += tally[value]
        if passed >= wanted:
            break
    return value

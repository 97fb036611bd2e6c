"""A pool in simulation: what waits, what is on its way, and the memory held meanwhile. Makes no container."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from fnctl.model import StartKind
from fnctl.policy import PoolPolicy, Targets

# How the engine refills a pool, as measured on two cores: a pause after what emptied it, then about eight containers a
# second, and the boot of a runtime in each that is to have one.
QUIET_S, MAKE_S, BOOT_S = 0.3, 0.125, 0.2
TICK_S = 60.0  # how often the pool is looked at though nobody calls
STALE_S = 5.0  # how long targets stand while there are calls: working them out for each would take most of the time


class FixedPool(PoolPolicy):
    """`--warm N`: the floor and nothing else, whatever is called."""

    def observe(self, at_s: float, runtime: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Coming:
    """A container of the pool on its way; `runtime` None: to be a bare one. `made`: it is there, and only boots."""

    at_s: float
    runtime: str | None
    made: bool = False

    def fits(self, runtime: str, now_s: float) -> bool:
        """Whether it can be taken already: it is there, and has not begun to boot another runtime."""
        return self.made and (self.runtime == runtime or self.at_s - BOOT_S > now_s)


class SimulatedPool:
    """Waiting containers, by tier, and those on their way. Starts full, as `fnctl run` does; times never go back.

    Like the real one it gives a booted container before a bare one, refills after a pause and a few at a time, boots
    bare ones it has before it makes others, lets go of those while they boot, and ends what is too many.
    """

    def __init__(self, policy: PoolPolicy) -> None:
        self._policy = policy
        self._sizes = policy.rules.sizes
        self._now_s = self._asked_s = 0.0
        self._targets = policy.targets(0.0)
        self._base, self._booted = self._targets.base, dict(self._targets.booted)
        self._coming: list[_Coming] = []  # in order of when they are ready
        self._maker_free_s = -math.inf
        self.held_mb_s = 0.0

    def start(self, at_s: float, runtime: str) -> StartKind:
        """A first call takes the best container there is; the pool learns of it and refills."""
        self.pass_to(at_s)
        kind = self._take(runtime)
        self._policy.observe(at_s, runtime)
        self._refill()
        return kind

    def pass_to(self, at_s: float) -> None:
        """Let time pass: containers get ready, memory is held, and the targets come down where nobody calls."""
        while self._now_s < at_s:
            ready = self._coming[0].at_s if self._coming else math.inf
            tick = (self._now_s // TICK_S + 1) * TICK_S
            then = min(at_s, ready, tick)
            self.held_mb_s += Targets(self._base, self._booted).memory_mb(self._sizes) * (then - self._now_s)
            self._now_s = then
            while self._coming and self._coming[0].at_s <= then:
                self._arrive(self._coming.pop(0))
            if then == tick:
                self._refill()

    def _take(self, runtime: str) -> StartKind:
        if self._booted.get(runtime, 0):
            self._booted[runtime] -= 1
            return StartKind.RUNTIME
        if self._base:
            self._base -= 1
            return StartKind.BASE
        booting = next((coming for coming in self._coming if coming.fits(runtime, self._now_s)), None)
        if booting is None:
            return StartKind.COLD
        self._coming.remove(booting)
        return StartKind.BASE

    def _arrive(self, coming: _Coming) -> None:
        if coming.runtime is None:
            self._base += 1
        else:
            self._booted[coming.runtime] = self._booted.get(coming.runtime, 0) + 1

    def _refill(self) -> None:
        """Order what is missing from the targets, and end what waits beyond them."""
        if self._now_s >= self._asked_s + STALE_S:
            self._targets, self._asked_s = self._policy.targets(self._now_s), self._now_s
        for runtime in sorted({*self._targets.booted, *self._booted}):
            self._level(runtime, self._targets.booted.get(runtime, 0))
        missing = self._targets.base - self._base - self._on_the_way(None)
        for _ in range(missing):
            self._make(None)
        self._base = max(0, self._base + min(0, missing))

    def _level(self, runtime: str, wanted: int) -> None:
        held = self._booted.get(runtime, 0)
        missing = wanted - held - self._on_the_way(runtime)
        for _ in range(missing):
            if self._base:
                self._base -= 1
                self._order(_Coming(self._now_s + QUIET_S + BOOT_S, runtime, made=True))
            else:
                self._make(runtime)
        self._booted[runtime] = max(0, held + min(0, missing))

    def _on_the_way(self, runtime: str | None) -> int:
        return sum(coming.runtime == runtime for coming in self._coming)

    def _make(self, runtime: str | None) -> None:
        self._maker_free_s = max(self._maker_free_s, self._now_s + QUIET_S) + MAKE_S
        self._order(_Coming(self._maker_free_s + (BOOT_S if runtime else 0), runtime))

    def _order(self, coming: _Coming) -> None:
        bisect.insort(self._coming, coming, key=lambda other: other.at_s)

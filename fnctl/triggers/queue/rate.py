"""How many calls may begin now, of a function that has a rate: a bucket that fills with time."""

from __future__ import annotations

import asyncio
import math

from fnctl.model import Rate


class Bucket:
    """Full at first. The rate is said each time: a reload may change it. `turn`: held by who looks, leases and takes;
    the others of its function look after that."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self._level: float | None = None
        self._at = 0.0

    def free(self, rate: Rate, now: float) -> int:
        """Calls that may begin."""
        return max(0, math.floor(self._filled(rate, now) + 1e-9))

    def take(self, rate: Rate | None, now: float, calls: int) -> None:
        """They begin."""
        if rate is not None:
            self._level = self._filled(rate, now) - calls

    def next_at(self, rate: Rate, now: float) -> float:
        """When another call may begin, at the soonest."""
        return now + max(0.0, 1.0 - self._filled(rate, now)) / rate.per_s

    def _filled(self, rate: Rate, now: float) -> float:
        if self._level is None:
            self._level, self._at = float(rate.burst), now
        self._level = min(float(rate.burst), self._level + max(0.0, now - self._at) * rate.per_s)
        self._at = max(self._at, now)
        return self._level


class Allowance:
    """What one function's lanes and consumers may begin, together."""

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}

    def of(self, function: str) -> Bucket:
        return self._buckets.setdefault(function, Bucket())

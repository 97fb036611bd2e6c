"""How long one function's instance is kept, as pure policies to simulate. `fnctl run` has a fixed `idle_timeout` alone.

A policy is told of a function's idle times and says when its loaded instance may go. No clock, no engine.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Window:
    """When an instance is loaded, in minutes after the last call: from `load_at_min` until the end of `until_min`.

    `load_at_min` 0: it is not unloaded after the call. Otherwise it ends with the call and is made again by then.
    """

    load_at_min: int
    until_min: int

    def warm(self, idle_min: int) -> bool:
        """Whether a call after so many idle minutes finds it loaded."""
        return self.load_at_min <= idle_min <= self.until_min

    def loaded_min(self, idle_min: int) -> int:
        """How many of the idle minutes it is loaded for."""
        return max(0, min(idle_min, self.until_min) - self.load_at_min)


class KeepAlive(Protocol):
    """The state of one function. Told of every idle time in order; the same story gives the same windows."""

    def seen(self, idle_min: int, times: int = 1) -> None:
        """It was called after `idle_min` minutes without a call; `times` such idle times, one after another."""

    def window(self) -> Window:
        """What to do with the instance after the call just now."""


@dataclass(frozen=True, slots=True)
class FixedKeepAlive:
    """The same time for every function: what most platforms do."""

    minutes: int

    def seen(self, idle_min: int, times: int = 1) -> None: ...

    def window(self) -> Window:
        return Window(0, self.minutes)


class HybridHistogram:
    """The hybrid histogram policy of Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, section 4.2.

    Idle times are counted in bins of a minute over four hours. Where the histogram is representative (the coefficient
    of variation of its bins is at least 2) the instance ends with the call, is made again at the 5th percentile of the
    idle times less 10 %, and kept to the 99th plus 10 %. Where it is not, it is kept for the four hours. Where most
    idle times lie beyond the histogram, they are predicted by a model, with 15 % on either side.

    Simplified: the model is the median of the last eight of those idle times, and not ARIMA; it is for a function, and
    not for an application of several; nothing is forgotten from one day to the next.
    """

    RANGE_MIN = 240
    HEAD, TAIL, MARGIN = 0.05, 0.99, 0.10
    REPRESENTATIVE_CV = 2.0
    MODEL_MARGIN = 0.15
    MODEL_LAST = 8

    def __init__(self) -> None:
        self._bins = [0] * self.RANGE_MIN
        self._within = 0
        self._squares = 0  # of the bins' counts, so that their variation needs no pass over them
        self._beyond = 0
        self._last_beyond: deque[int] = deque(maxlen=self.MODEL_LAST)

    def seen(self, idle_min: int, times: int = 1) -> None:
        if idle_min >= self.RANGE_MIN:
            self._beyond += times
            self._last_beyond.append(idle_min)
            return
        before = self._bins[idle_min]
        self._bins[idle_min] = before + times
        self._within += times
        self._squares += times * (2 * before + times)

    def window(self) -> Window:
        if self._beyond > self._within:
            return self._predicted()
        if self._variation() < self.REPRESENTATIVE_CV:
            return Window(0, self.RANGE_MIN)
        head, tail = self._bin_at(self.HEAD), self._bin_at(self.TAIL) + 1  # rounded down to its bin, and up
        return Window(math.floor(head * (1 - self.MARGIN)), math.ceil(tail * (1 + self.MARGIN)))

    def _predicted(self) -> Window:
        idle = median(self._last_beyond)
        return Window(math.floor(idle * (1 - self.MODEL_MARGIN)), math.ceil(idle * (1 + self.MODEL_MARGIN)))

    def _variation(self) -> float:
        """The coefficient of variation of the bins' counts; 0 where nothing was counted."""
        if not self._within:
            return 0.0
        mean = self._within / self.RANGE_MIN
        return math.sqrt(max(0.0, self._squares / self.RANGE_MIN - mean * mean)) / mean

    def _bin_at(self, quantile: float) -> int:
        wanted, passed = quantile * self._within, 0
        for index, count in enumerate(self._bins):
            passed += count
            if count and passed >= wanted:
                return index
        return self.RANGE_MIN - 1

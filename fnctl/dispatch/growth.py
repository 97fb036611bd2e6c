"""Whether one more instance of a function would get more done: not where its instances have used up the processors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fnctl.sandbox.instance import Instance

WINDOW_S = 0.1  # the kernel counts idle time in steps of 10 ms
STALE_S = 1.0  # what was seen so long ago says nothing of now
IDLE_SHARE = 0.1  # of the machine: so much idle time, and another instance finds a processor
OWN_SHARE = 0.2  # of the machine: whose instances use less mostly wait for something else than a processor


@dataclass(frozen=True, slots=True)
class Processors:
    """This machine's. `idle_s`: seconds that they have been idle, all together, since some point in the past."""

    count: int
    idle_s: Callable[[], float]

    @classmethod
    def of_machine(cls) -> Processors | None:
        """None where the kernel does not tell."""
        try:
            _idle_s()
        except (OSError, ValueError, IndexError):
            return None
        return cls(len(os.sched_getaffinity(0)), _idle_s)


def _idle_s() -> float:
    """proc(5), /proc/stat: `cpu user nice system idle iowait …`, in clock ticks."""
    with Path("/proc/stat").open() as stat:
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


class Growth:
    """Of one site. Past an instance for each processor and one more, others only take turns with them, and each costs a
    boot and a load at the very moment when there is most to do. On the event loop's thread, while requests wait."""

    def __init__(self, processors: Processors | None, clock: Callable[[], float]) -> None:
        self._processors = processors
        self._clock = clock
        self._since = -STALE_S
        self._idle_s = 0.0
        self._cpu_ms: dict[Instance, float] = {}
        self._helps = False  # what the last whole window said

    def helps(self, instances: Iterable[Instance], live: int) -> bool:
        """Whether to add to `live` instances, those on their way included. False, too, before that is known: ask again
        after `WINDOW_S`."""
        if self._processors is None or live <= self._processors.count:
            return True
        now = self._clock()
        age_s = now - self._since
        if age_s < WINDOW_S:
            return self._helps
        self._look(self._processors, list(instances), now, age_s)
        return self._helps

    def _look(self, processors: Processors, instances: list[Instance], now: float, age_s: float) -> None:
        """End the window, and begin the next."""
        before_s, self._idle_s = self._idle_s, processors.idle_s()
        before, self._cpu_ms = self._cpu_ms, {one: one.usage.cpu_ms() for one in instances if one.usage is not None}
        self._since = now
        if age_s >= STALE_S:
            self._helps = False
            return
        own_s = sum(ms - before[one] for one, ms in self._cpu_ms.items() if one in before) / 1000
        machine_s = age_s * processors.count
        self._helps = self._idle_s - before_s >= IDLE_SHARE * machine_s or own_s < OWN_SHARE * machine_s

"""The meter: adds to each receipt what the kernel says its instance used. Off the warm path, a look every 100 ms."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping

from fnctl.model import Receipt
from fnctl.runtime.instance import Instance

TICK_S = 0.1


class Meter:
    """Takes receipts from the gateway, gives them on to the log store with CPU time and peak memory.

    CPU of a window is the instance's own (its cgroup's), divided by the invocations that ended in the window:
    `shared_by` says how many they were, and 1 makes it exact. A forking agent reports each invocation's process by
    itself (wait4). Peak memory is the highest since the sandbox was made, as the kernel counts it against the limit.
    What cannot be read (a remote engine) stays None.
    """

    def __init__(self, alive: Mapping[str, Instance], sink: Callable[[Receipt], None]) -> None:
        self._alive = alive
        self._sink = sink
        self._pending: dict[str, list[Receipt]] = defaultdict(list)
        self._cpu: dict[str, float] = {}
        self._last: dict[str, tuple[float | None, float | None]] = {}  # of instances that have ended: (CPU ms, peak MB)

    def record(self, receipt: Receipt) -> None:
        """On the warm path: only remembers."""
        if receipt.instance is None:
            self._sink(receipt)
        else:
            self._pending[receipt.instance].append(receipt)

    def ending(self, instance: Instance) -> None:
        """An instance is about to be destroyed: the last look at its cgroup."""
        if instance.cgroup is not None and instance.code is not None:
            self._last[instance.id] = (instance.cgroup.cpu_ms(), instance.cgroup.peak_memory_mb())

    async def run(self) -> None:
        """Settle what is pending, again and again, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.settle()

    def settle(self, *, final: bool = False) -> None:
        """Complete and hand on what is pending. `final`: also what waits for an agent's own figures."""
        pending, self._pending = self._pending, defaultdict(list)
        for key, receipts in pending.items():
            instance = self._alive.get(key)
            if instance is not None and instance.forks and not final:
                self._settle_forked(key, instance, receipts)
            else:
                self._settle_shared(key, instance, receipts)
        ended = [key for key in self._cpu if key not in self._alive and key not in self._pending]
        for key in ended:
            self._cpu.pop(key, None)
            self._last.pop(key, None)

    def _settle_forked(self, key: str, instance: Instance, receipts: list[Receipt]) -> None:
        while receipts and instance.figures:
            cpu_ms, peak_mb = instance.figures.popleft()
            receipt = receipts.pop(0)
            receipt.cpu_ms = None if cpu_ms is None else round(cpu_ms, 3)
            receipt.peak_memory_mb = None if peak_mb is None else round(peak_mb, 1)
            self._sink(receipt)
        if receipts:
            self._pending[key] = receipts

    def _settle_shared(self, key: str, instance: Instance | None, receipts: list[Receipt]) -> None:
        cpu_ms, peak_mb = self._look(key, instance)
        before = self._cpu.get(key, 0.0)
        each: float | None = None
        if cpu_ms is not None:
            self._cpu[key] = cpu_ms
            each = round((cpu_ms - before) / len(receipts), 3)
        peak = None if peak_mb is None else round(peak_mb, 1)
        for receipt in receipts:
            receipt.cpu_ms, receipt.shared_by, receipt.peak_memory_mb = each, len(receipts), peak
            self._sink(receipt)

    def _look(self, key: str, instance: Instance | None) -> tuple[float | None, float | None]:
        if instance is not None and instance.cgroup is not None:
            return instance.cgroup.cpu_ms(), instance.cgroup.peak_memory_mb()
        return self._last.get(key, (None, None))

"""The meter: adds to each receipt what the kernel says its instance used. Off the warm path, a look every 100 ms."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fnctl.dispatch.admission import Lease, WarmCall
from fnctl.model import Receipt
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.serving import Figures

TICK_S = 0.1
SERVER_ERROR = 500
STILL_RUNNING = "still_running: its process worked on after the answer, and was ended"
CALLS = 256  # handed on at a time: their receipts are rendered there and then, and requests wait meanwhile


@dataclass(frozen=True, slots=True)
class Window:
    """What the warm calls of one instance have in common that ended between two looks.

    `cpu_ms` is each call's share, `shared_by` how many shared; None where the kernel told nothing.
    """

    function: str
    version: str
    instance: str
    cpu_ms: float | None
    shared_by: int
    peak_memory_mb: float | None


class Store(Protocol):
    """The log store, as far as the meter writes to it."""

    def receipt(self, receipt: Receipt) -> None: ...

    def calls(self, window: Window, calls: Sequence[WarmCall]) -> None: ...


@dataclass(slots=True)
class _Ended:
    """Invocations of one instance that wait for its figures."""

    receipts: list[Receipt] = field(default_factory=list)
    calls: list[WarmCall] = field(default_factory=list)
    function: str = ""  # of the calls
    version: str = ""


class Meter:
    """The ledger (dispatch/admission.py): gives what it is told on to the journal, with CPU time and peak memory.

    CPU of a window is the instance's own (its cgroup's), divided by the invocations that ended in the window:
    `shared_by` says how many they were, and 1 makes it exact. A forking agent reports each invocation's process by
    itself (wait4). Peak memory is the highest since the sandbox was made, as the kernel counts it against the limit.
    What cannot be read (a remote engine) stays None.
    """

    def __init__(self, alive: Mapping[str, Instance], store: Store) -> None:
        self._alive = alive
        self._store = store
        self._pending: dict[str, _Ended] = defaultdict(_Ended)
        self._cpu: dict[str, float] = {}
        self.errors: Counter[str] = Counter()  # by function: invocations without a good answer
        self._last: dict[str, tuple[float | None, float | None]] = {}  # of instances that have ended: (CPU ms, peak MB)

    def receipt(self, receipt: Receipt) -> None:
        if receipt.verdict != "ok" or receipt.status >= SERVER_ERROR:
            self.errors[receipt.function] += 1
        if receipt.instance is None:
            self._store.receipt(receipt)
        else:
            self._pending[receipt.instance].receipts.append(receipt)

    def warm(self, lease: Lease, call: WarmCall) -> None:
        """On the warm path: only remembers."""
        ended = self._pending[lease.instance]
        if not ended.calls:
            ended.function, ended.version = lease.function, lease.version
        ended.calls.append(call)

    def ending(self, instance: Instance) -> None:
        """An instance is about to be destroyed: the last look at its cgroup."""
        if instance.usage is not None and instance.code is not None:
            self._last[instance.id] = (instance.usage.cpu_ms(), instance.usage.peak_memory_mb())

    async def run(self) -> None:
        """Settle what is pending, again and again, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            steps = self._steps(final=False)
            try:
                for _ in steps:
                    await asyncio.sleep(0)
            finally:  # cancelled in between
                for _ in steps:
                    pass

    def settle(self, *, final: bool = False) -> None:
        """Complete and hand on what is pending. `final`: also what waits for an agent's own figures."""
        for _ in self._steps(final=final):
            pass

    def _steps(self, *, final: bool) -> Iterator[None]:
        """The same in pieces of less than a millisecond."""
        pending, self._pending = self._pending, defaultdict(_Ended)
        for key, ended in pending.items():
            instance = self._alive.get(key)
            figures = instance.serving.figures if instance is not None else None
            if figures is not None and not final:
                ended = self._settle_own(key, figures, ended)
            if ended.receipts or ended.calls:
                yield from self._settle_shared(key, instance, ended)
        gone = [key for key in self._cpu if key not in self._alive and key not in self._pending]
        for key in gone:
            self._cpu.pop(key, None)
            self._last.pop(key, None)

    def _settle_own(self, key: str, figures: Figures, ended: _Ended) -> _Ended:
        """Those whose process is known to have ended. Returns the ones that get the sandbox's figures; others wait."""
        receipts, shared = ended.receipts, _Ended()
        while receipts and figures:
            figure, receipt = figures.popleft(), receipts.pop(0)
            if figure.cut and receipt.verdict == "ok":
                receipt.detail = STILL_RUNNING
            if not figure.own:
                shared.receipts.append(receipt)
                continue
            receipt.cpu_ms = None if figure.cpu_ms is None else round(figure.cpu_ms, 3)
            receipt.peak_memory_mb = None if figure.peak_mb is None else round(figure.peak_mb, 1)
            self._store.receipt(receipt)
        if receipts:
            self._pending[key] = ended
        return shared

    def _settle_shared(self, key: str, instance: Instance | None, ended: _Ended) -> Iterator[None]:
        count = len(ended.receipts) + len(ended.calls)
        cpu_ms, peak_mb = self._look(key, instance)
        before = self._cpu.get(key, 0.0)
        each: float | None = None
        if cpu_ms is not None:
            self._cpu[key] = cpu_ms
            each = round((cpu_ms - before) / count, 3)
        peak = None if peak_mb is None else round(peak_mb, 1)
        for receipt in ended.receipts:
            receipt.cpu_ms, receipt.shared_by, receipt.peak_memory_mb = each, count, peak
            self._store.receipt(receipt)
        if failed := sum(call[4][2] >= SERVER_ERROR for call in ended.calls):
            self.errors[ended.function] += failed
        window = Window(ended.function, ended.version, key, each, count, peak)
        for start in range(0, len(ended.calls), CALLS):
            self._store.calls(window, ended.calls[start : start + CALLS])
            yield

    def _look(self, key: str, instance: Instance | None) -> tuple[float | None, float | None]:
        if instance is not None and instance.usage is not None:
            return instance.usage.cpu_ms(), instance.usage.peak_memory_mb()
        return self._last.get(key, (None, None))

"""The meter: every invocation reaches the store once, with the figures of its instance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from fnctl.dispatch.admission import WarmCall
from fnctl.dispatch.site import SiteLease
from fnctl.model import Receipt, StartKind
from fnctl.records.meter import CALLS, TICK_S, Meter, Window

CALL: WarmCall = ("01J", 1.0, 0.001, 0.002, (b"GET", b"/", 200))


@dataclass
class Kept:
    receipts: list[Receipt] = field(default_factory=list)
    windows: list[tuple[Window, int]] = field(default_factory=list)

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def calls(self, window: Window, calls: Sequence[WarmCall]) -> None:
        self.windows.append((window, len(calls)))


def lease(*, ephemeral: bool) -> Any:
    instance = SimpleNamespace(id="i1", version="abc", serving=SimpleNamespace(plain=not ephemeral))
    return SiteLease(SimpleNamespace(name="f"), instance, SimpleNamespace())  # type: ignore[arg-type]


def test_warm_calls_and_receipts_of_a_window_share_its_time() -> None:
    store, used = Kept(), iter([6.0])
    usage = SimpleNamespace(cpu_ms=lambda: next(used), peak_memory_mb=lambda: 20.0)
    meter = Meter({"i1": SimpleNamespace(usage=usage, serving=SimpleNamespace(figures=None))}, store)  # type: ignore[dict-item]
    for _ in range(2):
        meter.warm(lease(ephemeral=False), CALL)
    meter.receipt(Receipt("01K", "f", "abc", StartKind.BASE, 200, "ok", 1.0, instance="i1"))
    meter.settle()
    assert store.windows == [(Window("f", "abc", "i1", 2.0, 3, 20.0), 2)]
    assert [(each.cpu_ms, each.shared_by) for each in store.receipts] == [(2.0, 3)]


def test_many_calls_are_handed_on_in_pieces_and_none_is_lost_when_the_meter_stops() -> None:
    async def history() -> None:
        store = Kept()
        meter = Meter({}, store)
        for _ in range(3 * CALLS + 1):
            meter.warm(lease(ephemeral=False), CALL)
        task = asyncio.create_task(meter.run())
        while not store.windows:  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0)
        assert [count for _, count in store.windows] == [CALLS], "requests have their turn in between"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert [count for _, count in store.windows] == [CALLS, CALLS, CALLS, 1]
        assert {window.shared_by for window, _ in store.windows} == {3 * CALLS + 1}

    asyncio.run(asyncio.wait_for(history(), 100 * TICK_S))


def test_only_a_resident_instances_calls_are_written_together() -> None:
    """What an ephemeral one forks may change with each process, and its receipts wait for that process's figures."""
    assert lease(ephemeral=False).plain
    assert not lease(ephemeral=True).plain

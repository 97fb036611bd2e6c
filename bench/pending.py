"""A million calls that wait for their time, in a process of its own: `python -m bench.pending`, which writes JSON.

They are in a store on disk, as deferred calls are, and what is due is waited for by one alarm of the clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from fnctl.bench.stats import percentile
from fnctl.clock import RealClock
from fnctl.store.port import Message
from fnctl.store.sqlite import SqliteStore

PENDING = 1_000_000
DUE = 5_000  # of them come due while they are watched
DUE_S = 5.0
CHUNK = 5_000
FAR_S = 3600.0
QUEUE = "fn/bench"


def resident_mb() -> float:
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024


async def fill(store: SqliteStore) -> None:
    now = time.time()
    for start in range(0, PENDING - DUE, CHUNK):
        await store.queues.put(
            [
                Message(f"far-{number}", QUEUE, b"{}", now + FAR_S + number / 1000, now)
                for number in range(start, start + CHUNK)
            ]
        )


async def watch(store: SqliteStore) -> list[float]:
    """Milliseconds by which each came late, in the order of coming."""
    clock, late, woken = RealClock(), list[float](), asyncio.Event()
    begin = time.time() + 1
    await store.queues.put(
        [Message(f"due-{number}", QUEUE, b"{}", begin + number * DUE_S / DUE, begin) for number in range(DUE)]
    )
    while True:
        leased = await store.queues.lease(QUEUE, 64, clock.now(), clock.now() + 600)
        late += [(clock.now() - each.due) * 1000 for each in leased]
        if len(late) == DUE:
            break
        due = await store.queues.next_due(QUEUE)
        if due is not None and due > clock.now():
            woken.clear()
            clock.call_at(due, woken.set)
            await woken.wait()
    clock.close()
    return late


async def main() -> None:
    before = resident_mb()
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "store.db")
        await store.open()
        await fill(store)
        late = await watch(store)
        used = resident_mb()
        await store.close()
    json.dump({"mb": used, "before_mb": before, "late_p99_ms": percentile(late, 0.99)}, sys.stdout)


if __name__ == "__main__":
    uvloop.run(main())

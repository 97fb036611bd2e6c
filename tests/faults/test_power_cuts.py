"""What a store on disk has acknowledged is there after a cut of the power at any moment, amid a sync too."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from fnctl.store.port import Message, MessageState, Settlement, Stale, StoreUnavailable
from fnctl.store.sqlite import SqliteStore
from tests.support.power import Disk, Powered

CUTS = 5 * int(os.environ.get("TRIES", "4"))  # `make faults` cuts a thousand times
SEED = int(os.environ.get("SEED", "20"))
FRESH = 40  # cuts after which a new database begins, so that what is looked through stays small
CALLERS = 6
LIVES = (60, 300, 1_500)  # writes and syncs until the cut, at most; the last go past a checkpoint
BODIES = (10, 500, 5_000, 70_000)  # bytes; the last one is stored apart


@dataclass
class Acknowledged:
    """What callers were told is stored."""

    put: dict[str, int] = field(default_factory=dict)  # id → bytes of its body
    done: set[str] = field(default_factory=set)
    keys: dict[str, int] = field(default_factory=dict)  # key → version
    entries: int = 0


class Life:
    """One database through one cut after the other."""

    def __init__(self, folder: Path, random: Random, synchronous: str | None) -> None:
        self.disk = Disk(folder, random)
        self._powered = Powered(self.disk, synchronous)
        self._random = random
        self._told = Acknowledged()
        self._count = 0

    async def live(self) -> None:
        """From power on to the cut: look at all that was acknowledged before, then work until it is dark."""
        self.disk.power_on(cut_after=self._random.randrange(self._random.choice(LIVES)))
        store = SqliteStore(self.disk.database, self._powered.connect)
        try:
            await store.open()
            await self.check(store)
            await asyncio.gather(*(self._call(store) for _ in range(CALLERS)))
        except StoreUnavailable:
            assert self.disk.dead
        finally:
            await store.close()
        self.disk.cut()

    async def check(self, store: SqliteStore) -> None:
        queues, told = store.queues, self._told
        sound = await store._writer.run(lambda db: db.execute("PRAGMA integrity_check").fetchone())
        assert sound == ("ok",)
        counts = await queues.counts()
        assert sum(each.drift for each in counts.values()) == 0
        for id, size in told.put.items():
            known = await queues.find(id)
            assert known is not None, f"{id} was acknowledged and is lost"
            assert len(known.body) == size
            assert id not in told.done or known.state is MessageState.DONE, f"{id} was done, and is {known.state}"
        for key, version in told.keys.items():
            value = await store.keys.get(key, 0.0)
            assert value is not None and value.version >= version, f"{key} was acknowledged and is lost"
        entries = len(await store.logs.read("log", limit=100_000))
        assert entries >= told.entries, f"{told.entries} entries were acknowledged, {entries} are there"
        await queues.reclaim(float("inf"))

    async def _call(self, store: SqliteStore) -> None:
        while True:
            await self._random.choice((self._put, self._put, self._finish, self._set, self._append))(store)

    async def _put(self, store: SqliteStore) -> None:
        self._count += 1
        id, size = f"m{self._count}", self._random.choice(BODIES)
        group = self._random.choice((None, "g"))
        assert await store.queues.put([Message(id, "q", bytes(size), 1.0, 1.0, group=group, dedup=id)]) == [id]
        self._told.put[id] = size

    async def _finish(self, store: SqliteStore) -> None:
        for one in await store.queues.lease("q", 2, 2.0, 60.0):
            (counted,) = await store.queues.settle([Settlement(one.id, one.epoch, MessageState.DONE, 2.0)])
            assert counted
            self._told.done.add(one.id)

    async def _set(self, store: SqliteStore) -> None:
        key = f"k{self._random.randrange(4)}"
        version = await store.keys.set(key, b"v", 1.0)
        self._told.keys[key] = max(version, self._told.keys.get(key, 0))

    async def _append(self, store: SqliteStore) -> None:
        length = len(await store.logs.read("log", limit=100_000))
        with contextlib.suppress(Stale):  # another caller was first
            self._told.entries = max(self._told.entries, await store.logs.append("log", length, [b"e"], 1.0))


def live_through(cuts: int, folder: Path, random: Random, synchronous: str | None = None) -> None:
    async def story() -> None:
        life = None
        for number in range(cuts):
            if number % FRESH == 0 or life is None:
                place = folder / str(number)
                place.mkdir()
                life = Life(place, random, synchronous)
            await life.live()

    asyncio.run(story())


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_when_the_power_is_cut(tmp_path: Path) -> None:
    sys.stdout.write(f"SEED={SEED}: {CUTS} cuts\n")
    live_through(CUTS, tmp_path, Random(SEED))


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_without_a_sync_at_each_commit_it_is(tmp_path: Path, synchronous: str) -> None:
    with pytest.raises(AssertionError, match=r"acknowledged|was done"):
        live_through(FRESH, tmp_path, Random(SEED), synchronous)

"""A run's log: applied at once, on disk when awaited, in groups, and never by two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fnctl.store.port import Entry, Stale, StoreUnavailable, Write
from fnctl.store.sqlite import SqliteStore
from fnctl.workflow.log import Event, Tail, read


def apply(state: list[int], event: Event) -> None:
    state.append(event["n"])


class Slow:
    """A log whose appends take their time, and fail where they are told to."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.appends: list[int] = []
        self.full = False

    async def append(self, log: str, after: int, data: Sequence[bytes], at: float, keys: Sequence[Write] = ()) -> int:
        await asyncio.sleep(0)
        if self.full:
            raise StoreUnavailable("the disk is full")
        assert after == len(self.entries)
        self.appends.append(len(data))
        self.entries += data
        return len(self.entries)

    async def forget(self, logs: Sequence[str]) -> None: ...

    async def read(self, log: str, after: int = 0, limit: int = 1000) -> list[Entry]:
        return [Entry(number, 0.0, data) for number, data in enumerate(self.entries[after : after + limit], after + 1)]


def test_what_follows_from_an_event_on_its_way_goes_together_into_the_next_append() -> None:
    async def scene() -> None:
        logs = Slow()
        tail = await Tail.load(logs, "r", list[int](), apply)
        first = tail.say({"n": 1}, at=0.0)
        await asyncio.sleep(0)
        rest = [tail.say({"n": n}, at=0.0) for n in range(2, 6)]
        assert tail.state == [1, 2, 3, 4, 5]
        await asyncio.gather(first, *rest)
        assert logs.appends == [1, 4]
        assert (await Tail.load(logs, "r", list[int](), apply)).state == [1, 2, 3, 4, 5]

    asyncio.run(scene())


def test_of_two_that_write_one_run_the_second_is_told_and_says_nothing_more() -> None:
    async def scene() -> None:
        store = SqliteStore()
        await store.open()
        one, other = [await Tail.load(store.logs, "r", list[int](), apply) for _ in range(2)]
        await one.say({"n": 1}, at=0.0)
        with pytest.raises(Stale):
            await other.say({"n": 2}, at=0.0)
        with pytest.raises(Stale):
            other.say({"n": 3}, at=0.0)
        assert await read(store.logs, "r") == [{"n": 1}]
        await store.close()

    asyncio.run(scene())


def test_a_store_that_fails_voids_all_that_was_said_since() -> None:
    async def scene() -> None:
        logs = Slow()
        tail = await Tail.load(logs, "r", list[int](), apply)
        await tail.say({"n": 1}, at=0.0)
        logs.full = True
        said = [tail.say({"n": n}, at=0.0) for n in (2, 3)]
        assert all(isinstance(each, StoreUnavailable) for each in await asyncio.gather(*said, return_exceptions=True))
        logs.full = False
        with pytest.raises(StoreUnavailable):
            tail.say({"n": 4}, at=0.0)
        assert (await Tail.load(logs, "r", list[int](), apply)).state == [1]

    asyncio.run(scene())


def test_a_long_log_is_read_in_pages_to_its_end() -> None:
    async def scene() -> None:
        logs = Slow()
        tail = await Tail.load(logs, "r", list[int](), apply)
        await tail.say(*({"n": n} for n in range(2500)), at=0.0)
        assert (await Tail.load(logs, "r", list[int](), apply)).state == list(range(2500))

    asyncio.run(scene())

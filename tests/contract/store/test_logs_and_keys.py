"""What every store keeps of its word about logs and keys."""

from __future__ import annotations

import asyncio

import pytest

from fnctl.store.port import Entry, Stale, Value, Write
from tests.contract.store.conftest import OpenStore

NOW = 1_000.0


def test_a_log_grows_only_where_its_end_is_known(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            assert await store.logs.append("run", 0, [b"one", b"two"], NOW) == 2
            with pytest.raises(Stale, match="has 2 entries, not 1"):
                await store.logs.append("run", 1, [b"other"], NOW)
            assert await store.logs.append("run", 2, [b"three"], NOW + 1) == 3
            assert await store.logs.read("run", after=1) == [Entry(2, NOW, b"two"), Entry(3, NOW + 1, b"three")]
            assert await store.logs.read("another") == []

    asyncio.run(story())


def test_keys_are_written_with_an_entry_or_not_at_all(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.keys.set("old", b"1", NOW)
            keys = [Write("new", b"2", NOW + 10), Write("old", None)]
            with pytest.raises(Stale):
                await store.logs.append("run", 5, [b"one"], NOW, keys)
            assert [key for key, _ in await store.keys.scan("", NOW)] == ["old"]
            await store.logs.append("run", 0, [b"one"], NOW, keys)
            assert [key for key, _ in await store.keys.scan("", NOW)] == ["new"]
            assert await store.keys.get("new", NOW + 11) is None

    asyncio.run(story())


def test_what_is_forgotten_is_gone_and_what_has_not_expired_stays(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            for log in ("one", "two", "three"):
                await store.logs.append(log, 0, [log.encode()] * 2, NOW)
            await store.logs.forget(["one", "three", "nosuch"])
            await store.logs.forget([])
            assert [len(await store.logs.read(log)) for log in ("one", "two", "three")] == [0, 2, 0]
            for key, expires in (("a", NOW + 1), ("b", NOW + 2), ("c", None)):
                await store.keys.set(key, b"", NOW, expires=expires)
            assert await store.keys.expired(NOW) == []
            assert sorted(await store.keys.expired(NOW + 2)) == ["a", "b"]
            assert len(await store.keys.expired(NOW + 2, limit=1)) == 1
            await store.keys.set("b", b"again", NOW + 2, expires=NOW + 9)
            await store.keys.purge(["a", "b", "c"], NOW + 2)
            assert [key for key, _ in await store.keys.scan("", NOW)] == ["b", "c"]
            assert await store.keys.expired(NOW + 3) == []

    asyncio.run(story())


def test_of_many_who_append_after_the_same_entry_one_wins(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            tries = [store.logs.append("run", 0, [b"%d" % number], NOW) for number in range(50)]
            told = await asyncio.gather(*tries, return_exceptions=True)
            assert [each for each in told if not isinstance(each, Stale)] == [1]
            assert len(await store.logs.read("run")) == 1

    asyncio.run(story())


def test_a_key_changes_only_from_the_version_that_is_named(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            first = await store.keys.set("k", b"1", NOW, version=0)
            with pytest.raises(Stale):
                await store.keys.set("k", b"2", NOW, version=0)
            second = await store.keys.set("k", b"2", NOW, version=first)
            assert await store.keys.get("k", NOW) == Value(b"2", second)
            assert await store.keys.delete("k", NOW, version=second)
            third = await store.keys.set("k", b"3", NOW, version=0)
            assert third not in (first, second)

    asyncio.run(story())


def test_a_key_that_expired_is_not_there(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.keys.set("k", b"1", NOW, expires=NOW + 5)
            assert await store.keys.get("k", NOW + 4.9) is not None
            assert await store.keys.get("k", NOW + 5) is None
            assert not await store.keys.delete("k", NOW + 5)
            await store.keys.set("k", b"2", NOW + 6, version=0)
            assert await store.keys.get("k", NOW + 6) is not None

    asyncio.run(story())


def test_keys_of_a_prefix_come_in_order(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            for key in ("b/2", "a", "b/1", "b/é", "c"):
                await store.keys.set(key, key.encode(), NOW)
            assert [key for key, _ in await store.keys.scan("b/", NOW)] == ["b/1", "b/2", "b/é"]
            assert [key for key, _ in await store.keys.scan("b/", NOW, limit=1)] == ["b/1"]

    asyncio.run(story())

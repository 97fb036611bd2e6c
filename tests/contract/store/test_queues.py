"""What every store keeps of its word about queues.

Long for one file: one port, whose every promise is asked of each store.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path

import pytest

from fnctl.errors import QueueFull
from fnctl.store.port import Message, MessageState, Settlement, Store, StoreUnavailable
from fnctl.store.postgres import PostgresStore
from fnctl.store.sql import TOGETHER
from fnctl.store.sqlite import SqliteConnection, SqliteStore, connected
from tests.contract.store.conftest import OpenStore

NOW = 1_000.0
DONE, DEAD, WAITING = MessageState.DONE, MessageState.DEAD, MessageState.WAITING


def message(
    id: str, *, queue: str = "q", due: float = NOW, group: str | None = None, dedup: str | None = None
) -> Message:
    return Message(id, queue, f"body of {id}".encode(), due, NOW, group=group, dedup=dedup)


async def ids(store: Store, limit: int = 10, now: float = NOW) -> list[str]:
    return [each.id for each in await store.queues.lease("q", limit, now, now + 60)]


def test_a_message_is_leased_once_and_settled_once(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            assert await store.queues.put([message("a"), message("b")]) == ["a", "b"]
            (first,) = await store.queues.lease("q", 1, NOW, NOW + 60)
            assert (first.id, first.body, first.attempt, first.epoch) == ("a", b"body of a", 1, 1)
            assert await ids(store) == ["b"]
            assert await ids(store) == []
            word = Settlement("a", first.epoch, DONE, NOW + 1, result=b"42")
            assert await store.queues.settle([word, word]) == [True, False]
            known = await store.queues.find("a")
            assert known is not None
            assert (known.state, known.result, known.ended) == (DONE, b"42", NOW + 1)

    asyncio.run(story())


def test_what_is_due_comes_in_the_order_of_its_time_and_not_before(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("late", due=NOW + 9), message("soon", due=NOW + 1), message("now")])
            assert await store.queues.next_due("q") == NOW
            assert await ids(store) == ["now"]
            assert await store.queues.next_due("q") == NOW + 1
            assert await ids(store, now=NOW + 10) == ["soon", "late"]
            assert await store.queues.next_due("q") is None

    asyncio.run(story())


def test_what_is_due_can_be_leased_in_the_step_that_puts(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            asked, leased = await store.queues.put_and_lease([message("a"), message("b")], None, NOW, NOW + 60)
            assert (asked, [each.id for each in leased]) == (["a", "b"], ["a", "b"])
            await store.queues.put([message("older")])
            asked, leased = await store.queues.put_and_lease([message("c")], None, NOW, NOW + 60)
            assert (asked, [each.id for each in leased]) == (["c"], ["older"])
            assert await ids(store) == ["c"]
            asked, leased = await store.queues.put_and_lease([message("d", due=NOW + 9)], None, NOW, NOW + 60)
            assert (asked, leased) == (["d"], [])
            with pytest.raises(QueueFull):
                await store.queues.put_and_lease([message("e")], 1, NOW + 9, NOW + 60)
            counts = (await store.queues.counts())["q"]
            assert (counts.waiting, counts.running, counts.drift) == (1, 4, 0)

    asyncio.run(story())


def test_a_word_under_an_old_lease_is_void(opened: OpenStore) -> None:
    """The holder of a lease that ended may still speak: the message is somebody else's by then."""

    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a")])
            (old,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            assert await store.queues.reclaim(NOW + 4) == 0
            assert await store.queues.reclaim(NOW + 5) == 1
            (new,) = await store.queues.lease("q", 1, NOW + 6, NOW + 60)
            assert (new.epoch, new.attempt) == (old.epoch + 1, 2)
            assert await store.queues.settle([Settlement("a", old.epoch, DEAD, NOW)]) == [False]
            assert await store.queues.settle([Settlement("a", new.epoch, DONE, NOW)]) == [True]
            counts = (await store.queues.counts())["q"]
            assert (counts.done, counts.dead, counts.drift) == (1, 0, 0)

    asyncio.run(story())


def test_a_word_for_a_message_of_another_queue_is_void(opened: OpenStore) -> None:
    """Ids and epochs can be guessed: whoever may use one queue must not settle what is in another."""

    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a")])
            (held,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            assert await store.queues.settle([Settlement("a", held.epoch, DONE, NOW, queue="other")]) == [False]
            assert not await store.queues.extend("a", held.epoch, NOW + 60, "other")
            assert await store.queues.extend("a", held.epoch, NOW + 60, "q")
            assert await store.queues.settle([Settlement("a", held.epoch, DONE, NOW, queue="q")]) == [True]

    asyncio.run(story())


def test_another_attempt_waits_for_its_time_and_one_that_did_not_count_is_given_back(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a")])
            (one,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            await store.queues.settle([Settlement("a", one.epoch, WAITING, NOW, due=NOW + 30)])
            assert await ids(store, now=NOW + 29) == []
            (two,) = await store.queues.lease("q", 1, NOW + 30, NOW + 60)
            assert two.attempt == 2
            await store.queues.settle([Settlement("a", two.epoch, WAITING, NOW, due=NOW, counts=False)])
            (three,) = await store.queues.lease("q", 1, NOW + 30, NOW + 60)
            assert (three.attempt, three.epoch) == (2, 3)

    asyncio.run(story())


def test_a_group_runs_one_at_a_time_in_its_order(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message(id, group="g") for id in ("a", "b", "c")] + [message("x")])
            assert await ids(store) == ["a", "x"]
            (a,) = [each for each in await store.queues.peek("q", MessageState.RUNNING, 9) if each.id == "a"]
            assert a.group == "g"
            await store.queues.settle([Settlement("a", 1, WAITING, NOW, due=NOW + 5)])
            assert await ids(store) == []  # b does not overtake an attempt to come
            assert await ids(store, now=NOW + 5) == ["a"]
            await store.queues.settle([Settlement("a", 2, DEAD, NOW)])
            assert await ids(store) == ["b"]
            await store.queues.settle([Settlement("b", 1, DONE, NOW)])
            assert await store.queues.cancel("c", NOW) is MessageState.CANCELLED
            await store.queues.put([message("d", group="g")])
            assert await ids(store) == ["d"]

    asyncio.run(story())


def test_the_same_word_is_put_once(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            assert await store.queues.put([message("a", dedup="k"), message("b", dedup="k")]) == ["a", "a"]
            assert await store.queues.put([message("c", queue="other", dedup="k")]) == ["c"]
            (one,) = await store.queues.lease("q", 9, NOW, NOW + 5)
            await store.queues.settle([Settlement("a", one.epoch, DONE, NOW)])
            assert await store.queues.put([message("d", dedup="k")]) == ["a"]
            assert await store.queues.forget(NOW + 1) == 1
            assert await store.queues.put([message("d", dedup="k")]) == ["d"]

    asyncio.run(story())


def test_a_word_can_hold_for_a_time_alone(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            for accepted, id, known in ((0.0, "a", "a"), (299.0, "b", "a"), (300.0, "c", "c"), (301.0, "d", "c")):
                one = Message(id, "q", b"", NOW, NOW + accepted, dedup="k", dedup_s=300.0)
                assert await store.queues.put([one]) == [known]
            assert (await store.queues.counts())["q"].accepted == 2

    asyncio.run(story())


def test_what_is_not_to_be_kept_is_dropped_but_its_word_is_known(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a", group="g"), message("b", group="g"), message("c", dedup="k")])
            for each in await store.queues.lease("q", 9, NOW, NOW + 5):
                await store.queues.settle([Settlement(each.id, each.epoch, DONE, NOW, keep=False)])
            assert await store.queues.find("a") is None
            assert await store.queues.put([message("d", dedup="k")]) == ["c"]
            assert await ids(store) == ["b"]
            counts = (await store.queues.counts())["q"]
            assert (counts.accepted, counts.done, counts.drift) == (3, 2, 0)

    asyncio.run(story())


def test_a_lease_can_be_made_longer_while_it_is_held(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a")])
            (one,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            assert await store.queues.extend("a", one.epoch, NOW + 60)
            assert await store.queues.reclaim(NOW + 30) == 0
            assert await store.queues.reclaim(NOW + 60) == 1
            assert not await store.queues.extend("a", one.epoch, NOW + 90)

    asyncio.run(story())


def test_what_waits_for_its_time_is_counted(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("now"), message("soon", due=NOW + 1), message("late", due=NOW + 9)])
            assert [await store.queues.delayed("q", NOW + more) for more in (0, 1, 9)] == [2, 1, 0]

    asyncio.run(story())


def test_what_follows_is_put_with_the_word_or_not_at_all(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a")])
            (one,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            word = Settlement("a", one.epoch, DONE, NOW, then=(message("next", queue="other"),))
            assert await store.queues.settle([word, word]) == [True, False]
            assert [each.id for each in await store.queues.peek("other", WAITING, 9)] == ["next"]
            assert (await store.queues.counts())["other"].accepted == 1

    asyncio.run(story())


def test_only_what_waits_can_be_cancelled(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a"), message("b")])
            assert await store.queues.cancel("b", NOW) is MessageState.CANCELLED
            assert await ids(store) == ["a"]
            assert await store.queues.cancel("a", NOW) is MessageState.RUNNING
            assert await store.queues.cancel("nobody", NOW) is None

    asyncio.run(story())


def test_the_dead_are_kept_until_they_are_redriven_or_purged(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message(id, group=group) for id, group in (("a", None), ("b", "g"), ("c", "g"))])
            for _ in range(2):
                for each in await store.queues.lease("q", 9, NOW, NOW + 5):
                    await store.queues.settle([Settlement(each.id, each.epoch, DEAD, NOW, result=b"why")])
            counts = (await store.queues.counts())["q"]
            assert (counts.dead, counts.letters, counts.drift) == (3, 3, 0)
            assert await store.queues.redrive("q", NOW + 1) == 3
            assert await ids(store, now=NOW + 1) == ["a", "b"]  # c is behind b again
            counts = (await store.queues.counts())["q"]
            assert (counts.dead, counts.waiting, counts.running, counts.drift) == (0, 1, 2, 0)
            await store.queues.settle([Settlement("a", 2, DEAD, NOW)])
            assert await store.queues.purge("q", DEAD, NOW) == 1
            assert await store.queues.find("a") is None
            counts = (await store.queues.counts())["q"]
            assert (counts.dead, counts.letters, counts.drift) == (1, 0, 0)

    asyncio.run(story())


def test_the_oldest_that_has_not_ended_is_known(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            queues = store.queues
            assert await queues.oldest("q") is None
            ages = (("a", 1.0, None), ("b", 2.0, None), ("c", 3.0, "g"), ("d", 4.0, "g"))
            await queues.put(
                [message(id, group=group)._replace(accepted=at, expires=NOW * 2) for id, at, group in ages]
            )
            await queues.put([message("x")._replace(queue="other", accepted=0.5, expires=NOW * 2)])
            seen = []
            for _ in ages:
                seen.append(await queues.oldest("q"))
                (leased,) = await queues.lease("q", 1, NOW, NOW + 5)
                assert await queues.oldest("q") == seen[-1], "it runs"
                await queues.settle([Settlement(leased.id, leased.epoch, DEAD, NOW)])
            assert (seen, await queues.oldest("q")) == ([1.0, 2.0, 3.0, 4.0], None)
            await queues.redrive("q", NOW)
            assert await queues.oldest("q") is None, "they were asked for anew"

    asyncio.run(story())


def test_a_message_that_is_redriven_waits_for_the_one_of_its_group_that_runs(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message(id, group="g") for id in ("a", "b", "c")])
            (a,) = await store.queues.lease("q", 9, NOW, NOW + 5)
            await store.queues.settle([Settlement("a", a.epoch, DEAD, NOW)])
            assert await ids(store) == ["b"]
            assert await store.queues.redrive("q", NOW) == 1
            assert await ids(store) == []
            await store.queues.settle([Settlement("b", 1, DONE, NOW)])
            assert await ids(store) == ["a"]
            await store.queues.settle([Settlement("a", 2, DEAD, NOW)])
            await store.queues.redrive("q", NOW)
            assert await ids(store) == ["a"]  # and not c, which was the first until then

    asyncio.run(story())


def test_purging_what_waits_cancels_it(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            await store.queues.put([message("a"), message("b", group="g"), message("c", group="g")])
            assert await store.queues.purge("q", WAITING, NOW) == 3
            assert await ids(store) == []
            counts = (await store.queues.counts())["q"]
            assert (counts.cancelled, counts.drift) == (3, 0)

    asyncio.run(story())


def test_a_large_body_lies_apart_and_comes_back_whole(opened: OpenStore) -> None:
    async def story() -> None:
        async with opened() as store:
            body = bytes(range(256)) * 1024

            async def apart() -> int:
                assert isinstance(store, SqliteStore | PostgresStore)
                count = "SELECT COUNT(*) FROM messages JOIN bodies USING (seq) WHERE messages.body IS NULL"
                (found,) = await store._writer.run(lambda db: db.execute(count).fetchone())
                return int(found)

            await store.queues.put([Message("a", "q", body, NOW, NOW), Message("b", "other", body[:65536], NOW, NOW)])
            assert await apart() == 1
            (one,) = await store.queues.lease("q", 1, NOW, NOW + 5)
            assert one.body == body
            await store.queues.settle([Settlement("a", one.epoch, DONE, NOW)])
            assert await store.queues.forget(NOW + 1) == 1
            assert await apart() == 0

    asyncio.run(story())


def test_what_was_put_is_there_after_a_restart_and_all_leases_can_be_reclaimed(on_disk: type[SqliteStore]) -> None:
    async def before() -> None:
        store = on_disk()
        await store.open()
        await store.queues.put([message("a"), message("b")])
        await store.queues.lease("q", 1, NOW, NOW + 3600)
        await store.close()

    async def after() -> None:
        store = on_disk()
        await store.open()
        assert await store.queues.reclaim(math.inf) == 1
        assert await ids(store) == ["a", "b"]
        assert (await store.queues.counts())["q"].drift == 0
        await store.close()

    asyncio.run(before())
    asyncio.run(after())


def test_many_at_once_share_transactions(on_disk: type[SqliteStore]) -> None:
    async def story() -> None:
        store = on_disk()
        await store.open()
        await asyncio.gather(*(store.queues.put([message(f"m{number}")]) for number in range(1000)))
        assert store.commits < 200
        assert (await store.queues.counts())["q"].waiting == 1000
        await store.close()

    asyncio.run(story())


def test_many_at_once_share_statements(tmp_path: Path) -> None:
    said: list[str] = []

    def connect(path: str) -> SqliteConnection:
        connection = connected(path)
        connection.set_trace_callback(said.append)
        return connection

    async def story() -> None:
        store = SqliteStore(tmp_path / "store.db", connect)
        await store.open()
        before = store.commits
        plain = [message(f"m{number}") for number in range(500)]
        words = [message(f"w{number}", dedup=f"w{number // 2}") for number in range(4)]
        first = store.queues.put_and_lease([message("first", queue="other")], None, NOW, NOW + 60)
        puts = [store.queues.put([each]) for each in (*plain, *words)]
        known = [id for put in puts for id in await put]
        inserts = sum(line.startswith("INSERT INTO messages") for line in said)
        assert inserts < 500 / TOGETHER + (store.commits - before) + len(words) + 2
        assert [each.id for each in (await first)[1]] == ["first"]
        assert known[-4:] == ["w0", "w0", "w2", "w2"]
        assert await ids(store, 1000) == [*(each.id for each in plain), "w0", "w2"]
        assert not any(counts.drift for counts in (await store.queues.counts()).values())
        await store.close()

    asyncio.run(story())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable, match=r"store\.db.*not a database"):
        asyncio.run(SqliteStore(path).open())


def test_a_locked_store_takes_nothing_and_serves_again_afterwards(tmp_path: Path, on_disk: type[SqliteStore]) -> None:
    async def story() -> None:
        store = on_disk()
        await store.open()
        await store.queues.put([message("a")])
        other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.queues.put([message("b")])
        other.execute("ROLLBACK")
        other.close()
        assert await store.queues.put([message("c")]) == ["c"]
        assert await ids(store) == ["a", "c"]
        await store.close()

    asyncio.run(story())


def test_a_full_store_takes_nothing(on_disk: type[SqliteStore]) -> None:
    async def story() -> None:
        store = on_disk()
        await store.open()
        await store._writer.run(lambda db: db.execute("PRAGMA max_page_count = 60"))
        with pytest.raises(StoreUnavailable, match="full"):
            for number in range(100):
                await store.queues.put([Message(f"m{number}", "q", bytes(10_000), NOW, NOW)])
        counts = (await store.queues.counts())["q"]
        assert counts.waiting == len(await store.queues.peek("q", WAITING, 1000)) > 0
        await store.close()

    asyncio.run(story())

"""What bounds deferred calls, and what outlives a run, a stop and a store that fails for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from fnctl.model import Auth, Rate
from fnctl.store.port import StoreUnavailable
from fnctl.store.sqlite import SqliteStore
from fnctl.triggers.http.auth import Gate
from fnctl.triggers.http.keyring import Keyring
from fnctl.triggers.queue.deferred import Deferred
from tests.contract.deferred_calls import ask, deferring, look, post
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play, read_request
from tests.support.turning import until


def test_past_its_backlog_a_function_takes_no_more(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(deferring(backlog=2), answering(HELLO))
        asked = [await ask(made, post(fields={"X-Fnctl-Delay": "1h"})) for _ in range(3)]
        assert [told.status for told in asked] == [202, 202, 429]
        assert asked[2].headers["retry-after"] == "5"

    play(tmp_path, scene)


def test_a_store_that_takes_nothing_is_503_and_never_202(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        assert isinstance(made.store, SqliteStore)
        (pages,) = await made.store._writer.run(lambda db: db.execute("PRAGMA page_count").fetchone())
        await made.store._writer.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages}"))
        told = await ask(made, post(bytes(50_000)))
        assert (told.status, told.json["error"]["code"], told.headers["retry-after"]) == (503, "store", "1")
        await made.store._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1000000"))
        assert (await ask(made, post(bytes(50_000)))).status == 202

    play(tmp_path, scene)


def test_no_more_calls_run_at_once_than_the_rule_allows(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        going = asyncio.Event()
        entered = 0

        async def waiting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal entered
            while True:
                await read_request(reader)
                entered += 1
                await going.wait()
                writer.write(HELLO)

        await made.add(deferring(concurrency=2), waiting, connections=6)
        for _ in range(5):
            await ask(made, post())
        await until(lambda: entered == 2)
        counts = (await made.store.queues.counts())["fn/app"]
        assert (counts.running, counts.waiting) == (2, 3)
        going.set()
        await made.deferred.rest()
        assert entered == 5

    play(tmp_path, scene)


class _Asked:
    """The store's queues, and what was asked of them to begin calls."""

    def __init__(self, queues: Any) -> None:
        self._queues = queues
        self.said: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name in ("put", "put_and_lease"):
            self.said.append(name)
        return getattr(self._queues, name)


def test_a_call_within_the_rate_is_put_and_leased_in_one_step(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        asked = made.store.queues = _Asked(made.store.queues)  # type: ignore[misc]
        seen: list[Seen] = []
        await made.add(deferring(rate=Rate(1.0, 2)), answering(HELLO, seen))
        for dedup in ("1", "1", "2"):  # the second is the first, and costs the rate nothing
            assert (await ask(made, post(fields={"X-Fnctl-Dedup": dedup}))).status == 202
            await (
                made.deferred.rest()
            )  # while one looks for what is due, the others wait for what it leaves of the rate
        assert (asked.said, len(seen)) == (["put_and_lease"] * 3, 2)
        for _ in range(2):
            assert (await ask(made, post())).status == 202
        await made.deferred.rest()
        assert (asked.said[3:], len(seen)) == (["put"] * 2, 2)
        for seconds in (1, 2):
            await made.clock.advance(1)
            assert len(seen) == 2 + seconds

    play(tmp_path, scene)


def test_the_preference_does_not_get_past_authentication(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(replace(app(), auth=Auth.KEY), answering(HELLO))
        assert (await ask(made, post())).status == 401
        assert await made.store.queues.counts() == {}

    play(tmp_path, scene, gate=Gate(Keyring(())))


def test_what_a_run_left_unfinished_is_made_by_the_next(tmp_path: Path) -> None:
    """Its lease is nobody's once the run is gone, and the attempt that it had begun counts."""

    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        hang = asyncio.Event()

        async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await read_request(reader))
            if len(seen) == 1:
                await hang.wait()
            writer.write(HELLO)
            await writer.drain()

        await made.add(app(), hanging, connections=2)
        accepted = await ask(made, post())
        await until(lambda: len(seen) == 1)
        after = Deferred(made.store, made.clock, made.invocations, made.functions, Random(2))
        await after.open()
        await after.rest()
        told = (await look(made, accepted)).json
        assert (told["state"], told["attempts"]) == ("done", 2)
        hang.set()
        await made.deferred.rest()  # the word of the one that was thought dead comes late, and is void
        assert (await look(made, accepted)).json == told
        await after.close()

    play(tmp_path, scene)


def test_a_run_that_stops_gives_back_what_it_cut_off(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        entered = asyncio.Event()

        async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            entered.set()
            await asyncio.Event().wait()

        await made.add(app(), hanging)
        await ask(made, post())
        await entered.wait()
        await made.deferred.close(cut=True)
        counts = (await made.store.queues.counts())["fn/app"]
        assert (counts.waiting, counts.running, counts.drift) == (1, 0, 0)

    play(tmp_path, scene)


def test_a_store_that_fails_for_a_while_loses_no_word(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        settle, failing = made.store.queues.settle, 2

        async def at_last(words: Any) -> list[bool]:
            nonlocal failing
            if failing:
                failing -= 1
                raise StoreUnavailable("the disk is full")
            return await settle(words)

        made.store.queues.settle = at_last  # type: ignore[method-assign]
        accepted = await ask(made, post())
        await made.deferred.rest()
        assert (await look(made, accepted)).json["state"] == "done"

    play(tmp_path, scene)

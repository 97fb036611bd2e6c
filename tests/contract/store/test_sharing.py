"""Several runs on one store in Postgres: work is shared, nothing is made twice, and who dies is followed by another."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fnctl.errors import ConfigError
from fnctl.store.port import Message, MessageState, StoreUnavailable
from fnctl.store.postgres import PostgresStore
from tests.contract.deferred_calls import ask, look, post
from tests.contract.gateway_stage import HELLO, Stage, answering, app, stage
from tests.contract.store.sharing_run import AT_ONCE
from tests.support.postgres import PASSWORD, Cluster
from tests.support.waiting import until

pytestmark = pytest.mark.servers
ROOT = Path(__file__).parents[3]
NOW = 1_800_000_000.0


class Run:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.hear("ready")

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        self.hear(line.partition(" ")[0])

    def hear(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"


@contextmanager
def run(folder: Path, url: str, schema: str) -> Iterator[Run]:
    command = [sys.executable, "-m", "tests.contract.store.sharing_run", str(folder), url, schema, str(NOW)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        yield Run(process)
        assert process.stdin is not None
        process.stdin.close()


def entered(folder: Path) -> list[tuple[int, str]]:
    """(process, call), in order."""
    path = folder / "journal"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), id) for pid, _, id in (line.partition(" ") for line in lines)]


def test_two_runs_share_the_work_and_one_follows_the_other_that_died(tmp_path: Path, postgres: Cluster) -> None:
    schema = f"t{secrets.token_hex(4)}"
    with run(tmp_path, postgres.url, schema) as one, run(tmp_path, postgres.url, schema) as other:
        one.tell(f"accept {2 * AT_ONCE}")  # more than it can make at once: the other hears of the rest
        until(lambda: len(entered(tmp_path)) == 2 * AT_ONCE, "all calls under way")
        assert Counter(pid for pid, _ in entered(tmp_path)) == {one.pid: AT_ONCE, other.pid: AT_ONCE}
        for each in (one, other):
            each.tell("go")
            each.tell("wait")
        one.tell(f"accept {2 * AT_ONCE}")
        until(lambda: len(entered(tmp_path)) == 4 * AT_ONCE, "all further calls under way")
        one.process.kill()
        one.process.wait()
        other.tell("go")
        other.tell("advance 30")  # the leases of the dead are not over yet
        assert len(entered(tmp_path)) == 4 * AT_ONCE
        other.tell("advance 3600")
        made = entered(tmp_path)
    of_the_dead = {id for pid, id in made[2 * AT_ONCE : 4 * AT_ONCE] if pid == one.pid}
    assert {id for _, id in made[4 * AT_ONCE :]} == of_the_dead
    times = Counter(id for _, id in made)
    assert {id for id, count in times.items() if count > 1} == of_the_dead
    asyncio.run(all_done(postgres.url, schema, 4 * AT_ONCE))


async def all_done(url: str, schema: str, count: int) -> None:
    store = PostgresStore(url, schema)
    await store.open()
    counts = (await store.queues.counts())["fn/app"]
    assert (counts.accepted, counts.done, counts.drift) == (count, count, 0)
    await store.close()


def test_many_who_use_the_same_names_at_once_come_to_one_result(postgres: Cluster) -> None:
    """Deduplication words, groups, versions and counts are decided in one place, whoever asks."""

    async def story() -> None:
        schema = f"t{secrets.token_hex(4)}"
        stores = [PostgresStore(postgres.url, schema) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        ids = await asyncio.gather(
            *(
                store.queues.put([Message(f"{index}-{number}", "q", b"", NOW, NOW, dedup=f"d{number}")])
                for number in range(20)
                for index, store in enumerate(stores)
            )
        )
        assert len({id for (id,) in ids}) == 20
        told = await asyncio.gather(
            *(store.keys.set("k", b"v", NOW, version=0) for store in stores), return_exceptions=True
        )
        assert sum(isinstance(each, int) for each in told) == 1
        groups = [Message(f"g{number}", "g", b"", NOW, NOW, group="one") for number in range(20)]
        await asyncio.gather(*(stores[index % 4].queues.put([each]) for index, each in enumerate(groups)))
        leased = await asyncio.gather(*(store.queues.lease("g", 5, NOW, NOW + 60) for store in stores))
        assert sum(len(each) for each in leased) == 1
        leased = await asyncio.gather(*(store.queues.lease("q", 10, NOW, NOW + 60) for store in stores))
        every = [each.id for some in leased for each in some]
        assert len(every) == len(set(every))
        counts = await stores[0].queues.counts()
        assert (counts["q"].accepted, counts["g"].accepted) == (20, 20)
        assert [each.drift for each in counts.values()] == [0, 0]
        await asyncio.gather(*(store.close() for store in stores))

    asyncio.run(story())


def test_a_server_that_is_gone_is_503_until_it_is_back(tmp_path: Path, postgres: Cluster) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        assert (await ask(made, post())).status == 202
        await asyncio.to_thread(postgres.stop)
        told = await ask(made, post())
        assert (told.status, told.json["error"]["code"], told.headers["retry-after"]) == (503, "store", "1")
        assert PASSWORD not in told.body.decode() and "postgres://fn@" in told.body.decode()
        await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(30):
            while (accepted := await ask(made, post())).status != 202:
                pass
        await made.deferred.rest()
        assert (await look(made, accepted)).json["state"] == MessageState.DONE

    async def story() -> None:
        async with stage(tmp_path, store=PostgresStore(postgres.url, f"t{secrets.token_hex(4)}")) as made:
            await scene(made)

    asyncio.run(story())


def test_a_password_stands_in_no_message(postgres: Cluster) -> None:
    wrong = postgres.url.replace("fn:", "fn:not-", 1)
    with pytest.raises(StoreUnavailable, match="password authentication failed") as refused:
        asyncio.run(PostgresStore(wrong, "t").open())
    assert "not-" not in str(refused.value) and "s3cr3t" not in str(refused.value)
    for url in ("postgres://fn:s3cr3t@[::1/x", "postgres://fn:s3cr3t/more@host/x"):
        with pytest.raises(ConfigError) as unreadable:
            PostgresStore(url, "t")
        assert "s3cr3t" not in f"{unreadable.value}{unreadable.value.hint}{unreadable.value.__cause__}"

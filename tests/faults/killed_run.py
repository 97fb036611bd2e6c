"""A run of deferred calls that is killed where it is told to be: real store, queue and lanes, a function played here.

`python -m tests.faults.killed_run FOLDER` reads one `Life` a line, lives it in a process of its own, and writes how
that ended. What happened stands in FOLDER/journal, line by line, whatever became of the process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from fnctl.model import AsyncRule
from fnctl.store.port import ENDED, Leased, Message, Settlement
from fnctl.store.sqlite import SqliteConnection, SqliteStore
from fnctl.triggers.http.call import CallRequest
from tests.contract.gateway_stage import HELLO, Stage, app, read_request
from tests.contract.gateway_stage import stage as staged
from tests.faults.killable_connection import connection

LANES = 16  # calls at once
CALLERS = 32
# Where a process can be killed, and how often it may have come past there before.
POINTS = {
    "begin": 60,
    "begun": 60,
    "statement": 2_000,
    "commit": 60,
    "committed": 60,
    "put": 400,
    "put and told": 400,
    "lease": 60,
    "leased": 60,
    "entered": 400,
    "answered": 400,
    "settle": 400,
    "settled": 400,
    "moment": 400,  # milliseconds, and not a point at all
}


@dataclasses.dataclass(frozen=True)
class Life:
    calls: int  # to be accepted
    point: str = ""  # none: it ends by itself
    passes: int = 0


class Run:
    def __init__(self, folder: Path, life: Life) -> None:
        self.folder = folder
        self._life = life
        self._left = life.passes
        self._journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, *ids: str) -> None:
        os.write(self._journal, "".join(f"{what} {id}\n" for id in ids).encode())

    def at(self, point: str) -> None:
        if point == self._life.point:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def connect(self, path: str) -> SqliteConnection:
        return connection(path, self.at)

    async def live(self) -> None:
        if self._life.point == "moment":
            signal.setitimer(signal.ITIMER_REAL, self._life.passes / 1000)  # nobody handles it: it ends the process
        store = SqliteStore(self.folder / "store.db", self.connect)
        store.queues = _Queues(store.queues, self)  # type: ignore[assignment]
        place = self.folder / "stage"
        async with staged(place, store=store) as made:
            function = dataclasses.replace(app(), deferred=AsyncRule(retries=10_000, concurrency=LANES))
            await made.add(function, self._function, connections=LANES)
            made.deferred.refresh()
            left = iter(range(self._life.calls))
            await asyncio.gather(*(self._accept(made, left) for _ in range(CALLERS)))
            await made.deferred.rest()

    async def _accept(self, made: Stage, left: Iterable[int]) -> None:
        function = made.functions()["app"]
        for _ in left:
            id = await made.deferred.accept(function, CallRequest(b"POST", b"/", b"Host: a\r\n", b"work"))
            self.note("accepted", id)

    async def _function(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            id = (await read_request(reader)).one(b"x-fnctl-invocation-id").decode()
            self.note("entered", id)
            self.at("entered")
            writer.write(HELLO)
            self.note("answered", id)
            self.at("answered")


class _Queues:
    """The store's queues, with points on both sides of what matters."""

    def __init__(self, queues: Any, run: Run) -> None:
        self._queues = queues
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)

    async def put(self, messages: Sequence[Message], most: int | None = None) -> list[str]:
        self._run.at("put")
        ids: list[str] = await self._queues.put(messages, most)
        self._run.at("put and told")
        return ids

    async def put_and_lease(self, *args: Any) -> tuple[list[str], list[Leased]]:
        self._run.at("put")
        self._run.at("lease")
        told: tuple[list[str], list[Leased]] = await self._queues.put_and_lease(*args)
        self._run.at("put and told")
        if told[1]:
            self._run.at("leased")
        return told

    async def lease(self, *args: Any) -> list[Leased]:
        self._run.at("lease")
        leased: list[Leased] = await self._queues.lease(*args)
        self._run.at("leased")
        return leased

    async def settle(self, words: Sequence[Settlement]) -> list[bool]:
        self._run.at("settle")
        told: list[bool] = await self._queues.settle(words)
        ended = (word.id for word, counted in zip(words, told, strict=True) if counted and word.state in ENDED)
        self._run.note("ended", *ended)
        self._run.at("settled")
        return told


def lived(folder: Path, life: Life) -> int:
    """How the process ended that lived it: as `subprocess` says it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for path in (folder / "stage").iterdir():
                path.unlink()
            uvloop.run(Run(folder, life).live())
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "stage").mkdir(exist_ok=True)
    for line in sys.stdin:
        sys.stdout.write(f"{lived(folder, Life(**json.loads(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

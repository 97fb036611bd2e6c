"""A run of deferred calls on a store that others share, told what to do line by line.

`python -m tests.contract.store.sharing_run FOLDER URL SCHEMA NOW`: its function notes in FOLDER/journal who was called
where, and answers when it may.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from fnctl.model import AsyncRule
from fnctl.store.postgres import PostgresStore
from fnctl.triggers.http.call import CallRequest
from tests.contract.gateway_stage import HELLO, Stage, app, read_request, stage

AT_ONCE = 4


class Run:
    def __init__(self, folder: Path) -> None:
        self._journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._going = asyncio.Event()

    async def work(self, made: Stage) -> None:
        await made.add(replace(app(), deferred=AsyncRule(concurrency=AT_ONCE)), self._function, connections=AT_ONCE)
        made.deferred.refresh()
        self._say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            word, _, value = line.strip().partition(" ")
            if word == "accept":
                request = CallRequest(b"POST", b"/", b"Host: a\r\n", b"work")
                for _ in range(int(value)):
                    await made.deferred.accept(made.functions()["app"], request)
            elif word == "go":
                self._going.set()
                await made.deferred.rest()
            elif word == "advance":
                await made.clock.advance(float(value))
            elif word == "wait":
                self._going.clear()
            self._say(word)

    def _say(self, word: str) -> None:
        sys.stdout.write(f"{word}\n")
        sys.stdout.flush()

    async def _function(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            id = (await read_request(reader)).one(b"x-fnctl-invocation-id").decode()
            os.write(self._journal, f"{os.getpid()} {id}\n".encode())
            await self._going.wait()
            writer.write(HELLO)


async def main() -> None:
    folder, url, schema, now = sys.argv[1:]
    place = Path(folder) / str(os.getpid())
    place.mkdir()
    async with stage(place, store=PostgresStore(url, schema), now=float(now)) as made:
        await Run(Path(folder)).work(made)


if __name__ == "__main__":
    uvloop.run(main())

"""Waits for sandboxes that end by themselves, until the engine has removed them: one look for all. Ends none itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from fnctl.errors import EngineError

LOOK_S = 0.2  # between looks: ending and removing takes a tenth of a second, and a look costs the engine one
LEAVES_S = 3.0  # past this something is wrong with it, or with the engine


class SelfExits:
    """On the event loop's thread. `there` asks the engine for the ids of what it has of this run."""

    def __init__(self, there: Callable[[], Awaitable[frozenset[str]]], leaves_s: float = LEAVES_S) -> None:
        self._there = there
        self._leaves_s = leaves_s
        self._leaving: dict[str, tuple[asyncio.Future[bool], float]] = {}  # by id: who waits, and until when
        self._looking: asyncio.Task[None] | None = None

    async def gone(self, sandbox: str) -> bool:
        """True as soon as the engine is seen without it; False after `leaves_s`, and where the engine fails."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._leaving[sandbox] = (future, loop.time() + self._leaves_s)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="exits")
        return await future

    async def _look(self) -> None:
        try:
            while self._leaving:
                await asyncio.sleep(LOOK_S)
                self._tell(self._leaving.keys() - await self._there(), gone=True)
                now = asyncio.get_running_loop().time()
                self._tell([sandbox for sandbox, (_, until) in self._leaving.items() if until < now], gone=False)
        except EngineError:
            pass
        finally:  # whatever went wrong, nobody is left waiting
            self._tell(self._leaving, gone=False)

    def _tell(self, sandboxes: Iterable[str], *, gone: bool) -> None:
        for sandbox in list(sandboxes):
            future, _ = self._leaving.pop(sandbox)
            if not future.done():
                future.set_result(gone)

"""Orphans: sandboxes of this run that nobody knows, once an answer of the engine was lost. They are removed here. Not
by the pool, which destroys what it knows, nor by the crash watcher, which removes what a killed run left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from itertools import chain, repeat
from typing import Any

from fnctl.engine.port import Engine
from fnctl.errors import EngineError
from fnctl.model import SandboxInfo

# After a lost answer the engine may be at work on the request still: it is asked at once, and again when it should have
# ended. While it does not answer at all, it is asked ever more rarely.
LOOKS_S = (0.0, 2.0, 10.0)
BACKOFF_S = (1.0, 2.0, 5.0, 15.0)


class Orphans:
    """A full list of what the engine has, whenever there is reason to doubt the registry. On the event loop's thread.

    `known` gives the names of all sandboxes that are, or are about to be. A name is known before the engine is asked to
    make it, so that what is listed and not known is nobody's: its making failed as far as this run can tell.
    """

    def __init__(
        self,
        engine: Engine,
        labels: Mapping[str, str],
        known: Callable[[], frozenset[str]],
        call: Callable[..., Awaitable[Any]],
    ) -> None:
        self._engine = engine
        self._labels = labels
        self._known = known
        self._call = call
        self._doubt = asyncio.Event()
        self.removed = 0

    def doubt(self) -> None:
        """A create or a destroy failed, or was not answered: there may be more than is known."""
        self._doubt.set()

    async def run(self) -> None:
        """Look after each doubt, until cancelled."""
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            for wait_s in LOOKS_S:
                await asyncio.sleep(wait_s)
                await self._look_until_answered()

    async def _look_until_answered(self) -> None:
        waits = chain(BACKOFF_S, repeat(BACKOFF_S[-1]))
        while True:
            try:
                await self.look()
            except EngineError:
                await asyncio.sleep(next(waits))
            else:
                return

    async def look(self) -> None:
        """List, compare, remove. EngineError where the engine does not answer."""
        there: list[SandboxInfo] = await self._call(self._engine.list, self._labels)
        known = self._known()
        for box in there:
            if box.name not in known:
                await self._call(self._engine.destroy, box.id)
                self.removed += 1

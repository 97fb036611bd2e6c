"""What is done in one instance ahead of any request: a runtime is booted, or a bundle's cache is read. Not by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Preparation:
    """One piece of work at a time, in a task of its own."""

    def __init__(self) -> None:
        self.runtime: str | None = None  # that the work under way is for
        self.cache_of: str | None = None  # the digest of the bundle whose cache was read, or is about to be
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        return self._task is not None

    def begin(self, runtime: str, work: Coroutine[Any, Any, None], cache_of: str | None = None) -> None:
        """Do this work, which is for `runtime`; with `cache_of`, the instance is for that bundle alone from now on."""
        self.cache_of = cache_of
        self.runtime = runtime
        self._task = asyncio.create_task(self._do(work), name="prepare")

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self.runtime = self._task = None

    async def over(self) -> None:
        """Wait until what is under way has ended, however it does."""
        if self._task is not None:
            await asyncio.wait([self._task])

"""Tasks that somebody owns until they end, so that none is forgotten or collected half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """On one event loop's thread."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], None] = {}  # in the order of their beginning

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)

    async def wait(self) -> None:
        """For those that are under way now."""
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def cancel(self) -> None:
        """End those that are under way now, and wait until they have."""
        for task in list(self._tasks):
            task.cancel()
        await self.wait()

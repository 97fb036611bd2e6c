"""A lock for changes of the running service: shared by several, or exclusive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """On one event loop. Who wants to be alone goes before those who come after it."""

    def __init__(self) -> None:
        self._shared = 0
        self._alone = asyncio.Lock()
        self._ended = asyncio.Condition()

    @property
    def others(self) -> bool:
        """Asked by one who has a turn: whether another has one too."""
        return self._shared > 1

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        async with self._alone:
            self._shared += 1
        try:
            yield
        finally:
            self._shared -= 1
            async with self._ended:
                self._ended.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._alone:
            async with self._ended:
                await self._ended.wait_for(lambda: self._shared == 0)
            yield

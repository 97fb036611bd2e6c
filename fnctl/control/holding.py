"""Services that stand still for as long as somebody is connected who asked for it: while their volumes are copied.

A lease that the kernel ends: who is killed is disconnected, and the services go on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from fnctl.errors import ConflictError
from fnctl.tasks import Tasks

HOLD_S = 600.0  # at most: who takes longer finds that the connection has ended
HELD = b"held\n"


class Holding:
    """`POST /v1/hold`: answers when the services stand still, and releases them when the client leaves."""

    def __init__(self, hold: Callable[[], Awaitable[None]], release: Callable[[], Awaitable[None]]) -> None:
        self._hold = hold
        self._release = release
        self._held = False
        self._tasks = Tasks()

    async def post(self, request: Request) -> StreamingResponse:
        if self._held:
            raise ConflictError("a backup of this project is being made already", hint="try again when it is done")
        self._held = True
        await request.body()
        try:
            await self._hold()
        except BaseException:
            self._held = False
            raise
        over = asyncio.Event()
        self._tasks.spawn(self._let_go(request, over))  # whatever becomes of the response
        return StreamingResponse(_until(over))

    async def _let_go(self, request: Request, over: asyncio.Event) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(request.receive(), HOLD_S)  # which comes when the client has left
            await self._release()
        finally:
            self._held = False
            over.set()

    @property
    def route(self) -> Route:
        return Route("/v1/hold", self.post, methods=["POST"])


async def _until(over: asyncio.Event) -> AsyncIterator[bytes]:
    yield HELD
    await over.wait()

"""Keeps the services of a run up: one that has ended is made anew, at once and then ever more rarely. On the event
loop's thread; what blocks goes to the executor."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fnctl.errors import EngineError
from fnctl.services.node import Node
from fnctl.services.services import Services

BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0)
STEADY_S = 30.0  # up for so long, its next end is a first one again
POLL_S = 0.2  # where the kernel has no pidfd for us


class Supervisor:
    """run → cancel. `changed` is told each time a service comes up or is found down."""

    def __init__(
        self,
        services: Services,
        call: Callable[..., Awaitable[Any]],
        changed: Callable[[], None],
        backoff_s: tuple[float, ...] = BACKOFF_S,
        ended: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        self._services = services
        self._call = call
        self._changed = changed
        self._backoff_s = backoff_s
        self._ended = ended or process_ended

    async def run(self) -> None:
        """Until cancelled. Services are up, or have been."""
        async with asyncio.TaskGroup() as group:
            for node in self._services.nodes:
                group.create_task(self._keep(node), name=f"service {node.name}")

    async def _keep(self, node: Node) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            await self._ended(node.pid)
            node.is_down("its container ended")
            self._changed()  # before anything that the engine is asked: it may be frozen
            failures = 0 if loop.time() - began > STEADY_S else failures
            node.is_down(await self._call(node.fate))
            failures = await self._revive(node, failures)
            node.restarts += 1
            node.is_up()
            self._changed()

    async def _revive(self, node: Node, failures: int) -> int:
        """Until it is up; how many tries there were since it was steady."""
        while True:
            await asyncio.sleep(self._backoff_s[min(failures, len(self._backoff_s) - 1)])
            failures += 1
            try:
                await self._call(node.unmake)
                await self._call(node.make)
                await self._call(node.await_ready, self._services.ready_s)
            except EngineError as error:
                node.is_down(error.message)
            else:
                return failures


async def process_ended(pid: int) -> None:
    """Wait for the end of a process that is not a child. The kernel tells; where it cannot, /proc is asked."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        for _ in itertools.count():
            if not await asyncio.to_thread(Path(f"/proc/{pid}").exists):
                return
            await asyncio.sleep(POLL_S)
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, over.set)
        await over.wait()
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(fd)
        os.close(fd)

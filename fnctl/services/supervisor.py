"""Keeps the services of a run up: one that has ended, or that hangs, is made anew, at once and then ever more rarely.
On the event loop's thread; what blocks goes to the executor."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fnctl.errors import EngineError
from fnctl.model import LivenessRule
from fnctl.services.liveness import Liveness
from fnctl.services.node import Health, Node
from fnctl.services.services import Services

BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0, 15.0)
STEADY_S = 30.0  # up for so long, its next end is a first one again
POLL_S = 0.2  # where the kernel has no pidfd for us


class Supervisor:
    """run → cancel. `changed` is told each time a service comes up or is found down, `tell` the same in words."""

    def __init__(
        self,
        services: Services,
        call: Callable[..., Awaitable[Any]],
        changed: Callable[[], None],
        backoff_s: tuple[float, ...] = BACKOFF_S,
        ended: Callable[[int], Awaitable[None]] | None = None,
        tell: Callable[[str, str], None] = lambda service, text: None,
        slower: float = 1.0,
    ) -> None:
        """`slower`: than the machine that the times are made for (fnctl/pace.py)."""
        self._services = services
        self._call = call
        self._changed = changed
        self._backoff_s = backoff_s
        self._ended = ended or process_ended
        self._tell = tell
        self._slower = slower

    async def run(self) -> None:
        """Until cancelled. Services are up, or have been."""
        async with asyncio.TaskGroup() as group:
            for node in self._services.nodes:
                group.create_task(self._keep(node), name=f"service {node.name}")

    async def _keep(self, node: Node) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            hung = await self._end_of(node)
            node.is_down(hung or "its container ended")
            self._changed()  # before anything that the engine is asked: it may be frozen
            failures = 0 if loop.time() - began > STEADY_S else failures
            if not hung:
                node.is_down(await self._call(node.fate))
            self._tell(node.name, f"service {node.name} is restarted: {node.found}")
            failures = await self._revive(node, failures)
            node.restarts += 1
            node.is_up()
            self._changed()

    async def _end_of(self, node: Node) -> str:
        """Until it has ended, or hangs: then how, in words."""
        rule = node.planned.kind.liveness
        ended = asyncio.ensure_future(self._ended(node.pid))
        hung = asyncio.ensure_future(self._hung(node, rule) if rule is not None else asyncio.Event().wait())
        try:
            await asyncio.wait({ended, hung}, return_when=asyncio.FIRST_COMPLETED)
            return "" if ended.done() else str(hung.result())
        finally:
            ended.cancel()
            hung.cancel()
            await asyncio.gather(ended, hung, return_exceptions=True)

    async def _hung(self, node: Node, rule: LivenessRule) -> str:
        """Until it hangs; what was found, in words."""
        failures = 0
        liveness = Liveness(node.planned.kind.ports)
        try:
            while failures < rule.failures:
                await asyncio.sleep(rule.interval_s * self._slower)
                if node.held:  # it cannot answer
                    failures = 0
                    continue
                found = await self._call(liveness.look, node.pid, node.address)
                failures = failures + 1 if found else 0
                if found:
                    node.is_unresponsive(f"{found} for {failures * rule.interval_s * self._slower:g} s")
                    self._tell(node.name, f"service {node.name}: {node.found}")
                elif node.health is Health.UNRESPONSIVE:
                    node.is_up()
            return node.found
        finally:
            liveness.close()

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

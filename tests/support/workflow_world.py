"""A world for tests: functions and addresses are Python callables, time stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fnctl.clock import VirtualClock
from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import Awaited, HttpRequest, HttpResponse, Process, ProcessResult, Step


class MemoryLog:
    """A run's log in memory. `fails_at`: the append with this number (from 0) raises instead."""

    def __init__(self, entries: Sequence[Mapping[str, Any]] = (), fails_at: int | None = None) -> None:
        self.entries: list[Mapping[str, Any]] = list(entries)
        self.appends = 0
        self._fails_at = fails_at

    async def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if self.appends == self._fails_at:
            raise Crash("the log")
        self.appends += 1
        await asyncio.sleep(0)
        self.entries += entries


class Crash(Exception):
    """As if the process had been killed here."""


@dataclass
class FakeWorld:
    """`acts`: what was done outside, in its order, by step and attempt. `crash`: asked before and after each act."""

    functions: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    addresses: Callable[[HttpRequest], HttpResponse] | None = None
    processes: Callable[[Process], ProcessResult] | None = None
    secrets: Mapping[str, Any] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(1_800_000_000.0))
    acts: list[Step] = field(default_factory=list)
    published: list[Mapping[str, Any]] = field(default_factory=list)
    crash: Callable[[str], None] = lambda where: None
    children: Callable[[Identity, Any, Awaited | None], None] | None = None
    finished: Counter[str] = field(default_factory=Counter)

    def random(self) -> float:
        return 0.5

    def new_id(self) -> str:
        return f"id{len(self.acts)}"

    def secret(self, name: str) -> Any:
        if name not in self.secrets:
            raise standard("authorization", f"there is no secret `{name}`")
        return self.secrets[name]

    async def function(self, step: Step, name: str, arguments: Any) -> Any:
        if name not in self.functions:
            raise standard("configuration", f"there is no function `{name}`")
        return await self._act(step, lambda: self.functions[name](arguments))

    async def http(self, step: Step, request: HttpRequest) -> HttpResponse:
        if self.addresses is None:
            raise standard("communication", f"{request.url} cannot be reached", status=503)
        answers = self.addresses
        return await self._act(step, lambda: answers(request))  # type: ignore[no-any-return]

    async def process(self, step: Step, process: Process, awaited: bool) -> ProcessResult | None:
        if self.processes is None:
            raise standard("runtime", "nothing can be run here")
        runs = self.processes
        result = await self._act(step, lambda: runs(process))
        return result if awaited else None

    async def publish(self, step: Step, event: Mapping[str, Any]) -> None:
        await self._act(step, lambda: self.published.append(event))

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        if self.children is None:
            raise standard("configuration", f"there is no workflow {identity}")
        begin = self.children
        await self._act(step, lambda: begin(identity, input, waits))

    async def _act(self, step: Step, act: Callable[[], Any]) -> Any:
        self.crash(f"before {step.key}")
        self.acts.append(step)
        await asyncio.sleep(0)
        result = act()
        self.finished[step.key] += 1
        self.crash(f"after {step.key}")
        return result

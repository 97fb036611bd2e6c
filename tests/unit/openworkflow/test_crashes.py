"""A run that is killed anywhere goes on from its log: nothing completed is done again, no attempt is made twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from fnctl.clock import VirtualClock
from fnctl.openworkflow.definition import Definition, Identity
from fnctl.openworkflow.world import Awaited, HttpRequest, HttpResponse, Process, ProcessResult
from tests.support.every_task import ALL, EVENTS
from tests.support.openworkflow import Played, defined
from tests.support.workflow_world import Crash, FakeWorld, MemoryLog


class Scenario:
    """What outlives a crash: the log, the clock, and what was done outside."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.clock = VirtualClock(1_800_000_000.0)
        self.entries: list[Mapping[str, Any]] = [{"type": "started", "at": self.clock.now(), "input": {"n": 1}}]
        self.acts: list[tuple[str, int]] = []
        self.delivered = 0
        self.calls: Counter[str] = Counter()

    def world(self, crash_at: int | None) -> FakeWorld:
        points = iter(range(1_000_000))

        def crash(where: str) -> None:
            if next(points) == crash_at:
                raise Crash(where)

        return FakeWorld(
            {"add": lambda given: given["n"] + 1, "shaky": self._shaky, "undo": lambda given: None},
            lambda request: _answered(request),
            _ran,
            clock=self.clock,
            crash=crash,
            children=_child,
        )

    def _shaky(self, given: Any) -> Any:
        from fnctl.openworkflow.fault import standard

        self.calls["shaky"] += 1
        if self.calls["shaky"] < 2:
            raise standard("communication", "not yet", status=503)
        return "at last"

    async def play(self, append_at: int | None = None, act_at: int | None = None) -> Mapping[str, Any] | None:
        """Its end; None where it crashed."""
        self.clock = VirtualClock(self.clock.now())
        world, log = self.world(act_at), MemoryLog(self.entries, append_at)
        played = Played(self.definition, None, world, log)
        try:
            while not played.whole.done():
                await played.rest()
                if self.delivered < len(EVENTS) and played.run.listeners:
                    if await played.run.deliver(EVENTS[self.delivered]):
                        self.delivered += 1
                elif not played.whole.done():
                    await self.clock.advance(1)
            return played.whole.result()
        except Crash:
            return None
        finally:
            played.whole.cancel()
            await asyncio.gather(played.whole, return_exceptions=True)
            self.entries = log.entries
            self.acts += [(step.key, step.attempt) for step in world.acts]
            self.delivered = sum(1 for entry in self.entries if entry["type"] == "event")


def _answered(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json"}, b'{"ok": true}')


def _ran(process: Process) -> ProcessResult:
    return ProcessResult(0, "hi", "")


def _child(identity: Identity, given: Any, waits: Awaited | None) -> None:
    assert waits is not None
    waits.wake({"of": identity.name, **given})


def completed(scenario: Scenario) -> set[str]:
    return {entry["step"] for entry in scenario.entries if entry["type"] == "completed"}


async def _whole(definition: Definition) -> tuple[Mapping[str, Any], int, int]:
    """How it ends undisturbed; how many appends and points around acts there are on the way."""
    scenario = Scenario(definition)
    world, log = scenario.world(None), MemoryLog(scenario.entries)
    points = 0

    def count(where: str) -> None:
        nonlocal points
        points += 1

    world.crash = count
    played = Played(definition, None, world, log)
    scenario.clock = world.clock
    while not played.whole.done():
        await played.rest()
        if scenario.delivered < len(EVENTS) and played.run.listeners:
            scenario.delivered += await played.run.deliver(EVENTS[scenario.delivered])
        elif not played.whole.done():
            await world.clock.advance(1)
    return played.whole.result(), log.appends, points


def _same(end: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(end.get(key) == wanted.get(key) for key in ("state", "output"))


def test_a_kill_at_every_append_and_around_every_act() -> None:
    definition = defined(ALL)

    async def all_of_them() -> int:
        wanted, appends, points = await _whole(definition)
        assert wanted["state"] == "completed", wanted
        cases = [(number, None) for number in range(appends)] + [(None, number) for number in range(points)]
        for append_at, act_at in cases:
            scenario = Scenario(definition)
            assert await scenario.play(append_at, act_at) is None
            done, before = completed(scenario), list(scenario.acts)
            end = await scenario.play()
            assert end is not None and _same(end, wanted), (append_at, act_at, end)
            again = {key for key, _ in scenario.acts[len(before) :]}
            assert not done & again, (append_at, act_at, done & again)
            assert max(Counter(scenario.acts).values()) == 1, (append_at, act_at, scenario.acts)
        return len(cases)

    assert asyncio.run(all_of_them()) > 40


@pytest.mark.parametrize("seed", range(5))
def test_several_kills_one_after_the_other(seed: int) -> None:
    from random import Random

    random, definition = Random(seed), defined(ALL)

    async def whole() -> None:
        wanted, _, _ = await _whole(definition)
        scenario, end = Scenario(definition), None
        for _ in range(20):
            done, before = completed(scenario), len(scenario.acts)
            end = (
                await scenario.play(random.randrange(6), None)
                if random.random() < 0.5
                else await scenario.play(None, random.randrange(8))
            )
            assert not done & {key for key, _ in scenario.acts[before:]}
            if end is not None:
                break
        end = end or await scenario.play()
        assert end is not None and _same(end, wanted)
        assert max(Counter(scenario.acts).values()) == 1

    asyncio.run(whole())

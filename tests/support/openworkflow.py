"""Runs of definitions in the fake world, as tests ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from fnctl.openworkflow.checks import Surroundings, check
from fnctl.openworkflow.definition import Definition, parse
from fnctl.openworkflow.history import History
from fnctl.openworkflow.run import Run
from tests.support.workflow_world import FakeWorld, MemoryLog

HEAD = "document: {dsl: '1.0.3', namespace: test, name: case, version: '1.0.0'}\n"


def defined(text: str) -> Definition:
    """A definition from what follows its head."""
    source, definition = parse(HEAD + text, "w.yaml")
    assert definition is not None, [str(each) for each in source.troubles]
    check(source, definition)
    assert not source.troubles, [str(each) for each in source.troubles]
    return definition


def troubles(text: str, around: Surroundings | None = None) -> list[str]:
    """What is wrong with a definition, each with its place and hint."""
    source, definition = parse(HEAD + text, "w.yaml")
    if definition is not None:
        check(source, definition, around)
    return [f"{each} ({each.hint})" if each.hint else str(each) for each in source.troubles]


class Played:
    """A run in a fake world, on one event loop."""

    def __init__(
        self, definition: Definition, input: Any = None, world: FakeWorld | None = None, log: MemoryLog | None = None
    ) -> None:
        self.world = world or FakeWorld()
        started = {"type": "started", "at": self.world.clock.now(), "input": input}
        self.log = log or MemoryLog([started])
        self.run = Run("run", definition, self.world, self.log, History(self.log.entries))
        self.whole = asyncio.ensure_future(self.run.execute())
        self.world.clock.settled = [self.rest]

    async def rest(self) -> None:
        """Until the run waits, or has ended."""
        while not (self.run.strands.idle or self.whole.done()):  # noqa: ASYNC110 - the run's own turns
            await asyncio.sleep(0)

    async def end(self, seconds: float = 0.0, events: Sequence[Mapping[str, Any]] = ()) -> Mapping[str, Any]:
        """How it ends, within this time of its clock."""
        for event in events:
            await self.rest()
            await self.run.deliver(event)
        await self.world.clock.advance(seconds)
        await self.rest()
        assert self.whole.done(), f"waits: {self.run.due} {list(self.run.listeners)}"
        return self.whole.result()


def ended(
    text: str,
    input: Any = None,
    world: FakeWorld | None = None,
    seconds: float = 0.0,
    events: Sequence[Mapping[str, Any]] = (),
) -> Mapping[str, Any]:
    """The last entry of a run."""

    async def whole() -> Mapping[str, Any]:
        return await Played(defined(text), input, world).end(seconds, events)

    return asyncio.run(whole())


def output(text: str, input: Any = None, world: FakeWorld | None = None, seconds: float = 0.0) -> Any:
    end = ended(text, input, world, seconds)
    assert end["state"] == "completed", end
    return end.get("output")


def error(text: str, input: Any = None, world: FakeWorld | None = None, seconds: float = 0.0) -> Mapping[str, Any]:
    end = ended(text, input, world, seconds)
    assert end["state"] == "faulted", end
    found: Mapping[str, Any] = end["error"]
    return found


def event(type: str, data: Any = None, **more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"{type}/{data}", "source": "/test", "type": type, "data": data, **more}

"""When a function gets another instance: by what its instances use, and what the machine has left."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fnctl.dispatch.growth import STALE_S, WINDOW_S, Growth, Processors
from fnctl.dispatch.site import LONG_WAIT_S, Site
from fnctl.engine.fake import FakeClock
from fnctl.model import Isolation, Model, Scale, SiteKey
from fnctl.sandbox.instance import Instance
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, Stage1, play


@dataclass
class Machine:
    """Two processors that a test keeps busy."""

    idle: float = 0.0

    @property
    def processors(self) -> Processors:
        return Processors(2, lambda: self.idle)


class Used:
    """An instance, as far as it is looked at."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.usage = self

    def cpu_ms(self) -> float:
        return self.ms


def looked(own_share: float, idle_share: float) -> bool:
    """What is said after a window in which three instances and the rest of the machine used these shares of it."""
    clock, machine, used = FakeClock(), Machine(), [Used() for _ in range(3)]
    growth = Growth(machine.processors, clock)
    instances = cast(list[Instance], used)
    assert not growth.helps(instances, 3)  # nothing is known yet
    clock.sleep(WINDOW_S)
    machine.idle += idle_share * 2 * WINDOW_S
    used[0].ms += own_share * 2 * WINDOW_S * 1000
    return growth.helps(instances, 3)


@pytest.mark.parametrize(
    ("own_share", "idle_share", "helps"),
    [(0.9, 0.0, False), (0.5, 0.05, False), (0.5, 0.5, True), (0.05, 0.0, True), (0.05, 0.9, True)],
)
def test_another_instance_helps_where_a_processor_is_idle_or_the_others_wait(
    own_share: float, idle_share: float, helps: bool
) -> None:
    assert looked(own_share, idle_share) is helps


def test_up_to_an_instance_a_processor_and_one_more_nothing_is_measured() -> None:
    growth = Growth(Machine().processors, FakeClock())
    assert [growth.helps([], live) for live in range(4)] == [True, True, True, False]
    assert Growth(None, FakeClock()).helps([], 100)


def test_what_was_seen_long_ago_is_not_believed() -> None:
    clock, machine = FakeClock(), Machine()
    growth = Growth(machine.processors, clock)
    growth.helps([], 3)
    clock.sleep(WINDOW_S)
    machine.idle += 1.0
    assert growth.helps([], 3)
    clock.sleep(STALE_S)
    machine.idle += 1.0
    assert not growth.helps([], 3)


async def burst(stage: Stage1, count: int, **changes: Any) -> tuple[Site, list[asyncio.Future[Any]]]:
    """So many requests at once, for a function of which there is no instance."""
    await stage.start(stage.code(scale=Scale(0, 10), **changes))
    site = stage.scheduler.sites[SiteKey("todos")]
    return site, [stage.enqueue() for _ in range(count)]


async def served(waiting: list[asyncio.Future[Any]]) -> None:
    for answer in waiting:
        (await asyncio.wait_for(answer, WAIT_S)).release(reusable=True)


def test_a_burst_on_busy_processors_goes_to_few_instances(tmp_path: Path) -> None:
    clock, machine = FakeClock(), Machine()

    async def history(stage: Stage1) -> None:
        site, waiting = await burst(stage, 8, concurrency=1)
        await until(lambda: len(site.waiters) == 5)
        for instance in site.instances:
            cast(Any, instance).usage = Busy()
        for _ in range(3):
            clock.sleep(WINDOW_S)
            site.grow()
        assert site.live == 3
        machine.idle = 1e6  # from now on there is room
        clock.sleep(WINDOW_S)
        site.grow()
        await until(lambda: not site.waiters)
        assert site.live == 8
        await served(waiting)

    play(tmp_path, history, warm=8, processors=machine.processors, clock=clock)


class Busy(Used):
    """Whenever one looks, it has used much more than there is."""

    def cpu_ms(self) -> float:
        self.ms += 1e6
        return self.ms

    def peak_memory_mb(self) -> None:
        return None

    def oom_kills(self) -> int:
        return 0

    def processes(self) -> int:
        return 1

    def close(self) -> None: ...


def test_who_waits_long_behind_long_work_gets_an_instance_all_the_same(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site, waiting = await burst(stage, 5, concurrency=1)
        await until(lambda: len(site.waiters) == 2)
        for instance in site.instances:
            cast(Any, instance).usage = Busy()
        clock.sleep(LONG_WAIT_S)
        site.grow()
        await until(lambda: site.live == 4)
        await served(waiting)

    play(tmp_path, history, warm=8, processors=Machine().processors, clock=clock)


def test_instances_of_one_invocation_each_are_not_held_back(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        site, waiting = await burst(stage, 6, model=Model.EPHEMERAL, isolation=Isolation.CONTAINER)
        await until(lambda: site.live == 6)
        await served(waiting)

    play(tmp_path, history, warm=8, processors=Machine().processors)

"""Asleep, not gone: what becomes of an instance after `idle_timeout`, by a clock that only the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fnctl.dispatch.reaper import Reaper, reap
from fnctl.dispatch.site import Site
from fnctl.engine.fake import FakeClock
from fnctl.model import Model, Scale, SiteKey, StartKind
from fnctl.sandbox.lifecycle import Death, State
from fnctl.triggers.http import render
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, Stage1, play

IDLE_S, KEEP_S = 60.0, 600.0


async def rested(stage: Stage1, clock: FakeClock, name: str = "todos", **changes: Any) -> Site:
    """One instance that has served a call, and was idle for `idle_timeout` by now."""
    await stage.start(stage.code(name, **{"idle_timeout_s": IDLE_S, "keep_s": KEEP_S, **changes}))
    lease = await stage.lease(name)
    lease.release(reusable=True)
    clock.sleep(IDLE_S)
    return stage.scheduler.sites[SiteKey(name)]


def states(site: Site) -> list[State]:
    return [instance.state for instance in site.instances]


def test_at_idle_timeout_it_falls_asleep_and_is_told_so_once(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock)
        assert reap(site, clock()) == []
        assert states(site) == [State.ASLEEP]
        assert len(site.asleep()) == 1
        assert reap(site, clock()) == [] == site.idle()
        await until(lambda: stage.script.sleeps == 1)

    play(tmp_path, history, clock=clock)


def test_the_next_call_finds_it_asleep_and_those_after_it_warm(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock)
        reap(site, clock())
        lease = stage.scheduler.try_acquire(SiteKey("todos"))  # at once: nothing is started, nothing is waited for
        assert lease is not None
        assert (lease.start, lease.plain, lease.load_ms, lease.queue_ms) == (StartKind.ASLEEP, False, 0.0, 0.0)
        assert b"start;desc=asleep" in render.server_timing(lease, 1.0)
        assert states(site) == [State.BUSY]
        lease.release(reusable=True)
        assert states(site) == [State.IDLE]
        again = await stage.lease()
        assert again.start is StartKind.WARM
        again.release(reusable=True)
        assert len(stage.script.loads) == 1

    play(tmp_path, history, clock=clock)


def test_a_call_that_waits_for_a_connection_of_it_is_told_so_too(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock)
        reap(site, clock())
        (instance,) = site.instances
        (connection,) = instance.serving.connections
        connection.close()
        await until(lambda: not site.free)
        lease = await asyncio.wait_for(stage.enqueue(), WAIT_S)
        assert lease.start is StartKind.ASLEEP
        lease.release(reusable=True)

    play(tmp_path, history, clock=clock)


def test_after_keep_it_is_gone(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock)
        reap(site, clock())
        clock.sleep(KEEP_S - 1)
        assert reap(site, clock()) == []
        clock.sleep(1)
        (gone,) = reap(site, clock())
        assert gone.death is Death.REAPED
        assert not site.instances
        assert not site.free

    play(tmp_path, history, clock=clock)


def test_with_keep_0_it_is_gone_at_idle_timeout(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock, keep_s=0.0)
        assert [one.death for one in reap(site, clock())] == [Death.REAPED]
        assert not site.instances
        assert stage.script.sleeps == 0

    play(tmp_path, history, clock=clock)


def test_keep_that_is_changed_to_0_ends_what_sleeps(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        site = await rested(stage, clock)
        reap(site, clock())
        stage.scheduler.adjust(replace(site.code, function=replace(site.code.function, keep_s=0.0)))
        assert len(reap(site, clock())) == 1

    play(tmp_path, history, clock=clock)


def test_those_that_scale_min_asks_for_stay_awake(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(idle_timeout_s=IDLE_S, keep_s=KEEP_S, scale=Scale(1, 2), concurrency=1))
        site = stage.scheduler.sites[SiteKey("todos")]
        await until(lambda: bool(site.free))
        leases = [await stage.lease() for _ in range(2)]
        for lease in leases:
            lease.release(reusable=True)
        for _ in range(3):
            clock.sleep(IDLE_S)
            assert reap(site, clock()) == []
            assert sorted(states(site)) == [State.ASLEEP, State.IDLE]

    play(tmp_path, history, clock=clock)


@pytest.mark.parametrize("forks", [False, True])
def test_an_ephemeral_instance_sleeps_with_its_next_process_ready(tmp_path: Path, forks: bool) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        stage.script.forks = forks
        await stage.start(stage.code(model=Model.EPHEMERAL, idle_timeout_s=IDLE_S, keep_s=KEEP_S))
        site = stage.scheduler.sites[SiteKey("todos")]
        for kind in (StartKind.RUNTIME, StartKind.ASLEEP, StartKind.ASLEEP):
            lease = await stage.lease()
            assert lease.start is kind
            sandbox = stage.sandbox_of(lease)
            lease.release(reusable=True)
            await sandbox.done() if forks else sandbox.exit()
            await until(lambda: states(site) == [State.IDLE])
            clock.sleep(IDLE_S)
            assert reap(site, clock()) == []
            assert states(site) == [State.ASLEEP]

    play(tmp_path, history, clock=clock)


class Weighed:
    """What a sandbox uses, as a test has it."""

    def __init__(self, memory_mb: float) -> None:
        self.mb = memory_mb

    def memory_mb(self) -> float:
        return self.mb

    def peak_memory_mb(self) -> None:
        return None

    def cpu_ms(self) -> float:
        return 0.0

    def oom_kills(self) -> int:
        return 0

    def processes(self) -> int:
        return 1

    def close(self) -> None: ...


def test_where_memory_is_short_the_least_valuable_ends(tmp_path: Path) -> None:
    clock, names = FakeClock(), ("often", "once", "large")

    async def history(stage: Stage1) -> None:
        for name in names:
            await rested(stage, clock, name)
        for _ in range(20):
            (await stage.lease("often")).release(reusable=True)
        sites = {name: stage.scheduler.sites[SiteKey(name)] for name in names}
        for name, memory_mb in (("often", 30.0), ("once", 30.0), ("large", 100.0)):
            (instance,) = sites[name].instances
            cast(Any, instance).usage = Weighed(memory_mb)
            instance.start.load_ms = 20.0
        clock.sleep(IDLE_S)
        room = {"mb": 160.0}
        reaper = Reaper(sites.values, lambda: room["mb"], clock)
        for _ in range(2):
            reaper.look()
            assert [states(site) for site in sites.values()] == [[State.ASLEEP]] * 3
        large = next(iter(sites["large"].instances))
        room["mb"] = 100.0
        reaper.look()
        assert [len(site.instances) for site in sites.values()] == [1, 1, 0]
        assert large.death is Death.EVICTED
        room["mb"] = -20.0  # the pool alone takes more than there is
        reaper.look()
        assert [len(site.instances) for site in sites.values()] == [0, 0, 0]

    play(tmp_path, history, clock=clock)

"""Versions of a function beside each other: which one is asked, what stays to go back to, what becomes of who waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.dispatch.reaper import reap
from fnctl.engine.fake import FakeClock
from fnctl.errors import LoadError, NotFound
from fnctl.model import Scale, SiteKey
from fnctl.sandbox.lifecycle import State
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, Stage1, play


def test_the_one_that_is_pointed_at_serves_and_the_one_before_ends_what_it_began(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        one = replace(stage.code(text="1", concurrency=1, scale=Scale(0, 1)), alias="1")
        two = replace(stage.code(text="2", concurrency=1, scale=Scale(0, 1)), alias="2")
        await stage.start(one)
        stage.scheduler.point({"todos": one})
        begun, waits = await stage.lease(), stage.enqueue()
        await stage.scheduler.add(two)
        assert stage.scheduler.current("todos") is stage.scheduler.sites[one.site]
        stage.scheduler.point({"todos": two})
        await stage.scheduler.rest([one.site, two.site], [two.site])
        fresh = await stage.lease()
        assert (begun.version, fresh.version) == (one.version, two.version)
        begun.release(reusable=True)
        waited = await asyncio.wait_for(waits, WAIT_S)
        assert waited.version == one.version  # it asked before
        waited.release(reusable=True)
        stage.scheduler.point({"todos": one})
        again = stage.scheduler.try_acquire(SiteKey("todos"))
        assert again is not None, "at once: it is loaded"
        assert (again.version, len(stage.script.loads)) == (one.version, 2)
        again.release(reusable=True)
        fresh.release(reusable=True)

    play(tmp_path, history)


def test_who_waits_at_a_version_that_goes_is_served_by_the_current_one(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        one = replace(stage.code(text="1", concurrency=1, scale=Scale(0, 1)), alias="1")
        two = replace(stage.code(text="2", concurrency=1, scale=Scale(0, 1)), alias="2")
        await stage.start(one)
        stage.scheduler.point({"todos": one})
        begun, waits = await stage.lease(), stage.enqueue()
        await stage.scheduler.add(two)
        stage.scheduler.point({"todos": two})
        await stage.scheduler.rest([two.site], [two.site])
        waited = await asyncio.wait_for(waits, WAIT_S)
        assert waited.version == two.version
        waited.release(reusable=True)
        begun.release(reusable=True)
        with pytest.raises(NotFound):
            stage.scheduler.try_acquire(one.site)

    play(tmp_path, history)


def test_on_standby_one_instance_sleeps_for_as_long_as_there_is_memory(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        one = replace(stage.code(text="1", scale=Scale(2, 2), idle_timeout_s=60.0, keep_s=600.0), alias="1")
        two = replace(stage.code(text="2"), alias="2")
        await stage.start(one)
        stage.scheduler.point({"todos": one})
        site = stage.scheduler.sites[one.site]
        await until(lambda: [each.state for each in site.instances] == [State.IDLE] * 2)
        await stage.scheduler.add(two)
        stage.scheduler.point({"todos": two})
        await stage.scheduler.rest([one.site, two.site], [two.site])
        clock.sleep(61)
        reap(site, clock())
        assert [each.state for each in site.instances] == [State.ASLEEP] * 2
        for _ in range(3):
            clock.sleep(601)
            reap(site, clock())
            assert [each.state for each in site.instances] == [State.ASLEEP]

    play(tmp_path, history, clock=clock)


def test_a_version_that_does_not_load_leaves_nothing(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        one = replace(stage.code(text="1"), alias="1")
        await stage.start(one)
        stage.scheduler.point({"todos": one})
        stage.script.load_error = {"type": "Error", "message": "broken"}
        with pytest.raises(LoadError, match="broken"):
            await stage.scheduler.add(replace(stage.code(text="2"), alias="2"))
        assert list(stage.scheduler.sites) == [one.site]

    play(tmp_path, history)

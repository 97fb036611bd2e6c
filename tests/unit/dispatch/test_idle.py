"""What is idle, by a clock that only the test moves: neither the time in the pool, nor that on the way to a request."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from fnctl.dispatch.reaper import reap
from fnctl.engine.fake import FakeClock
from fnctl.model import SiteKey
from fnctl.sandbox.lifecycle import State
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, Stage1, play


def test_idleness_counts_from_the_end_of_loading(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(idle_timeout_s=1.0))
        clock.sleep(1000)  # in the pool
        site = stage.scheduler.sites[SiteKey("todos")]
        stage.scheduler.enqueue(
            SiteKey("todos"), lambda outcome: None
        ).cancel()  # its client leaves before it is loaded
        await until(lambda: bool(site.free))
        assert reap(site, clock()) == []
        clock.sleep(0.9)
        assert reap(site, clock()) == []
        clock.sleep(0.2)
        assert len(reap(site, clock())) == 1

    play(tmp_path, history, clock=clock)


def test_an_instance_whose_network_or_limits_are_on_their_way_is_not_idle(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        stage.script.update_gate = gate = threading.Event()
        await stage.start(stage.code(idle_timeout_s=1.0, cpus=1.0))
        site = stage.scheduler.sites[SiteKey("todos")]
        waiting = stage.enqueue()
        await until(lambda: [one.state for one in site.instances] == [State.IDLE])
        clock.sleep(1000)
        assert reap(site, clock()) == [] == site.idle()
        gate.set()
        lease = await asyncio.wait_for(waiting, WAIT_S)
        lease.release(reusable=True)

    play(tmp_path, history, clock=clock)


def test_an_instance_whose_connection_is_on_its_way_to_a_waiting_request_is_not_idle(tmp_path: Path) -> None:
    clock = FakeClock()

    async def history(stage: Stage1) -> None:
        stage.script.dial_gate = gate = asyncio.Event()
        await stage.start(stage.code(idle_timeout_s=1.0))
        site = stage.scheduler.sites[SiteKey("todos")]
        waiting = stage.enqueue()
        await until(lambda: [(one.state, one.held) for one in site.instances] == [(State.IDLE, False)])
        clock.sleep(1000)
        assert reap(site, clock()) == [] == site.idle()
        gate.set()
        lease = await asyncio.wait_for(waiting, WAIT_S)
        lease.release(reusable=True)

    play(tmp_path, history, clock=clock)

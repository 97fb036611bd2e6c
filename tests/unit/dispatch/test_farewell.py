"""The end of an instance: whose program is told before it ends, and that nothing waits for it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fnctl.model import Model
from fnctl.sandbox.lifecycle import Death, State
from tests.support.turning import until
from tests.unit.dispatch.played import Stage1, play


@pytest.mark.parametrize("why", [Death.REAPED, Death.REPLACED, Death.STOPPED, Death.LEFTOVER_PROCESSES])
def test_a_resident_program_is_told(tmp_path: Path, why: Death) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        instance = stage.pool.sandboxes.alive[lease.instance]
        lease.release(reusable=True)
        instance.end(why)
        assert instance.state is State.DEAD and lease.instance not in stage.pool.sandboxes.alive
        await until(lambda: stage.script.stops == 1)

    play(tmp_path, history)


@pytest.mark.parametrize("why", [Death.TIMEOUT, Death.OOM, Death.BREACH, Death.CRASHED, Death.LOST])
def test_one_that_is_at_fault_is_not(tmp_path: Path, why: Death) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        stage.pool.sandboxes.alive[lease.instance].end(why)
        await stage.pool.sandboxes.unmade()
        assert stage.script.stops == 0

    play(tmp_path, history)


def test_pooled_and_ephemeral_instances_pay_nothing(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL))
        lease = await stage.lease()
        stage.pool.sandboxes.alive[lease.instance].end(Death.STOPPED)
        for member in list(stage.pool.members):
            member.end(Death.STOPPED)
        await stage.pool.sandboxes.unmade()
        assert stage.script.stops == 0

    play(tmp_path, history)


def test_the_next_request_does_not_wait_for_the_end_of_another(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.stop_gate = asyncio.Event()
        await stage.start(stage.code())
        lease = await stage.lease()
        first = stage.pool.sandboxes.alive[lease.instance]
        lease.release(reusable=True)
        first.end(Death.REAPED)
        again = await stage.lease()
        assert again.instance != first.id and stage.pool.sandboxes.unmaking
        again.release(reusable=True)
        stage.script.stop_gate.set()

    play(tmp_path, history)


def test_what_hangs_is_killed_when_its_grace_is_over_or_nobody_waits(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.stop_gate = asyncio.Event()
        await stage.start(stage.code(stop_grace_s=0.01), stage.code("other", stop_grace_s=600.0))
        leases = [await stage.lease(), await stage.lease("other")]
        short, long = (stage.pool.sandboxes.alive[lease.instance] for lease in leases)
        for lease in leases:
            lease.release(reusable=True)
        for instance in (short, long):
            instance.end(Death.STOPPED)
        await until(lambda: short.farewell is not None and short.farewell.told)
        assert short.farewell is not None and short.farewell.told.startswith("program killed: it ran on")
        assert long.farewell is not None and long.farewell.told == ""
        stage.pool.sandboxes.hurry()
        await stage.pool.sandboxes.unmade()
        assert long.farewell.told.endswith("fnctl stops now")

    play(tmp_path, history)

"""Sandboxes for one call and those without network, as histories: how they come, and how they go."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fnctl.errors import EngineError
from fnctl.model import Isolation, Model, Network, SandboxSpec, StartKind
from fnctl.runtime.departures import Departures
from fnctl.runtime.lifecycle import State
from tests.unit.runtime.played import WAIT_S, Stage1, play, until


def test_a_used_sandbox_ends_by_itself_and_is_waited_for(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        instance = stage.pool.alive[lease.instance]
        assert stage.script.loads[-1]["once"] is True
        assert instance.sandbox is not None
        lease.release(reusable=True)
        assert instance.slot.folder.exists()
        stage.engine.left(instance.sandbox)
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert not instance.slot.folder.exists()
        assert ("destroy", (instance.sandbox,)) not in stage.engine.calls

    play(tmp_path, history)


def test_what_does_not_leave_by_itself_is_destroyed(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.pool.departures = Departures(lambda: stage.pool.call(stage.engine.ids, stage.pool.labels()), leaves_s=0.0)
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        sandbox = stage.pool.alive[lease.instance].sandbox
        lease.release(reusable=True)
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert ("destroy", (sandbox,)) in stage.engine.calls
        assert sandbox not in stage.engine.sandboxes

    play(tmp_path, history)


def test_an_engine_that_does_not_answer_is_told_to_destroy(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        sandbox = stage.pool.alive[lease.instance].sandbox
        stage.engine.fail("ids", EngineError("no answer"))
        lease.release(reusable=True)
        await until(lambda: ("destroy", (sandbox,)) in stage.engine.calls)

    play(tmp_path, history)


def test_what_has_no_network_is_not_given_to_a_function_that_needs_one(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        assert {(spec.network, spec.mounts[-1][1]) for spec in specs(stage)} == {(None, "/etc/hosts")}
        before = set(stage.pool.members)
        await stage.scheduler.deploy(stage.code("shop", network=Network.SERVICES))
        assert not before & set(stage.pool.members)
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert all(member.joinable for member in stage.pool.members)
        assert {(spec.network, spec.mounts[-1][1]) for spec in specs(stage)} == {("none", "/fn")}
        lease = await stage.lease("shop")
        assert stage.pool.alive[lease.instance].start_kind is StartKind.RUNTIME
        await stage.scheduler.withdraw("shop")
        assert (await stage.lease("todos")).start is not StartKind.COLD  # which may have one that could be joined

    play(tmp_path, history)


def specs(stage: Stage1) -> list[SandboxSpec]:
    return [box.spec for box in stage.engine.sandboxes.values()]


def test_nothing_is_booted_ahead_while_first_calls_follow_each_other(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        boots = stage.script.boots
        await stage.lease()
        await until(lambda: len(stage.pool.members) == 4)
        for _ in range(10):
            await asyncio.sleep(0)
        assert stage.script.boots == boots
        assert [member.state for member in stage.pool.members].count(State.BASE) == 3

    play(tmp_path, history, calm_s=1000.0)


def test_nobody_waits_for_a_look_that_broke() -> None:
    async def broken() -> frozenset[str]:
        raise RuntimeError("a fault of ours")

    async def history() -> None:
        assert await asyncio.wait_for(Departures(broken).gone("one"), WAIT_S) is False

    asyncio.run(history())

"""Sandboxes for one call and those without network, as histories: how they come, and how they go."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fnctl.errors import EngineError
from fnctl.model import ALONE, Egress, Isolation, Model, Network, Reach, SandboxSpec, SiteKey
from fnctl.pool.exits import SelfExits
from fnctl.sandbox.lifecycle import State
from fnctl.sandbox.slot import HOSTS, NOWHERE
from tests.support.turning import turns, until
from tests.unit.dispatch.played import WAIT_S, Stage1, networks, play

REACHES = {
    "shop": Reach(Network.SERVICES),
    "mail": Reach(Network.EGRESS),
    "open": Reach(Network.EGRESS, Egress(host=True)),
}


def test_a_used_sandbox_ends_by_itself_and_is_waited_for(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        instance = stage.pool.sandboxes.alive[lease.instance]
        assert stage.script.loads[-1]["once"] is True
        assert instance.sandbox is not None
        lease.release(reusable=True)
        assert stage.folder_of(instance).exists()
        stage.engine.left(instance.sandbox)
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert not stage.folder_of(instance).exists()
        assert ("destroy", (instance.sandbox,)) not in stage.engine.calls

    play(tmp_path, history)


def test_what_does_not_leave_by_itself_is_destroyed(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.pool.sandboxes.exits = SelfExits(
            lambda: stage.pool.call(stage.engine.ids, stage.pool.sandboxes.labels()), leaves_s=0.0
        )
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        sandbox = stage.pool.sandboxes.alive[lease.instance].sandbox
        lease.release(reusable=True)
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert ("destroy", (sandbox,)) in stage.engine.calls
        assert sandbox not in stage.engine.sandboxes

    play(tmp_path, history)


def test_an_engine_that_does_not_answer_is_told_to_destroy(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        lease = await stage.lease()
        sandbox = stage.pool.sandboxes.alive[lease.instance].sandbox
        stage.engine.fail("ids", EngineError("no answer"))
        lease.release(reusable=True)
        await until(lambda: ("destroy", (sandbox,)) in stage.engine.calls)

    play(tmp_path, history)


def test_each_function_gets_a_pooled_sandbox_of_its_own_reach_and_no_other(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        assert {(spec.network, spec.mounts[-1][1]) for spec in specs(stage)} == {(None, "/etc/hosts")}
        for name, reach in REACHES.items():
            await stage.scheduler.deploy(stage.code(name, network=reach.network, egress=reach.egress))
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert {member.reach for member in stage.pool.members} == {ALONE, *REACHES.values()}
        for name, reach in {"todos": ALONE, **REACHES}.items():
            for _ in range(3):  # past what is pooled of it
                instance = stage.pool.sandboxes.alive[(await stage.lease(name)).instance]
                assert instance.reach == reach
                assert instance.sandbox is not None
                assert tuple(stage.engine.sandboxes[instance.sandbox].networks) == networks(reach)
            await asyncio.wait_for(stage.pool.quiet(), WAIT_S)

    play(tmp_path, history, warm=4, calm_s=0.0)


def test_a_reach_that_nobody_needs_any_more_has_no_pool(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(), stage.code("shop", network=Network.SERVICES))
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        before = {member for member in stage.pool.members if member.reach.network is Network.SERVICES}
        assert before
        await stage.scheduler.deploy(stage.code("shop", "2", network=Network.SERVICES))
        assert before <= set(stage.pool.members)  # a new version of the only one that needs it: the pool stays
        await stage.scheduler.withdraw(SiteKey("shop"))
        await asyncio.wait_for(stage.pool.quiet(), WAIT_S)
        assert {member.reach for member in stage.pool.members} == {ALONE}

    play(tmp_path, history, reaches=(ALONE, Reach(Network.SERVICES)))


def test_running_sandboxes_on_a_network_find_a_service_where_it_is_now(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.placement.name({"data": None})
        await stage.start(stage.code(), stage.code("shop", network=Network.SERVICES))
        inside, outside = await hosts_of(stage, "shop"), await hosts_of(stage, "todos")
        before = inside.stat().st_ino
        assert f"{NOWHERE}\tdata\n" in inside.read_text()
        stage.placement.name({"data": "10.0.0.9"})
        assert "10.0.0.9\tdata\n" in inside.read_text()
        assert NOWHERE not in inside.read_text()
        assert inside.stat().st_ino == before  # the file that is mounted
        assert outside.read_text().rstrip() == HOSTS.rstrip()

    play(tmp_path, history, reaches=(ALONE, Reach(Network.SERVICES)))


async def hosts_of(stage: Stage1, name: str) -> Path:
    return stage.folder_of(stage.pool.sandboxes.alive[(await stage.lease(name)).instance]) / "hosts"


def specs(stage: Stage1) -> list[SandboxSpec]:
    return [box.spec for box in stage.engine.sandboxes.values()]


def test_nothing_is_booted_ahead_while_first_calls_follow_each_other(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        boots = stage.script.boots
        await stage.lease()
        await until(lambda: len(stage.pool.members) == 4)
        await turns(10)
        assert stage.script.boots == boots
        assert [member.state for member in stage.pool.members].count(State.BASE) == 3

    play(tmp_path, history, calm_s=1000.0)


def test_nobody_waits_for_a_look_that_broke() -> None:
    async def broken() -> frozenset[str]:
        raise RuntimeError("a fault of ours")

    async def history() -> None:
        assert await asyncio.wait_for(SelfExits(broken).gone("one"), WAIT_S) is False

    asyncio.run(history())

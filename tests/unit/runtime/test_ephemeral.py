"""Ephemeral functions as histories: a process or a sandbox for each request, its end, and the next one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from fnctl.model import Isolation, Model, Scale, StartKind
from fnctl.runtime.instance import GRACE_S, WORN_AFTER
from tests.unit.runtime.played import NODE, WAIT_S, Stage1, play, until


def test_ephemeral_without_fork_gets_a_fresh_process_each_time(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        instances = set()
        for _ in range(3):
            lease = await stage.lease()
            instances.add(lease.instance)
            stage.sandbox_of(lease).exit()
            lease.release(reusable=True)
        assert len(instances) == 1
        await until(lambda: stage.script.boots >= 4)

    play(tmp_path, history)


def test_the_next_process_is_not_killed_for_the_last_one(tmp_path: Path) -> None:
    """The agent closes after its response, ends by itself, and the next one boots for longer than the grace."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        stage.script.boot_gate = gate = asyncio.Event()
        stage.sandbox_of(lease).exit()
        lease.release(reusable=False)
        asyncio.get_running_loop().call_later(GRACE_S * 1.5, gate.set)
        again = await stage.lease()
        assert again.instance == lease.instance
        again.release(reusable=True)

    play(tmp_path, history)


def test_an_agent_that_closes_after_its_answer_is_not_killed_for_it(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        lease.release(reusable=False)
        stage.sandbox_of(lease).exit()
        again = await stage.lease()
        assert again.instance == lease.instance
        await asyncio.sleep(2 * GRACE_S)
        assert stage.script.kills == 0
        assert again.instance in stage.pool.alive
        again.release(reusable=True)

    play(tmp_path, history)


def test_an_agent_that_goes_on_for_nobody_is_stopped(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        lease.release(reusable=False)
        again = await stage.lease()
        assert again.instance == lease.instance
        assert stage.script.kills == 1
        again.release(reusable=True)

    play(tmp_path, history)


def test_ephemeral_with_fork_is_not_offered_before_done(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        lease.release(reusable=True)
        assert stage.scheduler.try_acquire("todos") is None
        waiting = stage.enqueue()
        await stage.sandbox_of(lease).done()
        again = await asyncio.wait_for(waiting, WAIT_S)
        assert again.instance == lease.instance
        assert again.start is StartKind.WARM
        again.release(reusable=True)

    play(tmp_path, history)


def test_the_second_process_is_a_template_where_the_runtime_has_one(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        code = stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1))
        await stage.start(replace(code, runtime=replace(NODE, template=("/opt/agent", "--fork"))))
        lease = await stage.lease()
        assert stage.script.argvs[-1] == ["/opt/agent"]
        stage.script.forks = True
        stage.sandbox_of(lease).exit()
        lease.release(reusable=True)
        for _ in range(2 * WORN_AFTER):
            lease = await stage.lease()
            lease.release(reusable=True)
            await stage.sandbox_of(lease).done()
        assert stage.script.argvs[-1] == ["/opt/agent", "--fork"]
        assert stage.script.kills == 0, "one that was booted for its function does not wear"

    play(tmp_path, history)


def test_a_template_that_was_booted_ahead_is_replaced_once(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        code = stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1))
        await stage.start(replace(code, runtime=replace(NODE, template=("/opt/agent", "--fork"))))
        instances = set()
        for turn in range(2 * WORN_AFTER):
            lease = await stage.lease()
            instances.add(lease.instance)
            assert stage.script.kills == (turn >= WORN_AFTER)
            lease.release(reusable=True)
            await stage.sandbox_of(lease).done()
        assert len(instances) == 1
        assert stage.script.argvs[-1] == ["/opt/agent", "--fork"]

    play(tmp_path, history)


def test_a_killed_invocation_leaves_a_gap_in_the_figures_of_a_forking_agent(tmp_path: Path) -> None:
    """Receipts are paired with figures in order: without the gap, each would get those of another."""

    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        killed = await stage.lease()
        instance = stage.pool.alive[killed.instance]
        killed.release(reusable=False)  # the client left, and the process works on
        lease = await stage.lease()
        assert lease.instance == killed.instance
        lease.release(reusable=True)
        await stage.sandbox_of(lease).done()
        await until(lambda: len(instance.figures) == 2)
        assert list(instance.figures) == [(None, None), (1.0, 2.0)]

    play(tmp_path, history)


def test_isolation_container_uses_each_sandbox_once(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        seen = set()
        for _ in range(3):
            lease = await stage.lease()
            seen.add(lease.instance)
            lease.release(reusable=True)
            assert lease.instance not in stage.pool.alive
        assert len(seen) == 3

    play(tmp_path, history)

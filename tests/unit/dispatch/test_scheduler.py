"""The function service as histories: what requests, sandboxes and the reaper do, and what must follow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fnctl.dispatch.reaper import reap
from fnctl.dispatch.site import PATIENCE_S
from fnctl.errors import DeadlineExceeded, FunctionError, NotFound, QueueFull
from fnctl.model import Scale, SiteKey, StartKind
from fnctl.policy import PoolPolicy, PoolRules
from fnctl.sandbox.lifecycle import State
from tests.support.turning import past, turns, until
from tests.unit.dispatch.played import NODE, PYTHON, WAIT_S, Stage1, play


def test_first_invocation_takes_the_booted_instance_and_says_so(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        assert lease.start is StartKind.RUNTIME
        assert lease.load_ms > 0
        assert lease.container_ms == 0
        lease.release(reusable=True)
        again = await stage.lease()
        assert again.start is StartKind.WARM
        assert again.connection is lease.connection
        again.release(reusable=True)

    play(tmp_path, history)


def test_base_and_cold_are_told_apart(tmp_path: Path) -> None:
    async def base(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        assert lease.start is StartKind.BASE
        assert lease.runtime_ms > 0
        lease.release(reusable=True)

    async def cold(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        assert lease.start is StartKind.COLD
        assert lease.container_ms > 0
        lease.release(reusable=True)

    for name, story, settings in (("base", base, {"runtimes": ()}), ("cold", cold, {"warm": 0})):
        (tmp_path / name).mkdir()
        play(tmp_path / name, story, **settings)


def test_a_receipt_counts_only_the_part_of_a_boot_that_was_waited_for(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        loop = asyncio.get_running_loop()
        stage.script.boot_gate = gate = asyncio.Event()
        stage.pool.start()
        await stage.scheduler.deploy(stage.code())
        await until(lambda: stage.script.boots == 1)
        booting_since = loop.time()
        await until(lambda: loop.time() > booting_since + 0.05)
        asked = loop.time()
        waiting = stage.enqueue()
        loop.call_soon(gate.set)
        lease = await asyncio.wait_for(waiting, WAIT_S)
        waited_ms = (loop.time() - asked) * 1000
        assert lease.start is StartKind.BASE
        assert (
            lease.queue_ms + lease.container_ms + lease.runtime_ms + lease.load_ms <= waited_ms + 1
        )  # its clock counts whole ms
        lease.release(reusable=True)

    play(tmp_path, history, warm=1)


def test_pool_refills_after_an_instance_left_it(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        await until(lambda: len(stage.pool.members) == 4)
        assert len(stage.pool.sandboxes.alive) == 5
        lease.release(reusable=True)

    play(tmp_path, history)


def test_no_refill_begins_while_a_first_invocation_is_on_its_way(tmp_path: Path) -> None:
    """It would take the processor from the very call that emptied the pool."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        stage.script.load_hangs = True
        creates = sum(1 for name, _ in stage.engine.calls if name == "create")
        stage.enqueue()
        await until(lambda: len(stage.script.loads) == 1)
        await turns(50)
        assert sum(1 for name, _ in stage.engine.calls if name == "create") == creates

    play(tmp_path, history)


def test_an_instance_serves_many_at_once_up_to_its_concurrency(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=3, scale=Scale(0, 1)))
        first = await stage.lease()
        assert first.alone
        leases = [first, await stage.lease(), await stage.lease()]
        assert not any(lease.alone for lease in leases)
        assert len({lease.instance for lease in leases}) == 1
        assert len({id(lease.connection) for lease in leases}) == 3
        fourth = stage.enqueue()
        leases[0].release(reusable=True)
        got = await asyncio.wait_for(fourth, WAIT_S)
        assert got.connection is leases[0].connection
        for lease in (*leases[1:], got):
            lease.release(reusable=True)

    play(tmp_path, history)


def test_what_is_on_its_way_counts_once_against_the_scale(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.load_hangs = True
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 2)))
        stage.enqueue()
        await until(lambda: len(stage.script.loads) == 1)
        stage.enqueue()
        await until(lambda: len(stage.script.loads) == 2)
        stage.enqueue()
        await past(PATIENCE_S)
        assert len(stage.script.loads) == 2

    play(tmp_path, history)


def test_connections_that_come_while_an_instance_is_held_are_all_offered(tmp_path: Path) -> None:
    """It is loaded, its network is not there yet, and a second request waits."""

    async def history(stage: Stage1) -> None:
        code = stage.code(concurrency=2, scale=Scale(0, 1))
        await stage.start(code)
        site = stage.scheduler.sites[SiteKey("todos")]
        instance = stage.pool.take(code)
        assert instance is not None
        instance.claim(site, StartKind.RUNTIME)
        await instance.load(code, 5)
        instance.serving.dial(1)
        await until(lambda: len(instance.serving.connections) == 2)
        assert site.free == []
        instance.release()
        assert len(site.free) == 2

    play(tmp_path, history)


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, queue=2, scale=Scale(0, 1)))
        held = await stage.lease()
        first, second = stage.enqueue(), stage.enqueue()
        with pytest.raises(QueueFull) as refused:
            stage.enqueue()
        assert refused.value.retry_after_s == 1
        held.release(reusable=True)
        (await asyncio.wait_for(first, WAIT_S)).release(reusable=True)
        (await asyncio.wait_for(second, WAIT_S)).release(reusable=True)

    play(tmp_path, history)


def test_a_cancelled_waiter_is_not_called(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 1)))
        held = await stage.lease()
        called: list[object] = []
        stage.scheduler.enqueue(SiteKey("todos"), called.append).cancel()
        held.release(reusable=True)
        (await stage.lease()).release(reusable=True)
        assert called == []

    play(tmp_path, history)


def test_unknown_function(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start()
        with pytest.raises(NotFound):
            stage.scheduler.try_acquire(SiteKey("nobody"))

    play(tmp_path, history, runtimes=())


def test_functions_of_several_runtimes_share_what_is_booted_for_all_of_them(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        command = replace(PYTHON, agent=NODE.agent, booted_as=NODE.name)
        await stage.start(replace(stage.code(), runtime=command))
        lease = await stage.lease()
        assert lease.start is StartKind.RUNTIME
        lease.release(reusable=True)

    play(tmp_path, history)


def test_a_crash_is_told_with_its_exit_code_and_the_next_call_works(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        stage.sandbox_of(lease).exit(code=3)
        why: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        lease.failure(why.set_result)
        error = await asyncio.wait_for(why, WAIT_S)
        assert isinstance(error, FunctionError)
        assert "exit code 3" in error.message
        lease.release(reusable=False, error=error)
        (await stage.lease()).release(reusable=True)

    play(tmp_path, history)


def test_a_timeout_ends_the_instance_after_its_other_requests(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=2))
        slow, other = await stage.lease(), await stage.lease()
        assert slow.instance == other.instance
        slow.release(reusable=False, error=DeadlineExceeded("late", code="timeout"))
        assert stage.pool.sandboxes.alive[other.instance].state is State.DRAINING
        fresh = await stage.lease()
        assert fresh.instance != other.instance
        other.release(reusable=True)
        assert other.instance not in stage.pool.sandboxes.alive
        fresh.release(reusable=True)

    play(tmp_path, history)


def test_a_client_that_leaves_frees_its_place(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        lease.release(reusable=False)
        again = await stage.lease()
        assert again.instance == lease.instance
        assert again.connection is not lease.connection
        again.release(reusable=True)

    play(tmp_path, history)


def test_idle_instances_are_reaped_to_zero_and_the_pool_stays(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(idle_timeout_s=60))
        lease = await stage.lease()
        site = stage.scheduler.sites[SiteKey("todos")]
        now = asyncio.get_running_loop().time()
        assert reap(site, now + 1000) == []  # busy: never, however late
        lease.release(reusable=True)
        assert reap(site, now + 30) == []
        assert [one.id for one in reap(site, now + 1000)] == [lease.instance]
        assert site.free == [] and not site.instances
        await until(lambda: len(stage.pool.members) == 4)

    play(tmp_path, history)


def test_scale_min_is_kept_and_served_warm(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(scale=Scale(1, 2)))
        site = stage.scheduler.sites[SiteKey("todos")]
        await until(lambda: len(site.free) == 1)
        lease = await stage.lease()
        assert lease.start is StartKind.WARM
        lease.release(reusable=True)
        assert reap(site, asyncio.get_running_loop().time() + 1000) == []

    play(tmp_path, history)


def test_a_burst_of_first_calls_is_answered_within_the_scale(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 3)))
        answers = [stage.enqueue() for _ in range(40)]
        seen = set()
        for answer in answers:
            lease = await asyncio.wait_for(answer, WAIT_S)
            seen.add(lease.instance)
            lease.release(reusable=True)
        assert 1 <= len(seen) <= 3

    play(tmp_path, history)


def test_a_pool_that_learns_grows_with_first_calls_and_keeps_its_floor(tmp_path: Path) -> None:
    policy = PoolPolicy(PoolRules(floor=2, runtimes=("node24",), budget_mb=200.0))

    async def history(stage: Stage1) -> None:
        names = [f"f{number}" for number in range(5)]
        await stage.start(*(stage.code(name) for name in names))
        assert len(stage.pool.members) == 2
        leases = [await stage.lease(name) for name in names]
        await until(lambda: len(stage.pool.members) >= 5)
        await until(lambda: sum(1 for member in stage.pool.members if member.agent.runtime == "node24") >= 2)
        for lease in leases:
            lease.release(reusable=True)

    play(tmp_path, history, policy=policy)


def test_two_versions_of_a_function_run_side_by_side(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        current = stage.code(text="1", scale=Scale(0, 1))
        canary = replace(stage.code(text="2", scale=Scale(0, 1)), alias="canary")
        await stage.start(current, canary)
        first, second = await stage.lease(), await stage.lease(alias="canary")
        assert (first.function, second.function) == ("todos", "todos")
        assert (first.version, second.version) == (current.version, canary.version)
        assert first.instance != second.instance
        second.release(reusable=True)
        await stage.scheduler.withdraw(SiteKey("todos", "canary"))
        with pytest.raises(NotFound, match="no function named todos with a version canary"):
            stage.scheduler.try_acquire(SiteKey("todos", "canary"))
        first.release(reusable=True)
        again = await stage.lease()
        assert (again.instance, again.start) == (first.instance, StartKind.WARM)
        again.release(reusable=True)

    play(tmp_path, history)

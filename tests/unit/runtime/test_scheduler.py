"""The function service as histories: what requests, sandboxes and the reaper do, and what must follow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fnctl.errors import DeadlineExceeded, EngineError, FunctionError, LoadError, NotFound, ProtocolError, QueueFull
from fnctl.model import Isolation, Model, Network, SandboxSpec, Scale, Secret, StartKind
from fnctl.policy import PoolPolicy, PoolRules
from fnctl.runtime.departures import Departures
from fnctl.runtime.instance import GRACE_S
from fnctl.runtime.lifecycle import State
from fnctl.runtime.reaper import reap
from tests.unit.runtime.played import NODE, PYTHON, WAIT_S, Stage1, until

History = Callable[[Stage1], Awaitable[None]]


def play(folder: Path, history: History, **settings: Any) -> None:
    """Run one history on a stage of its own; afterwards nothing may be left."""

    async def story() -> None:
        stage = Stage1(folder, **settings)
        try:
            await history(stage)
        finally:
            await stage.close()
        assert stage.engine.list({}) == []
        assert not stage.pool.alive

    uvloop.run(story())


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

    for name, story, settings in (("base", base, {"boot": False}), ("cold", cold, {"warm": 0})):
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
        assert len(stage.pool.alive) == 5
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
        for _ in range(50):
            await asyncio.sleep(0)
        assert sum(1 for name, _ in stage.engine.calls if name == "create") == creates

    play(tmp_path, history)


def test_an_instance_serves_many_at_once_up_to_its_concurrency(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=3, scale=Scale(0, 1)))
        leases = [await stage.lease() for _ in range(3)]
        assert len({lease.instance for lease in leases}) == 1
        assert len({id(lease.connection) for lease in leases}) == 3
        fourth = stage.enqueue()
        leases[0].release(reusable=True)
        got = await asyncio.wait_for(fourth, WAIT_S)
        assert got.connection is leases[0].connection
        for lease in (*leases[1:], got):
            lease.release(reusable=True)

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
        stage.scheduler.enqueue("todos", called.append).cancel()
        held.release(reusable=True)
        (await stage.lease()).release(reusable=True)
        assert called == []

    play(tmp_path, history)


def test_unknown_function(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start()
        with pytest.raises(NotFound):
            stage.scheduler.try_acquire("nobody")

    play(tmp_path, history, boot=False)


def test_a_load_error_reaches_every_waiter_with_its_place(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.load_error = {"type": "SyntaxError", "message": "Unexpected token", "file": "index.js", "line": 3}
        await stage.start(stage.code(scale=Scale(0, 1)))
        answers = [stage.enqueue() for _ in range(3)]
        for answer in answers:
            error = await asyncio.wait_for(answer, WAIT_S)
            assert isinstance(error, LoadError)
            assert "index.js:3: SyntaxError: Unexpected token" in error.message
        # at once and without burning another pooled instance
        before = len(stage.script.loads)
        with pytest.raises(LoadError):
            await stage.lease()
        assert len(stage.script.loads) == before

    play(tmp_path, history)


def test_a_new_version_mends_a_broken_one_at_once(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.load_error = {"type": "SyntaxError", "message": "x"}
        await stage.start(stage.code())
        with pytest.raises(LoadError):
            await stage.lease()
        stage.script.load_error = None
        await stage.scheduler.deploy(stage.code(text="2"))
        (await stage.lease()).release(reusable=True)

    play(tmp_path, history)


def test_a_hanging_load_is_blamed_on_the_load(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.load_hangs = True
        await stage.start(stage.code(timeout_s=0.05))
        with pytest.raises(DeadlineExceeded) as late:
            await stage.lease()
        assert late.value.code == "load_timeout"

    play(tmp_path, history, load_timeout_s=0.05)


def test_a_hanging_load_says_what_the_agent_waits_for(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.load_hangs, stage.script.waits_for = True, "port 3000; it listens on port 8000"
        await stage.start(stage.code(command=("./server",), timeout_s=0.01))
        with pytest.raises(DeadlineExceeded, match="waited for port 3000; it listens on port 8000") as caught:
            await stage.lease()
        assert caught.value.code == "load_timeout"

    play(tmp_path, history, load_timeout_s=0.01)


def test_functions_of_several_runtimes_share_what_is_booted_for_all_of_them(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        command = replace(PYTHON, agent=NODE.agent, booted_as=NODE.name)
        await stage.start(replace(stage.code(), runtime=command))
        lease = await stage.lease()
        assert lease.start is StartKind.RUNTIME
        lease.release(reusable=True)

    play(tmp_path, history)


def secret(folder: Path) -> Secret:
    return Secret("db", folder / "db.txt", None, folder / ".env", "fnctl.yaml:9")


def test_secrets_are_in_the_slot_before_the_code_is_loaded(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        (tmp_path / "db.txt").write_bytes(b"hunter2")
        stage.script.load_hangs = True
        await stage.start(stage.code(secrets=(secret(tmp_path),)))
        waiting = stage.enqueue()
        await until(lambda: bool(stage.script.loads))
        (folder,) = [each.slot.folder for each in stage.pool.alive.values() if each.code is not None]
        assert (folder / "secrets/db").read_bytes() == b"hunter2"
        assert "hunter2" not in str(stage.script.loads) + str(stage.log)
        waiting.cancel()
        await stage.pool.close()
        assert not folder.exists()

    play(tmp_path, history)


def test_a_secret_that_cannot_be_had_fails_the_load(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(secrets=(secret(tmp_path),)))
        with pytest.raises(LoadError, match=r"todos did not load: fnctl\.yaml:9: secret `db`"):
            await stage.lease()
        assert stage.script.loads == []

    play(tmp_path, history)


def test_garbage_from_an_agent_destroys_its_sandbox_only(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(), stage.code("other"))
        stage.script.garbage_at_load = b"\x00not json\n"
        with pytest.raises(ProtocolError):
            await stage.lease()
        stage.script.garbage_at_load = None
        (await stage.lease("other")).release(reusable=True)

    play(tmp_path, history, warm=3)


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
        assert stage.pool.alive[other.instance].state is State.DRAINING
        fresh = await stage.lease()
        assert fresh.instance != other.instance
        other.release(reusable=True)
        assert other.instance not in stage.pool.alive
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


def test_idle_instances_are_reaped_to_zero_and_the_pool_stays(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(idle_timeout_s=60))
        lease = await stage.lease()
        site = stage.scheduler.sites["todos"]
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
        site = stage.scheduler.sites["todos"]
        await until(lambda: len(site.free) == 1)
        lease = await stage.lease()
        assert lease.start is StartKind.WARM
        lease.release(reusable=True)
        assert reap(site, asyncio.get_running_loop().time() + 1000) == []

    play(tmp_path, history)


def test_a_new_version_takes_over_when_it_is_loaded(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 2)))
        old = await stage.lease()
        await stage.scheduler.deploy(stage.code(text="2", concurrency=1, scale=Scale(0, 2)))
        new = await stage.lease()
        assert new.version != old.version
        assert old.instance in stage.pool.alive  # its request runs to the end
        old.release(reusable=True)
        assert old.instance not in stage.pool.alive
        new.release(reusable=True)

    play(tmp_path, history)


def test_a_new_version_that_does_not_load_leaves_the_old_one(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        (await stage.lease()).release(reusable=True)
        stage.script.load_error = {"type": "SyntaxError", "message": "x", "file": "index.js", "line": 1}
        with pytest.raises(LoadError):
            await stage.scheduler.deploy(stage.code(text="2"))
        lease = await stage.lease()
        assert lease.start is StartKind.WARM
        lease.release(reusable=True)

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
        await until(lambda: sum(1 for member in stage.pool.members if member.runtime == "node24") >= 2)
        for lease in leases:
            lease.release(reusable=True)

    play(tmp_path, history, policy=policy)

"""Ephemeral functions as histories: a process or a sandbox for each request, its end, and the next one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from pathlib import Path

from fnctl.model import Isolation, Model, Scale, SiteKey, StartKind
from fnctl.sandbox.ephemeral import GRACE_S, WORN_AFTER
from fnctl.sandbox.intake import A_SECOND_EACH
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.serving import Figure
from tests.support.printing import printing_to
from tests.support.turning import past, turns, until
from tests.unit.dispatch.played import NODE, WAIT_S, Stage1, play, say


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
        await past(GRACE_S)
        assert stage.script.kills == 0
        assert again.instance in stage.pool.sandboxes.alive
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
        assert stage.scheduler.try_acquire(SiteKey("todos")) is None
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
        await asyncio.wait_for(stage.pool.full(), WAIT_S)  # no other agent is booted after this
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
            await asyncio.wait_for(stage.pool.full(), WAIT_S)  # no other agent is booted after this
            assert stage.script.kills == (turn >= WORN_AFTER)
            lease.release(reusable=True)
            await stage.sandbox_of(lease).done()
        assert len(instances) == 1
        assert stage.script.argvs.count(["/opt/agent", "--fork"]) == 1  # beside the pool's own

    play(tmp_path, history)


def test_a_killed_invocation_leaves_a_gap_in_the_figures_of_a_forking_agent(tmp_path: Path) -> None:
    """Receipts are paired with figures in order: without the gap, each would get those of another."""

    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        killed = await stage.lease()
        instance = stage.pool.sandboxes.alive[killed.instance]
        killed.release(reusable=False)  # the client left, and the process works on
        lease = await stage.lease()
        assert lease.instance == killed.instance
        lease.release(reusable=True)
        await stage.sandbox_of(lease).done()
        await until(lambda: len(instance.serving.figures or ()) == 2)
        assert list(instance.serving.figures or ()) == [Figure(cut=True), Figure(1.0, 2.0)]

    play(tmp_path, history)


def test_isolation_container_uses_each_sandbox_once(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, isolation=Isolation.CONTAINER, concurrency=1))
        seen = set()
        for _ in range(3):
            lease = await stage.lease()
            seen.add(lease.instance)
            lease.release(reusable=True)
            assert lease.instance not in stage.pool.sandboxes.alive
        assert len(seen) == 3

    play(tmp_path, history)


def test_a_process_that_works_on_after_its_answer_is_ended_at_its_deadline(tmp_path: Path) -> None:
    """Not sooner, and whether it was forked or not; the one after it has a deadline of its own."""

    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        code = stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1), timeout_s=4 * GRACE_S)
        await stage.start(code)
        first = await stage.lease()
        instance = stage.pool.sandboxes.alive[first.instance]
        first.release(reusable=True)
        await past(2 * GRACE_S)
        assert stage.script.kills == 0
        second = await stage.lease()
        assert (second.instance, stage.script.kills) == (first.instance, 1)
        await stage.sandbox_of(second).done()
        second.release(reusable=True)
        await until(lambda: instance.state is State.IDLE)
        assert list(instance.serving.figures or ()) == [Figure(cut=True), Figure(1.0, 2.0)]

    play(tmp_path, history)


def test_a_process_whose_output_waits_for_us_is_not_ended_for_it(tmp_path: Path) -> None:
    """It prints more than is read in the grace, so it cannot end in it; then it has the grace."""

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        lines = int(A_SECOND_EACH * GRACE_S * 4)
        printing = asyncio.create_task(printed(stage.sandbox_of(lease).folder, lines))
        await until(lambda: stage.pool.sandboxes.alive[lease.instance].conversation.behind)
        lease.release(reusable=False)
        await until(lambda: stage.script.kills)
        assert len(stage.log) == lines
        await printing

    play(tmp_path, history)


async def printed(folder: Path, lines: int) -> None:
    end = printing_to(folder / "log.sock")
    os.set_blocking(end, False)
    left = b"\n" * lines
    while left:
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(end, left) :]
        await turns(1)
    os.close(end)


def test_a_forking_agent_that_hangs_up_unasked_ends_its_instance(tmp_path: Path) -> None:
    """Also where its process is not told to have ended; and what was connected by then is not used."""

    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        instance, sandbox = stage.pool.sandboxes.alive[lease.instance], stage.sandbox_of(lease)
        await sandbox.dial()
        lease.release(reusable=True)
        assert sandbox.agent is not None
        sandbox.agent.close()
        reader, writer = await asyncio.open_unix_connection(str(sandbox.folder / "agent.sock"))
        say(writer, {"op": "done", "cpu_ms": 1.0, "peak_kb": 1, "code": 0, "signal": 0})
        with contextlib.suppress(ConnectionError):  # what it said was on its way when it was turned away
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()
        again = await stage.lease()
        assert again.instance != lease.instance
        assert (instance.state, instance.death) == (State.DEAD, Death.CRASHED)
        again.release(reusable=True)

    play(tmp_path, history)


def test_a_connection_ahead_of_its_turn_is_closed(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.script.forks = True
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        sandbox = stage.sandbox_of(lease)
        await sandbox.dial()  # of the next process
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(str(sandbox.folder / "data.sock"))
            assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
            writer.close()
        lease.release(reusable=True)

    play(tmp_path, history)


def test_who_does_not_know_the_secret_of_the_boot_is_no_agent(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(model=Model.EPHEMERAL, concurrency=1, scale=Scale(0, 1)))
        lease = await stage.lease()
        instance, sandbox = stage.pool.sandboxes.alive[lease.instance], stage.sandbox_of(lease)
        stage.script.boot_gate = gate = asyncio.Event()
        sandbox.exit()
        lease.release(reusable=True)
        await until(lambda: stage.script.boots == 2 + stage.pool.settings.warm)
        _, writer = await asyncio.open_unix_connection(str(sandbox.folder / "agent.sock"))
        say(writer, sandbox.hello)  # of the boot before
        await until(lambda: instance.state is State.DEAD)
        assert instance.death is Death.BREACH
        writer.close()
        gate.set()

    play(tmp_path, history)

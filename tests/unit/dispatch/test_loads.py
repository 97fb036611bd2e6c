"""Loads as histories: code that does not load, or not in time, its secrets, and the version that takes over."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.errors import DeadlineExceeded, LoadError, NoCapacity, ProtocolError
from fnctl.model import Scale, Secret, SiteKey, StartKind
from fnctl.sandbox.lifecycle import Death
from tests.support.turning import until
from tests.unit.dispatch.played import WAIT_S, Stage1, play


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


def test_who_waits_knows_that_it_waits_for_a_start(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 1)))
        first = stage.enqueue()
        site = stage.scheduler.sites[SiteKey("todos")]
        assert site.waiters[0].for_a_start
        lease = await asyncio.wait_for(first, WAIT_S)
        stage.enqueue()
        assert not site.waiters[0].for_a_start  # all there is of it is loaded, and busy
        lease.release(reusable=True)

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


def secret(folder: Path) -> Secret:
    return Secret("db", folder / "db.txt", None, folder / ".env", "fnctl.yaml:9")


def test_a_pooled_instance_that_ends_while_code_is_placed_in_it_is_replaced(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        (tmp_path / "db.txt").write_bytes(b"hunter2")
        await stage.start(stage.code(secrets=(secret(tmp_path),)))
        gate = threading.Event()
        for _ in range(4):  # all threads: what is placed waits
            stage.executor.submit(gate.wait, WAIT_S)
        answer = stage.enqueue()
        site = stage.scheduler.sites[SiteKey("todos")]
        await until(lambda: site.instances)
        (instance,) = site.instances
        instance.end(Death.CRASHED)
        gate.set()
        lease = await asyncio.wait_for(answer, WAIT_S)
        assert not isinstance(lease, Exception), lease
        assert lease.instance != instance.id
        lease.release(reusable=True)

    play(tmp_path, history)


def test_secrets_are_in_the_slot_before_the_code_is_loaded(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        (tmp_path / "db.txt").write_bytes(b"hunter2")
        stage.script.load_hangs = True
        await stage.start(stage.code(secrets=(secret(tmp_path),)))
        waiting = stage.enqueue()
        await until(lambda: bool(stage.script.loads))
        (folder,) = [stage.folder_of(each) for each in stage.pool.sandboxes.alive.values() if each.code is not None]
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


def test_a_new_version_takes_over_when_it_is_loaded(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(concurrency=1, scale=Scale(0, 2)))
        old = await stage.lease()
        await stage.scheduler.deploy(stage.code(text="2", concurrency=1, scale=Scale(0, 2)))
        new = await stage.lease()
        assert new.version != old.version
        assert old.instance in stage.pool.sandboxes.alive  # its request runs to the end
        old.release(reusable=True)
        assert old.instance not in stage.pool.sandboxes.alive
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


def test_the_late_failure_of_an_old_version_is_not_the_new_ones(tmp_path: Path) -> None:
    """A start of the old code that fails after the new was deployed: the new one's requests are not refused with it."""

    async def history(stage: Stage1) -> None:
        stage.script.create_gate = threading.Event()
        stage.script.load_error = {"type": "Error", "message": "the old code is broken"}
        await stage.start(stage.code(text="1", scale=Scale(0, 1)))
        waiting = stage.enqueue()
        await until(lambda: stage.script.creating == 1)
        await stage.scheduler.deploy(stage.code(text="2", scale=Scale(0, 1)))
        stage.script.create_gate.set()
        await until(lambda: len(stage.script.loads) == 1)
        stage.script.load_error = None
        lease = await asyncio.wait_for(waiting, WAIT_S)
        assert not isinstance(lease, Exception), lease
        assert lease.version == stage.code(text="2").version
        lease.release(reusable=True)

    play(tmp_path, history, warm=0, runtimes=())


def test_code_that_cannot_be_placed_fails_the_start_and_no_later_one(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        code = stage.code(scale=Scale(0, 1))
        await stage.start(code)
        elsewhere = code.bundle.root.rename(tmp_path / "elsewhere")
        lease = await stage.lease()  # there was a tree that was made ahead
        stage.sandbox_of(lease).exit(code=1)
        lease.release(reusable=False)
        await until(lambda: not stage.scheduler.sites[code.site].instances)
        with pytest.raises(NoCapacity, match="no instance: No such file"):
            await stage.lease()
        elsewhere.rename(code.bundle.root)
        stage.scheduler.sites[code.site].renew(code)
        (await stage.lease()).release(reusable=True)

    play(tmp_path, history)


def test_a_new_version_is_proved_in_a_pooled_instance_where_the_function_has_none(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code(text="1"))
        stage.script.load_error = {"type": "Error", "message": "broken"}
        with pytest.raises(LoadError):
            await stage.scheduler.deploy(stage.code(text="2"), prove=True)
        stage.script.load_error = None
        assert (await stage.lease()).version == stage.code(text="1").version
        assert await stage.scheduler.deploy(stage.code(text="3"), prove=True)
        await asyncio.wait_for(stage.pool.full(), WAIT_S)

    play(tmp_path, history)


def test_rules_change_and_the_instances_stay(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        code = stage.code()
        await stage.start(code)
        first = await stage.lease()
        stage.scheduler.adjust(replace(code, function=replace(code.function, queue=1)))
        first.release(reusable=True)
        again = await stage.lease()
        assert again.instance == first.instance
        again.release(reusable=True)

    play(tmp_path, history)

"""Containers that nobody knows: those of a lost answer go while the run is on, those of a killed run after it."""

from __future__ import annotations

from pathlib import Path

from fnctl.control.crash_cleanup import GIVE_UP_S, QUIET_S, remove_remains
from fnctl.engine.fake import FakeClock, FakeEngine
from fnctl.engine.port import LABEL_RUN
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec
from tests.support.turning import until
from tests.unit.dispatch.played import Stage1, play


def test_what_a_lost_answer_left_is_removed_while_the_run_is_on(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.engine.lose_reply("create", leftover=True)
        stage.pool.start()
        await until(lambda: stage.pool.sandboxes.orphans.removed == 1)
        await until(lambda: len(stage.pool.members) == 2)
        names = {f"fnctl-project-{instance}" for instance in stage.pool.sandboxes.alive}
        assert {box.name for box in stage.engine.list({})} == names

    play(tmp_path, history)


def test_the_list_is_asked_for_until_it_comes(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        stage.engine.lose_reply("create", leftover=True)
        stage.engine.fail("list", EngineError("frozen"))
        stage.pool.start()
        await until(lambda: stage.pool.sandboxes.orphans.removed == 1)

    play(tmp_path, history)


def test_what_is_known_stays(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        lease = await stage.lease()
        await stage.pool.sandboxes.orphans.look()
        assert stage.pool.sandboxes.orphans.removed == 0
        lease.release(reusable=True)

    play(tmp_path, history)


def test_containers_of_others_are_nobodys_business(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        other = FakeEngine.create(stage.engine, box("other"))
        await stage.pool.sandboxes.orphans.look()
        assert stage.engine.inspect(other) is not None
        stage.engine.destroy(other)

    play(tmp_path, history)


# -- after the run -----------------------------------------------------------------------------------------------------


def box(run: str, number: int = 1) -> SandboxSpec:
    return SandboxSpec(f"fnctl-p-{run}-{number}", "image", ("true",), ((LABEL_RUN, run),), 70_000, ())


def engine_with(*specs: SandboxSpec) -> FakeEngine:
    engine = FakeEngine()
    engine.add_image("image")
    for spec in specs:
        engine.create(spec)
    return engine


def test_the_containers_of_a_killed_run_are_buried_and_no_others() -> None:
    engine, clock = engine_with(box("old", 1), box("old", 2), box("new")), FakeClock()
    for run in ("old", "new"):
        engine.ensure_network(f"fnctl-{run}", internal=True, labels={LABEL_RUN: run})
    engine.connect("fnctl-p-old-1", "fnctl-old")
    assert remove_remains(engine, "old", clock, clock.sleep) == 2
    assert list(engine.networks({LABEL_RUN: "old"})) == []
    assert list(engine.networks({LABEL_RUN: "new"})) == ["fnctl-new"]
    assert [found.name for found in engine.list({})] == ["fnctl-p-new-1"]
    assert clock() < 30


def test_what_the_engine_was_still_making_is_buried_too() -> None:
    engine, clock = engine_with(), FakeClock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock() == QUIET_S - 1:
            engine.create(box("old"))

    assert remove_remains(engine, "old", clock, sleep) == 1
    assert engine.list({}) == []


def test_an_engine_that_comes_back_late_is_waited_for() -> None:
    engine, clock = engine_with(box("old")), FakeClock()
    engine.fail("list", EngineError("gone"), times=60)
    assert remove_remains(engine, "old", clock, clock.sleep) == 1


def test_an_engine_that_never_comes_back_is_given_up() -> None:
    engine, clock = engine_with(), FakeClock()
    engine.fail("list", EngineError("gone"), times=10_000)
    assert remove_remains(engine, "old", clock, clock.sleep) == 0
    assert clock() >= GIVE_UP_S

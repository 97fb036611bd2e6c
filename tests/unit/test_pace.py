"""Deadlines on a slow machine: measured, kept, and grown by what is seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from fnctl.control import pacing
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import RunResult
from fnctl.errors import DeadlineExceeded
from fnctl.model import SandboxSpec
from fnctl.pace import SLOWEST, Pace
from tests.support.turning import until
from tests.unit.dispatch.played import NODE, PYTHON, WAIT_S, Stage1, play


class Slow(FakeEngine):
    """Its containers take so long, by a clock of its own."""

    def __init__(self, seconds: Mapping[str, list[float]]) -> None:
        super().__init__()
        self.now = 0.0
        self._seconds = seconds

    def run(self, spec: SandboxSpec, **settings: object) -> RunResult:
        self.now += self._seconds[spec.command[0]].pop(0)
        return RunResult(1, "", False)


def measured(*, node: list[float], python: list[float]) -> float:
    engine = Slow({NODE.agent[0]: node, PYTHON.agent[0]: python})
    return pacing.measure(engine, "image", (NODE, PYTHON), lambda: engine.now).factor


def test_the_slowest_runtime_counts_by_the_best_of_its_tries() -> None:
    assert measured(node=[0.4], python=[0.6]) == 1
    assert measured(node=[3.0, 0.5, 0.7], python=[0.6]) == 1
    assert measured(node=[0.4], python=[9.0, 6.0, 7.0]) == 6
    assert measured(node=[0.4], python=[900.0] * 3) == SLOWEST


def test_what_was_measured_is_kept_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    assert pacing.read().factor == 1
    pacing.write(Pace(7.5))
    assert pacing.read().deadline(10) == 75
    for broken in ("", "[]", '{"pace": "fast"}', json.dumps({"pace": 0.001})):
        (tmp_path / "home" / "machine.json").write_text(broken)
        assert pacing.read().factor == 1


def test_it_grows_by_what_is_seen() -> None:
    pace = Pace()
    pace.took(1.0, 10.0)
    assert pace.factor == 1
    pace.took(5.0, 10.0)
    assert pace.factor == 1.5
    assert pace.missed() and pace.factor == 3
    assert not Pace(SLOWEST).missed()


def test_a_boot_that_is_late_is_tried_again_with_more_time(tmp_path: Path) -> None:
    """On a machine that needs longer than anybody measured, `fnctl run` starts all the same."""
    pace = Pace(0.005)  # 50 ms for a boot

    async def history(stage: Stage1) -> None:
        stage.script.boot_gate = asyncio.Event()
        stage.pool.start()
        full = asyncio.ensure_future(stage.pool.full())
        await until(lambda: pace.factor >= 0.02)
        stage.script.boot_gate.set()
        await asyncio.wait_for(full, WAIT_S)

    play(tmp_path, history, warm=1, pace=pace)


def test_a_boot_that_never_comes_is_given_up_and_says_by_what_measure(tmp_path: Path) -> None:
    pace = Pace(SLOWEST)

    async def history(stage: Stage1) -> None:
        await stage.start(stage.code())
        (member,) = [each for each in stage.pool.members if each.agent.runtime is None][:1]
        stage.script.boot_gate = asyncio.Event()
        pace.factor = 0.002
        with pytest.raises(DeadlineExceeded, match=r"waited 0\.02 s for the node24 agent to say hello") as caught:
            await member.boot(NODE)
        assert "as this machine was measured; `fnctl setup` measures it again" in str(caught.value.hint)
        pace.factor = SLOWEST

    play(tmp_path, history, pace=pace)

"""The pool under a policy that changes its mind: what waits follows the targets, and not only their sum."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from fnctl.policy import PoolPolicy, PoolRules, Targets
from tests.unit.runtime.played import NODE, PYTHON, Stage1, until
from tests.unit.runtime.test_scheduler import play


class Told(PoolPolicy):
    """Wants what it was told to."""

    def __init__(self, wanted: Targets) -> None:
        super().__init__(PoolRules(floor=0))
        self.wanted = wanted

    def targets(self, now_s: float) -> Targets:
        return self.wanted


def test_boots_of_one_runtime_make_room_for_those_of_another(tmp_path: Path) -> None:
    policy = Told(Targets(0, {NODE.name: 3}))

    async def history(stage: Stage1) -> None:
        stage.pool.settings = replace(stage.pool.settings, runtimes=(NODE, PYTHON))
        await stage.start()
        await until(lambda: waiting(stage) == {NODE.name: 3})
        policy.wanted = Targets(0, {NODE.name: 1, PYTHON.name: 2})
        stage.pool.first_call(PYTHON.name)
        await until(lambda: waiting(stage) == {NODE.name: 1, PYTHON.name: 2})

    play(tmp_path, history, policy=policy)


def waiting(stage: Stage1) -> Counter[str | None]:
    return Counter(member.runtime for member in stage.pool.members)

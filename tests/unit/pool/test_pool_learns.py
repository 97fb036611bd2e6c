"""The pool under a policy that changes its mind: what waits follows the targets, and not only their sum."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fnctl.model import RuntimeSpec, StartKind
from fnctl.policy import PoolPolicy, PoolRules, Targets
from fnctl.pool.selection import shares
from fnctl.pool.settings import Kind
from tests.support.turning import until
from tests.unit.dispatch.played import NODE, PYTHON, Stage1, play


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
        await stage.start()
        await until(lambda: waiting(stage) == {NODE.name: 3})
        policy.wanted = Targets(0, {NODE.name: 1, PYTHON.name: 2})
        stage.pool.first_call(stage.code())
        await until(lambda: waiting(stage) == {NODE.name: 1, PYTHON.name: 2})

    play(tmp_path, history, policy=policy, runtimes=(NODE, PYTHON))


@pytest.mark.parametrize(
    ("warm", "runtimes", "booted"),
    [
        (3, (NODE,), {NODE.name: 3}),
        (3, (NODE, PYTHON), {NODE.name: 2, PYTHON.name: 1}),
        (1, (NODE, PYTHON), {NODE.name: 1}),
        (3, (), {}),
        (0, (NODE,), {}),
    ],
)
def test_a_pool_that_does_not_learn_is_booted_for_as_many_first_calls_as_it_is_warm_for(
    warm: int, runtimes: tuple[RuntimeSpec, ...], booted: dict[str, int]
) -> None:
    assert shares(warm, [Kind(spec) for spec in runtimes]) == Targets(warm, booted)


def test_a_burst_as_large_as_the_pool_finds_every_runtime_booted(tmp_path: Path) -> None:
    async def history(stage: Stage1) -> None:
        names = ["one", "two", "three"]
        await stage.start(*(stage.code(name=name) for name in names))
        assert waiting(stage) == {NODE.name: 3, None: 3}
        leases = [await stage.lease(name) for name in names]
        assert [lease.start for lease in leases] == [StartKind.RUNTIME] * 3

    play(tmp_path, history, warm=3)


def waiting(stage: Stage1) -> Counter[str | None]:
    return Counter(member.agent.runtime for member in stage.pool.members)

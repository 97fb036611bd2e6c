"""How the loop's time is shared among sandboxes that print: by a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fnctl.sandbox.intake import (
    A_MILLISECOND,
    A_SECOND,
    A_SECOND_EACH,
    AT_ONCE,
    LEAST,
    SAVED,
    SAVED_EACH,
    TURN,
    Allowance,
    Intake,
    cost,
)
from tests.support.turning import until


class Stream:
    """A source with this many units to handle."""

    def __init__(self, units: int) -> None:
        self.left = units
        self.most = 0
        self.paused = False

    @property
    def behind(self) -> bool:
        return self.left > 0

    def take(self, units: int) -> int:
        taken = min(self.left, units)
        self.most = max(self.most, taken)
        self.left -= taken
        return taken

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


def test_an_allowance_grows_with_time_up_to_its_most_and_pays_back_what_was_overdrawn() -> None:
    allowed = Allowance(100, 50, 0.0)
    assert allowed.left(10.0) == 50
    allowed.spend(150)
    assert allowed.left(10.5) == -50
    assert allowed.left(11.5) == 50


def test_a_line_costs_and_so_do_many_bytes() -> None:
    assert (cost(1, 1), cost(500, 500), cost(1, 1 << 20)) == (1, 500, 257)


def playing(scene: Callable[[Intake], None], done: Callable[[], bool]) -> Intake:
    """A clock that gives a second a turn: what is not spent by the clock, is by the turn."""
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    async def play() -> Intake:
        intake = Intake(clock)
        scene(intake)
        await until(done)
        return intake

    return asyncio.run(play())


def test_what_floods_is_paused_and_read_in_small_turns() -> None:
    flood = Stream(5000)

    def scene(intake: Intake) -> None:
        intake.share().arrived(flood)
        assert flood.paused

    intake = playing(scene, lambda: not flood.paused)
    assert flood.left == 0
    assert flood.most <= AT_ONCE
    assert intake.longest <= TURN


def test_who_prints_a_line_beside_floods_waits_for_one_turn_of_each() -> None:
    floods, quiet = [Stream(1 << 30) for _ in range(20)], Stream(1)
    left_when_heard: list[int] = []

    def scene(intake: Intake) -> None:
        for flood in floods:
            intake.share().arrived(flood)
        intake.share().arrived(quiet)
        left_when_heard.extend(flood.left for flood in floods)

    playing(scene, lambda: quiet.left == 0 and not quiet.paused)
    spent = [before - flood.left for before, flood in zip(left_when_heard, floods, strict=True)]
    assert max(spent) <= 3 * max(LEAST, TURN // 20)


def test_a_second_is_worth_so_much_for_one_and_for_all() -> None:
    now = 0.0
    intake = Intake(lambda: now)
    streams = [Stream(1 << 30) for _ in range(3)]
    shares = [intake.share() for _ in streams]
    taken = [0, 0, 0]
    for millisecond in range(1000):
        now = millisecond / 1000
        for at, (share, stream) in enumerate(zip(shares, streams, strict=True)):
            before = stream.left
            if millisecond == 0:
                share._behind.append(stream)
            share.turn(TURN)
            taken[at] += before - stream.left
    assert sum(taken) <= A_SECOND + SAVED
    assert max(taken) <= A_SECOND_EACH + SAVED_EACH


def test_what_is_saved_up_is_not_spent_in_one_turn() -> None:
    intake = Intake(lambda: 1.0)
    streams = [Stream(1 << 30) for _ in range(20)]

    async def scene() -> None:
        share = intake.share()
        for stream in streams:
            (share if stream is streams[0] else intake.share()).arrived(stream)

    asyncio.run(scene())
    assert sum((1 << 30) - stream.left for stream in streams) == A_MILLISECOND


def test_a_source_that_ends_while_it_waits_is_forgotten() -> None:
    flood, other = Stream(1 << 30), Stream(200)

    def scene(intake: Intake) -> None:
        share = intake.share()
        share.arrived(flood)
        share.arrived(other)
        share.forget(flood)

    playing(scene, lambda: not other.paused)
    assert other.left == 0

"""A version on trial: what is found worse, what is chance, and what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fnctl.control.canary import Rules, Sample, Trial, judge
from fnctl.model import SiteKey

RULES = Rules(0.1, None, None)
OLD, NEW = SiteKey("shop"), SiteKey("shop", "2")


def sample(calls: int, errors: int = 0, seconds: float = 0.01) -> Sample:
    made = Sample()
    for at in range(calls):
        made.add(500 if at < errors else 200, seconds)
    return made


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (sample(1000), sample(100), None),
        (sample(1000), sample(50, 5), "10.0% of its calls failed, 0.0% of the others"),
        (sample(1000), sample(5, 5), "100.0% of its calls failed, 0.0% of the others"),
        (sample(1000), sample(10, 4), None),  # four are chance
        (sample(1000, 100), sample(100, 10), None),  # as bad as before
        (sample(1000, seconds=0.1), sample(100, seconds=0.2), "its p99 is 200.0 ms, 100.0 ms that of the others"),
        (sample(1000, seconds=0.1), sample(99, seconds=0.2), None),
        (sample(1000, seconds=0.001), sample(100, seconds=0.009), None),  # of a busy machine
    ],
    ids=["same", "errors", "all-errors", "few", "both", "slower", "too-few", "noise"],
)
def test_what_is_found_worse(old: Sample, new: Sample, says: str | None) -> None:
    assert judge(old, new, RULES) == says


def play(rules: Rules, history: Callable[[Trial], Awaitable[None]]) -> tuple[str | None, list[str]]:
    async def story() -> tuple[str | None, list[str]]:
        told: list[str] = []
        trial = Trial(rules, frozenset({NEW}))
        waiting = asyncio.create_task(trial.wait(told.append))
        await history(trial)
        return await waiting, told

    return asyncio.run(story())


def test_calls_of_an_alias_are_no_measure_of_the_version_that_serves() -> None:
    async def history(trial: Trial) -> None:
        for _ in range(200):
            trial.seen(OLD, 200, 0.01)
            trial.seen(SiteKey("shop", "1"), 500, 0.01)
        for _ in range(5):
            trial.seen(NEW, 502, 0.01)

    why, _ = play(RULES, history)
    assert why == "100.0% of its calls failed, 0.0% of the others"


def test_it_ends_at_once_where_it_is_worse() -> None:
    async def history(trial: Trial) -> None:
        for _ in range(200):
            trial.seen(OLD, 200, 0.01)
        for _ in range(5):
            trial.seen(NEW, 502, 0.01)
        assert trial.over.done()
        trial.seen(NEW, 200, 0.01)

    why, told = play(RULES, history)
    assert why == "100.0% of its calls failed, 0.0% of the others"
    assert told == [
        "on trial with 10% of calls",
        "this version: 5 calls, 5 errors, p99 0.0 ms; the others: 200 calls, 0 errors, p99 10.0 ms",
        f"failed: {why}",
    ]


def test_it_passes_after_its_calls() -> None:
    async def history(trial: Trial) -> None:
        for _ in range(10):
            trial.seen(OLD, 200, 0.01)
            trial.seen(NEW, 200, 0.01)

    why, told = play(Rules(0.5, None, 10), history)
    assert (why, told[-1]) == (None, "passed")


def test_it_passes_after_its_time() -> None:
    async def history(trial: Trial) -> None:
        trial.seen(NEW, 404, 0.01)  # of the client's making

    assert play(Rules(0.5, 0.0, None), history)[0] is None


def test_by_hand() -> None:
    async def history(trial: Trial) -> None:
        trial.end("it was rolled back by hand")
        trial.end("twice")

    assert play(Rules(0.5, None, None), history)[0] == "it was rolled back by hand"

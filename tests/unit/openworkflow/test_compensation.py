"""`compensate`: what was done is undone in reverse, when a run fails or is cancelled; itself durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from fnctl.clock import VirtualClock
from fnctl.openworkflow.fault import standard
from tests.support.openworkflow import Played, defined, ended
from tests.support.workflow_world import Crash, FakeWorld, MemoryLog

ORDER = """
do:
- reserve:
    call: do
    with: {what: reserve}
    compensate: [{release: {call: undo, with: {what: reserve, was: '${ . }'}}}]
- loop:
    for: {in: '[1, 2]'}
    do:
    - charge:
        call: do
        with: {what: '${ "charge\\($item)" }'}
        compensate: [{refund: {call: undo, with: {what: '${ "charge\\($item)" }', was: '${ . }'}}}]
- maybe: {if: 'false', call: do, with: {what: never}, compensate: [{x: {call: undo, with: {what: never}}}]}
- ship: {call: ship}
"""


def shop(undone: list[Any], broken: str = "") -> FakeWorld:
    def undo(given: Any) -> None:
        if given["what"] == broken:
            raise standard("communication", "the bank is closed", status=503)
        undone.append((given["what"], given["was"]))

    def ship(given: Any) -> None:
        raise standard("communication", "no truck", status=503)

    return FakeWorld({"do": lambda given: f"did {given['what']}", "undo": undo, "ship": ship})


WANTED = [("charge2", "did charge2"), ("charge1", "did charge1"), ("reserve", "did reserve")]


def test_undone_in_reverse_with_what_each_step_gave() -> None:
    undone: list[Any] = []
    end = ended(ORDER, {}, shop(undone))
    assert (end["state"], end["error"]["detail"]) == ("faulted", "no truck")
    assert undone == WANTED
    assert "not_undone" not in end


def test_what_cannot_be_undone_is_told_and_the_rest_is_undone() -> None:
    undone: list[Any] = []
    end = ended(ORDER, {}, shop(undone, broken="charge1"))
    assert undone == [WANTED[0], WANTED[2]]
    (left,) = end["not_undone"]
    assert (left["step"], left["error"]["detail"]) == ("/do/1/loop/do/0/charge", "the bank is closed")


def test_a_fault_that_is_caught_undoes_nothing() -> None:
    undone: list[Any] = []
    caught = "do:\n- all:\n    try:\n" + ORDER.removeprefix("\ndo:\n").replace("\n", "\n    ").rjust(1)
    text = caught.replace("try:\n-", "try:\n    -") + "\n    catch: {errors: {with: {status: 503}}}\n"
    assert ended(text, {}, shop(undone))["state"] == "completed"
    assert undone == []


def test_a_kill_while_it_is_undone() -> None:
    """At every append and around every act of the unwinding, too."""
    definition = defined(ORDER)

    async def played(entries: list[Any], undone: list[Any], append_at: int | None, act_at: int | None) -> MemoryLog:
        points = iter(range(10_000))

        def crash(where: str) -> None:
            if next(points) == act_at:
                raise Crash(where)

        world = shop(undone)
        world.clock, world.crash = VirtualClock(1_800_000_000.0), crash
        log = MemoryLog(entries, append_at)
        run = Played(definition, {}, world, log)
        try:
            await run.end()
        except Crash:
            pass
        finally:
            acts.extend((step.key, step.attempt) for step in world.acts)
        return log

    acts: list[tuple[str, int]] = []
    start = [{"type": "started", "at": 1_800_000_000.0}]
    whole = asyncio.run(played(list(start), [], None, None))
    cases: list[tuple[int | None, int | None]] = [(n, None) for n in range(whole.appends)]
    cases += [(None, n) for n in range(2 * len(acts))]
    for append_at, act_at in cases:
        acts = []
        undone: list[Any] = []
        log = asyncio.run(played(list(start), undone, append_at, act_at))
        if log.entries[-1]["type"] == "ended":
            continue  # it has no such point: an act that fails has none after it
        done = {entry["step"] for entry in log.entries if entry["type"] == "completed"}
        before = len(acts)
        again = asyncio.run(played(log.entries, undone, None, None))
        assert again.entries[-1]["type"] == "ended"
        assert list(dict.fromkeys(undone)) == WANTED, (append_at, act_at)
        assert not done & {key for key, _ in acts[before:]}
        assert max(Counter(acts).values()) == 1

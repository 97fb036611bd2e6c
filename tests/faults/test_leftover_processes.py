"""What a resident function leaves behind goes on after its answer: it is counted, bounded, and mistaken for nobody."""

from __future__ import annotations

from typing import Any

import pytest

from fnctl.sandbox.leftover_processes import LIMIT
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FUNCTIONS = ["litter", "litter-python"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_it_says_later_is_not_given_to_another_call(fnctl: Running, function: str) -> None:
    """It belongs to the call that started it, or to none."""
    first = fnctl.call(function, "/?talk=1").id
    later: list[str] = []

    def heard() -> bool:
        later.append(fnctl.call(function).id)
        return len(said_by(fnctl, function, "process", first)) > 5 and len(later) > 5

    until(heard, "the process that was left behind to be heard between calls")
    until(lambda: all(said_by(fnctl, function, "call", each) for each in later), "each call's own line")
    others = [row for row in lines(fnctl, function) if not row["text"].startswith("call of ")]
    assert {row["id"] for row in others if first in row["text"]} <= {first, None}
    for invocation in (first, *later):
        assert [row["id"] for row in said_by(fnctl, function, "call", invocation)] == [invocation]
    fnctl.reap(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_few_are_counted_and_too_many_end_the_instance(fnctl: Running, function: str) -> None:
    fnctl.reap(function)
    fnctl.call(function, "/?count=3")
    until(lambda: counted(fnctl, function) == [3], "the three to be counted")
    (before,) = fnctl.instances(function)
    fnctl.call(function, f"/?count={LIMIT}")

    def ended() -> bool:
        """They are counted once a second at most, at the end of a call."""
        fnctl.call(function)
        return before["id"] not in {row["id"] for row in fnctl.instances(function)}

    until(ended, "the instance to be ended for what it left behind")
    assert fnctl.call(function).status == 200
    assert counted(fnctl, function) == [0]
    until(lambda: said(fnctl, function, "instance ended: leftover_processes"), "the log to say so")


def counted(fnctl: Running, function: str) -> list[int]:
    return [row["leftover_processes"] for row in fnctl.instances(function)]


def said(fnctl: Running, function: str, text: str) -> bool:
    return any(row["text"] == text for row in lines(fnctl, function))


def lines(fnctl: Running, function: str) -> list[dict[str, Any]]:
    return [row for row in fnctl.desk.lines(function) if row["kind"] == "line"]


def said_by(fnctl: Running, function: str, what: str, invocation: str) -> list[dict[str, Any]]:
    return [row for row in lines(fnctl, function) if row["text"] == f"{what} of {invocation}"]

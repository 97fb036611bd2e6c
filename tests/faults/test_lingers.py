"""Ephemeral processes that have answered and do not end, or stop who would tell of their end: the deadline holds for
them, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PHP = Path(__file__).parents[1] / "fixtures" / "php"


def receipt(fnctl: Running, function: str, invocation: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        return [row for row in fnctl.desk.lines(function) if row["kind"] == "receipt" and row["id"] == invocation]

    return until(found, f"the receipt of {invocation}")[0]


def lingers_and_is_cut(fnctl: Running, function: str) -> None:
    """The next call finds a process as good as the last one's, and waits no longer than that was allowed to last."""
    answers = [fnctl.call(function), fnctl.call(function, "/?stop=1"), fnctl.call(function)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"went on")] * 3
    told = [receipt(fnctl, function, answer.id) for answer in answers]
    assert [(each["status"], each["verdict"]) for each in told] == [(200, "ok")] * 3
    assert [(each["detail"] or "").partition(":")[0] for each in told] == ["", "still_running", ""]


@pytest.mark.parametrize("function", ["lingers-node", "lingers-python", "lingers-alone", "stops-node", "stops-python"])
def test_a_process_that_outlives_its_answer_is_ended_at_the_deadline(fnctl: Running, function: str) -> None:
    lingers_and_is_cut(fnctl, function)


@pytest.fixture(scope="module")
def php() -> Iterator[Running]:
    with rig.desk(PHP) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


@pytest.mark.parametrize("function", ["lingers", "stops"])
def test_in_php_too(php: Running, function: str) -> None:
    lingers_and_is_cut(php, function)

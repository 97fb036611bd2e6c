"""Asleep, not gone: an instance that was idle for long answers at once, ends after `keep`, and never stays for good."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = """
functions:
  node: {runtime: node24, handler: index.handler, idle_timeout: 1s}
  python: {runtime: python3.13, handler: main.handler, idle_timeout: 1s}
  fresh: {runtime: python3.13, handler: main.handler, model: ephemeral, idle_timeout: 1s}
  brief: {runtime: node24, handler: index.handler, idle_timeout: 1s, keep: 1s}
"""
NODE = "let n = 0\nexports.handler = async () => ({n: ++n})\n"
PYTHON = """
n = 0


def handler(event, context):
    global n
    n += 1
    return {"n": n}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("asleep")
    (folder / "fnctl.yaml").write_text(PROJECT)
    (folder / "index.js").write_text(NODE)
    (folder / "main.py").write_text(textwrap.dedent(PYTHON))
    with rig.desk(folder) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def rows(running: Running, function: str) -> list[dict[str, Any]]:
    return [row for row in running.status()["instances"] if row["function"] == function]


def asleep(running: Running, function: str) -> list[str]:
    until(lambda: [row["state"] for row in rows(running, function)] == ["asleep"], f"{function} to fall asleep")
    return [row["id"] for row in rows(running, function)]


@pytest.mark.parametrize(("function", "second"), [("node", 2), ("python", 2), ("fresh", 1)])
def test_a_call_finds_it_asleep_and_its_memory_as_it_left_it(running: Running, function: str, second: int) -> None:
    first = running.call(function)
    assert (first.status, first.json.get("n")) == (200, 1), first
    before = asleep(running, function)
    answer = running.call(function)
    assert (answer.status, answer.json.get("n")) == (200, second), (
        answer
    )  # resident: the same process; ephemeral: a fresh one
    assert answer.headers["Server-Timing"].startswith("start;desc=asleep, queue;dur=")
    assert [row["id"] for row in rows(running, function)] == before
    receipts = [row for row in running.desk.lines(function) if row["kind"] == "receipt"]
    until(
        lambda: [row["start"] for row in running.desk.lines(function) if row["kind"] == "receipt"][1:2] == ["asleep"],
        f"the receipt of the call that woke it beside {len(receipts)}",
    )


def test_after_keep_it_is_gone(running: Running) -> None:
    running.call("brief")
    asleep(running, "brief")
    until(lambda: not rows(running, "brief"), "zero instances")
    until(
        lambda: any(row.get("text") == "instance ended: reaped" for row in running.desk.lines("brief")),
        "the log to say why",
    )

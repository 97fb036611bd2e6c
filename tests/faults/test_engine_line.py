"""The line to the engine breaks while fnctl serves: what was made unseen is found, what ended unseen is replaced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fnctl.engine.connection import endpoint
from tests.faults import rig
from tests.faults.line import Fault, Line
from tests.faults.rig import Running
from tests.support.command import docker
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = """
functions:
  one: {path: node, runtime: node24, handler: harmless.handler}
  two: {path: python, runtime: python3.13, handler: harmless.handler}
"""


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with tempfile.TemporaryDirectory(prefix="line-") as folder:
        path = Path(folder) / "e.sock"
        with closing(Line(path, endpoint(os.environ).host.removeprefix("unix://"))) as line:
            yield line


@pytest.fixture(scope="module")
def fnctl(line: Line) -> Iterator[Running]:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        assert desk.fnctl("build").returncode == 0
        with rig.running(desk, warm=2, DOCKER_HOST=f"unix://{line.path}") as running:
            yield running
            running.audit()
            running.stop()


def test_a_container_that_was_made_without_an_answer_is_found_and_removed(fnctl: Running, line: Line) -> None:
    """Nor can the engine be asked for it by name right after: it is found by its label."""
    lost = [Fault(b"/containers/create", "drop"), Fault(b"/containers/fnctl-", "drop")]
    line.faults += lost
    assert fnctl.call("one").status == 200
    for fault in lost:
        assert fault.met.wait(60)
    fnctl.audit()
    assert fnctl.call("two").status == 200


def test_what_ends_while_the_line_is_cut_is_replaced(fnctl: Running, line: Line) -> None:
    assert fnctl.call("one").status == 200
    fnctl.audit()  # the pool is full: each of its members has a sandbox
    pooled = fnctl.instances(None)[0]["sandbox"]
    with line.down():
        docker("kill", pooled)
        for _ in range(5):
            assert fnctl.call("one").status == 200
        until(lambda: pooled not in sandboxes(fnctl), "the end to be seen without the engine")
    fnctl.audit()
    assert fnctl.call("two").status == 200


def sandboxes(fnctl: Running) -> set[str]:
    return {row["sandbox"] for row in fnctl.status()["instances"]}

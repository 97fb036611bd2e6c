"""What `fnctl run` in the foreground shows: what functions print, errors with their stack, a line a request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  js: {path: js, runtime: node24, handler: index.h, contract: event}
  py: {path: py, runtime: python3.13, handler: m.h, contract: event, idle_timeout: 1s, keep: 0s}
"""
NODE = """
exports.h = async (event) => {
  console.log('node says hello');
  if (event.path === '/bad') throw new Error('node broke');
  return 'fine';
};
"""
PYTHON = """
def h(event, context):
    print("python says hello")
    if event["path"] == "/bad":
        raise ValueError("python broke")
    return "fine"
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        for folder, name, text in (("js", "index.js", NODE), ("py", "m.py", PYTHON)):
            (desk.project / folder).mkdir()
            (desk.project / folder / name).write_text(text)
        with rig.running(desk, warm=1) as made:
            yield made
            made.stop()


@pytest.mark.parametrize(
    ("function", "language", "place"), [("js", "node", "index.js:4"), ("py", "python", 'm.py", line 5')]
)
def test_what_a_function_prints_its_requests_and_its_errors(
    running: Running, function: str, language: str, place: str
) -> None:
    assert running.call(function, "/good?x=1").status == 200
    assert running.call(function, "/bad").status >= 500

    def shown() -> str | None:
        said = running.said.read_text()
        return (
            said if re.search(rf"{function} 50\d GET /{function}/bad", said) and f"{language} broke" in said else None
        )

    try:
        said = until(shown, "the bad request to be shown")
    except AssertionError as late:
        raise AssertionError(f"{late}; it said:\n{running.said.read_text()}") from None
    clock = r"^\d\d:\d\d:\d\d"
    assert re.search(rf"{clock} {function} \| {language} says hello$", said, re.MULTILINE)
    request = rf"{clock} {function} 200 GET /{function}/good\?x=1 [\d.]+ ms \((base|runtime|cold) start\)$"
    assert re.search(request, said, re.MULTILINE)
    stack = [line for line in said.splitlines() if place in line]
    assert stack, said
    assert all(f" {function} | " in line for line in stack)
    errors = {row["name"]: row["errors"] for row in running.status()["functions"]}
    assert errors[function] == 1


def test_what_is_usual_is_not_shown(running: Running) -> None:
    until(lambda: any("reaped" in row.get("text", "") for row in running.desk.lines("py")), "an idle instance to end")
    running.call("js", "/after")
    until(lambda: "/after" in running.said.read_text(), "a later line")
    assert "instance ended" not in running.said.read_text()


def test_quiet() -> None:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT.replace("path: py", "path: js"))
        (desk.project / "js").mkdir()
        (desk.project / "js" / "index.js").write_text(NODE)
        (desk.project / "js" / "m.py").write_text(PYTHON)
        with rig.running(desk, "--quiet", warm=1) as running:
            assert running.call("js", "/good").status == 200
            running.audit()  # its receipt is written
            running.stop()
            said = running.said.read_text()
        assert "says hello" not in said
        assert "/good" not in said
        assert "stopped: all containers removed" in said


def test_setup_measures_the_machine() -> None:
    with rig.desk() as desk:
        done = desk.fnctl("setup", "--no-install")
        assert done.returncode == 0, done.stderr
        assert 1 <= json.loads((desk.home / "machine.json").read_text())["pace"] <= 32

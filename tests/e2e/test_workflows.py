"""Workflows as a user meets them: begun, shown, killed with the service and taken up, undone, retried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fnctl.cli.shapes import SHAPES
from fnctl.control import client
from tests.faults import rig
from tests.faults.rig import Desk, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILE = """functions:
  shop: {runtime: python3.13, handler: shop.main}
workflows:
  order: ./order.yaml
  tools:
    document: {dsl: '1.0.3', namespace: test, name: tools, version: '1.0.0'}
    do:
    - shell: {run: {shell: {command: 'echo "$1"; cat; id -u', arguments: [hi], stdin: '${ .said }'}}}
    - script: {run: {script: {language: js, code: 'console.log(process.argv[2].length)', arguments: ['${ . }']}}}
    - sub: {run: {workflow: {namespace: test, name: inner, version: latest, input: {n: '${ . }'}}}}
  inner:
    document: {dsl: '1.0.3', namespace: test, name: inner, version: '1.0.0'}
    do:
    - say: {call: http, with: {method: post, endpoint: 'http://shop.fnctl.internal/', body: {do: say, n: '${ .n }'}}}
  hears:
    document: {dsl: '1.0.3', namespace: test, name: hears, version: '1.0.0'}
    schedule: {on: {one: {with: {type: begin}}}}
    do:
    - more: {listen: {to: {one: {with: {type: go, data: '${ .n > 3 }'}}}}}
    - tells: {emit: {event: {with: {source: 'https://x.example', type: gone, data: '${ .[0] }'}}}}
"""
ORDER = """document: {dsl: '1.0.3', namespace: test, name: order, version: '1.0.0'}
input: {schema: {document: {type: object, required: [n]}}}
do:
- reserve: {call: shop, with: {do: reserve}, compensate: [{release: {call: shop, with: {do: release}}}]}
- nap: {wait: '${ $workflow.input.nap // "PT4S" }'}
- ship: {call: shop, with: {do: ship, n: '${ $workflow.input.n }'}}
"""
CODE = """def main(event, context):
    asked = event["json"]
    print("did", asked["do"], flush=True)
    if asked.get("n") == "fail":
        raise ValueError("no truck")
    return asked
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("workflows") / "source"
    source.mkdir()
    for name, text in (("fnctl.yaml", FILE), ("order.yaml", ORDER), ("shop.py", CODE)):
        (source / name).write_text(text)
    return source


@pytest.fixture(scope="module")
def served(source: Path) -> Iterator[Running]:
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def said(desk: Desk, *words: str) -> Any:
    ended = desk.fnctl("workflow", *words, "-o", "json")
    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    jsonschema.validate(printed, SHAPES[f"workflow {words[0]}"])
    return printed


def shown(desk: Desk, id: str) -> dict[str, Any]:
    """A run, as `workflow show -o json` prints it; without a command for each look."""
    return client.admin(desk.state / "admin.sock", "GET", f"/v1/runs/{id}")


def begun(desk: Desk, name: str, input: str) -> str:
    ended = desk.fnctl("workflow", "run", name, "-d", "--input", input)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def done(desk: Desk, what: str) -> int:
    return sum(1 for line in desk.lines("shop") if str(line.get("text", "")).startswith(f"did {what}"))


def test_processes_functions_and_other_workflows(served: Running) -> None:
    ended = served.desk.fnctl("workflow", "run", "tools", "--input", '{"said": "in"}')
    assert ended.returncode == 0, ended.stderr
    # "hi", "in" and the process's own user id, which is not root's
    assert json.loads(ended.stdout) == {"do": "say", "n": "11\n"}, ended.stdout


def test_what_is_refused_before_it_runs(served: Running) -> None:
    desk = served.desk
    for words, code, told in (
        (("order", "--input", "{}"), 2, "'n' is a required property"),
        (("ordr",), 2, "did you mean `order`?"),
        (("order", "--input", "{"), 2, "must be JSON"),
    ):
        ended = desk.fnctl("workflow", "run", *words)
        assert (ended.returncode, told in ended.stderr) == (code, True), ended.stderr


def test_events_begin_a_run_and_bring_it_on(served: Running, tmp_path: Path) -> None:
    desk = served.desk
    (call,) = json.loads(desk.fnctl("event", "send", "begin", "-o", "json").stdout)["calls"]
    until(lambda: shown(desk, call["id"])["steps"], "the step that listens")
    desk.fnctl("event", "send", "go", "-d", '{"n": 1}')
    assert shown(desk, call["id"])["state"] == "running"
    desk.fnctl("event", "send", "go", "-d", '{"n": 5}')
    until(lambda: shown(desk, call["id"])["state"] == "completed", "the run's end")
    assert said(desk, "show", call["id"])["output"]["data"] == {"n": 5}
    picture = tmp_path / "run.svg"
    assert desk.fnctl("workflow", "graph", call["id"], "--svg", str(picture)).returncode == 0
    assert 'class="completed"' in picture.read_text()
    assert "✓ more (listen)" in desk.fnctl("workflow", "graph", call["id"]).stdout


def test_a_run_that_fails_is_undone_and_cannot_go_on_behind_that(served: Running) -> None:
    desk = served.desk
    before = done(desk, "release")
    ended = desk.fnctl("workflow", "run", "order", "--input", '{"n": "fail"}')
    assert (ended.returncode, "no truck" in ended.stdout) == (1, True), ended.stdout
    until(lambda: done(desk, "release") == before + 1, "the reservation released")
    id = said(desk, "ls")["runs"][0]["id"]
    refused = desk.fnctl("workflow", "retry", id)
    assert (refused.returncode, "/do/0/reserve was undone" in refused.stderr) == (1, True), refused.stderr
    entries = said(desk, "history", id, "--io")["entries"]
    assert [each["type"] for each in entries if each.get("step") == "/do/0/reserve"] == ["begun", "completed", "undone"]
    assert any(each.get("output") == {"do": "reserve"} for each in entries)


def test_a_service_that_is_killed_goes_on_with_its_runs(source: Path) -> None:
    with rig.desk(source) as desk:
        with rig.running(desk, warm=1) as doomed:
            id = begun(desk, "order", '{"n": 1}')
            until(lambda: len(shown(desk, id)["steps"]) == 2, "the step that waits")
            until(lambda: done(desk, "reserve") == 1, "the line of the first step, which a kill may lose")
            doomed.process.kill()
            doomed.process.wait()
        until(lambda: not desk.containers(), "no container to be left")
        with rig.running(desk, warm=1) as again:
            until(lambda: shown(desk, id)["state"] == "completed", "the run's end")
            assert shown(desk, id)["output"] == {"do": "ship", "n": 1}
            until(lambda: done(desk, "ship") == 1, "the line of the last step")
            assert done(desk, "reserve") == 1  # and not again
            _checked_before_a_release(desk)
            again.stop()


def _checked_before_a_release(desk: Desk) -> None:
    id = begun(desk, "order", '{"n": 1, "nap": "PT1H"}')
    until(lambda: len(shown(desk, id)["steps"]) == 2, "the step that waits")
    (desk.project / "order.yaml").write_text(ORDER.replace("- nap", "- rest"))
    checked = desk.fnctl("workflow", "check", "--against-running")
    assert (checked.returncode, "step /do/1 was `nap`, is `rest`" in checked.stdout) == (1, True), checked.stdout
    assert desk.fnctl("workflow", "cancel", id).returncode == 0
    until(lambda: shown(desk, id)["state"] == "cancelled", "the run's end")
    until(lambda: done(desk, "release") == 1, "the line of the undoing")

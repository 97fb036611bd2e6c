"""Asynchronous calls and timers as a user meets them: on a service that runs, dies and runs again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import rig
from tests.faults.rig import Desk, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILE = """functions:
  work:
    runtime: node24
    handler: index.js
    async: {retries: 1, backoff: 100ms}
  once:
    runtime: python3.13
    handler: once.main
    model: ephemeral
    triggers:
      - timer: {cron: "0 3 * * *", timezone: Europe/Berlin}
      - event: {filter: "type = 'order.paid' AND INT(amount) > 100", path: /paid}
"""
NODE = """require('http').createServer((request, response) => {
  if (request.url === '/bad') response.statusCode = 500
  if (request.url === '/slow') return
  response.end(`attempt ${request.headers['x-fnctl-attempt']}\\n`)
}).listen(3000)
"""
PYTHON = """def main(event, context):
    return "on time"
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("later") / "source"
    folder.mkdir()
    for name, text in (("fnctl.yaml", FILE), ("index.js", NODE), ("once.py", PYTHON)):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def served(source: Path) -> Iterator[Running]:
    with rig.desk(source) as desk, rig.running(desk, "--clock", "virtual", warm=1) as running:
        yield running
        running.stop()


def said(desk: Desk, *words: str) -> Any:
    ended = desk.fnctl(*words, "-o", "json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def row(desk: Desk, function: str) -> dict[str, int]:
    rows = {each["function"]: each for each in said(desk, "queue", "ls")["queues"]}
    return dict(rows[function])


def accept(desk: Desk, *words: str) -> str:
    ended = desk.fnctl("invoke", "work", "--async", *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_a_call_made_later_is_done_and_shown(served: Running) -> None:
    desk = served.desk
    shown = desk.fnctl("queue", "show", "--wait", accept(desk, "-d", "x"))
    assert shown.returncode == 0, shown.stderr
    call = json.loads(shown.stdout)
    assert (call["state"], call["result"]["body"]) == ("done", "attempt 1\n")
    until(lambda: any(line.get("id") == call["id"] for line in desk.lines("work")), "the call in the logs")


def test_a_call_that_fails_is_dead_until_it_is_made_again(served: Running) -> None:
    desk = served.desk
    id = accept(desk, "--path", "/bad")
    said(desk, "clock", "advance", "10s")
    assert desk.fnctl("queue", "show", id).returncode == 1
    (dead,) = said(desk, "queue", "peek", "work", "--state", "dead")["calls"]
    assert (dead["id"], dead["attempts"], dead["result"]["status"]) == (id, 2, 500)
    assert "status 500" in desk.fnctl("queue", "peek", "work", "--state", "dead").stdout
    assert desk.fnctl("queue", "redrive", "work").returncode == 0
    said(desk, "clock", "advance", "10s")
    assert desk.fnctl("queue", "purge", "work").stderr.startswith("1 of work purged")
    assert row(desk, "work")["drift"] == 0


def test_a_call_waits_for_its_time_and_can_be_cancelled_until_then(served: Running) -> None:
    desk = served.desk
    kept, dropped = accept(desk, "--delay", "2h"), accept(desk, "--delay", "2h")
    assert desk.fnctl("queue", "cancel", dropped).returncode == 0
    said(desk, "clock", "advance", "3h")
    ended = desk.fnctl("queue", "show", kept)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(desk.fnctl("queue", "show", dropped).stdout)["state"] == "cancelled"
    late = desk.fnctl("queue", "cancel", kept)
    assert (late.returncode, "it is done" in late.stderr) == (1, True)


def test_a_timer_calls_each_night_of_a_month_in_a_moment(served: Running) -> None:
    desk = served.desk
    before = sum(each["done"] for each in said(desk, "queue", "ls")["queues"] if each["function"] == "once")
    clock = said(desk, "clock", "advance", "30d")
    assert [each["function"] for each in clock["timers"]] == ["once"]
    after = row(desk, "once")
    assert (after["done"] - before, after["dead"], after["drift"]) == (30, 0, 0)
    until(lambda: len([line for line in desk.lines("once") if "verdict" in line]) >= after["done"], "a receipt a call")


def test_an_event_calls_the_functions_that_ask_for_it(served: Running) -> None:
    desk = served.desk
    (call,) = said(desk, "event", "send", "order.paid", "-a", "amount=120", "-d", '{"order": 7}')["calls"]
    assert call["function"] == "once"
    shown = desk.fnctl("queue", "show", "--wait", call["id"])
    assert json.loads(shown.stdout)["result"]["body"] == "on time"
    assert said(desk, "event", "send", "order.paid", "-a", "amount=20") == {"calls": []}
    event = {"Ce-Id": "9", "Ce-Source": "/shop", "Ce-Type": "order.paid", "Ce-Specversion": "1.0", "Ce-Amount": "101"}
    answers = [served.call("_fnctl", "/events", method="POST", headers=event) for _ in range(2)]
    assert [answer.status for answer in answers] == [202, 202]
    assert answers[0].json == answers[1].json


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("event", "send", "order.paid", "-a", "Amount"), 2, "is not an attribute"),
        (("queue", "show", "0" * 26), 2, "no asynchronous call has the id"),
        (("queue", "peek", "nobody"), 2, "no asynchronous call of nobody was ever accepted"),
        (("queue", "peek", "work", "--state", "lost"), 2, "`lost` is not a state"),
        (("clock", "advance", "soon"), 2, "not a duration"),
        (("invoke", "work", "--delay", "1s"), 2, "--delay needs --async"),
    ],
)
def test_what_cannot_be_is_said(served: Running, words: tuple[str, ...], code: int, message: str) -> None:
    ended = served.desk.fnctl(*words)
    assert (ended.returncode, message in ended.stderr) == (code, True), ended.stderr


def test_without_a_service_nothing_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text(NODE)
    with rig.desk(tmp_path) as desk:
        ended = desk.fnctl("invoke", "source", "--async")
    assert ended.returncode != 0
    assert "fnctl run" in ended.stderr


def test_what_was_accepted_outlives_a_kill(source: Path) -> None:
    """One call runs and one waits when fnctl is killed: the next run makes both."""
    with rig.desk(source) as desk:
        with rig.running(desk, warm=1) as doomed:
            running, waiting = accept(desk, "--path", "/slow"), accept(desk, "--delay", "2s")
            until(lambda: row(desk, "work")["running"] == 1, "the call to run")
            doomed.process.kill()
            doomed.process.wait()
        until(lambda: not desk.containers(), "no container to be left")
        (desk.project / "index.js").write_text(NODE.replace("=== '/slow'", "=== '/never'"))
        with rig.running(desk, warm=1) as again:
            for id, attempts in ((running, 2), (waiting, 1)):
                call = json.loads(desk.fnctl("queue", "show", "--wait", id).stdout)
                assert (call["state"], call["attempts"]) == ("done", attempts)
            assert row(desk, "work")["drift"] == 0
            again.stop()

"""The kit for users' tests: workflows with stand-ins, moved through time, told events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fnctl import config
from fnctl.cli.main import main
from fnctl.errors import UsageError
from fnctl.testing import Failure, Kit
from tests.unit.test_templates import RUNTIMES

FILE = """functions:
  mail: {runtime: python3.13, handler: mail.main}
  pay: {runtime: python3.13, handler: pay.main}
workflows:
  invoice:
    document: {dsl: '1.0.3', namespace: test, name: invoice, version: '1.0.0'}
    do:
    - first: {call: mail, with: {subject: Your invoice}}
    - month: {wait: {days: 30}}
    - again: {call: mail, with: {subject: A reminder}}
    - paid: {listen: {to: {one: {with: {type: paid}}}}}
    - done: {set: {paid: '${ .[0].amount }'}}
  pays:
    document: {dsl: '1.0.3', namespace: test, name: pays, version: '1.0.0'}
    do:
    - try:
        try: [{pay: {call: pay, with: {amount: 7}}}]
        catch: {errors: {with: {status: 503}}, retry: {delay: PT10M, limit: {attempt: {count: 2}}}}
    - tell: {emit: {event: {with: {source: 'https://example.org', type: paid, data: '${ . }'}}}}
  nightly:
    document: {dsl: '1.0.3', namespace: test, name: nightly, version: '1.0.0'}
    schedule: {cron: '0 3 * * *'}
    do:
    - look: {call: http, with: {method: get, endpoint: 'https://example.org/rates'}}
    - tools: {run: {shell: {command: date}}}
"""


def written(folder: Path) -> None:
    (folder / "fnctl.yaml").write_text(FILE)
    for name in ("mail", "pay"):
        (folder / f"{name}.py").write_text("def main(event, context): ...\n")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    written(tmp_path)
    made = Kit(config.load(tmp_path, environ={}, runtimes=RUNTIMES))
    made.open()
    yield made
    made.close()


def test_a_month_passes_and_an_event_ends_the_run(kit: Kit) -> None:
    mail, began = kit.mock("mail", {"sent": True}), kit.now
    kit.mock_http("https://example.org/", {})  # the schedule begins its runs meanwhile
    kit.mock_process("")
    run = kit.start("invoice")
    assert [asked["subject"] for asked in mail.calls] == ["Your invoice"]
    kit.advance("29d")
    assert (run.state, len(mail.calls)) == ("running", 1)
    kit.advance("1d")
    assert [asked["subject"] for asked in mail.calls] == ["Your invoice", "A reminder"]
    assert (kit.now - began).days == 30
    kit.publish("unpaid", {"amount": 1})
    with pytest.raises(AssertionError, match="the run is running, and not completed: \\['paid: waiting'\\]"):
        _ = run.output
    kit.publish("paid", {"amount": 7})
    assert run.output == {"paid": 7}
    assert [step["name"] for step in run.steps] == ["first", "month", "again", "paid", "done"]


def test_answers_one_after_the_other_and_what_the_workflow_publishes(kit: Kit) -> None:
    pay = kit.mock("pay", Failure(503), lambda asked: {"receipt": asked["amount"]})
    run = kit.start("pays")
    assert (run.state, pay.calls) == ("running", [{"amount": 7}])
    kit.advance("10m")
    assert (run.state, len(pay.calls)) == ("completed", 2)
    (event,) = kit.published
    assert (event["type"], event["data"]) == ("paid", {"receipt": 7})


def test_a_run_that_fails_says_how(kit: Kit) -> None:
    kit.mock("pay", Failure(402, "no money"))
    run = kit.start("pays")
    assert (run.state, (run.error or {})["status"]) == ("faulted", 402)
    with pytest.raises(AssertionError, match="the function pay answered 402: no money"):
        _ = run.output


def test_schedules_addresses_and_processes(kit: Kit) -> None:
    rates, process = kit.mock_http("https://example.org/", {"eur": 2}), kit.mock_process("today\n")
    kit.advance("2d")
    assert [run.state for run in kit.runs("nightly")] == ["completed", "completed"]
    assert ([asked.method for asked in rates.calls], [asked.what for asked in process.calls]) == (
        ["GET", "GET"],
        ["date", "date"],
    )


def test_what_has_no_stand_in_fails_the_test_whatever_the_workflow_catches(kit: Kit) -> None:
    with pytest.raises(AssertionError, match=r'needs the function `mail`, and the test has no stand-in: mock\("mail"'):
        kit.start("invoice")


def test_a_stand_in_that_raises_fails_the_test(kit: Kit) -> None:
    def wrong(asked: Any) -> Any:
        raise ZeroDivisionError("in the test")

    kit.mock("mail", wrong)
    with pytest.raises(ZeroDivisionError, match="in the test"):
        kit.start("invoice")


def test_names_and_durations_that_are_none(kit: Kit) -> None:
    with pytest.raises(UsageError, match="the project has no function `mial`"):
        kit.mock("mial")
    with pytest.raises(UsageError, match="`soon` is not a duration"):
        kit.advance("soon")


def test_the_verb_finds_the_fixtures_and_tells_pytest_s_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["test"]) == 1
    assert "pytest found no tests" in capfd.readouterr().err
    (tmp_path / "test_it.py").write_text(
        "def test_good(workflows, project):\n"
        "    workflows.mock('mail', {})\n"
        "    assert workflows.start('invoice').state == 'running'\n"
        "    assert project.name is None\n\n"
        "def test_bad(workflows):\n    assert workflows.runs('invoice') == [1]\n"
    )
    assert main(["test", "--", "-q", "-k", "good"]) == 0
    assert "1 passed, 1 deselected" in capfd.readouterr().out
    assert main(["test", "--", "-q"]) == 1
    assert "1 failed, 1 passed" in capfd.readouterr().out

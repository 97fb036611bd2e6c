"""Timers and `async` in fnctl.yaml: what they become, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.model import AsyncRule, EventTrigger, Missed, Overlap, TimerTrigger
from tests.unit.config.test_config import TODOS, load, problem


def test_timers_of_each_kind_arrive_with_their_rules(tmp_path: Path) -> None:
    text = TODOS + (
        "    triggers:\n"
        "      - timer: {cron: '0 3 * * *', timezone: Europe/Berlin, missed: all, overlap: replace, name: nightly}\n"
        "      - timer: {every: 5m, path: /tick}\n"
        "      - timer: {at: '2027-01-31T09:00:00Z', missed: skip, overlap: allow}\n"
        "      - http: {path: /t}\n"
    )
    (function,) = load(tmp_path, text).functions
    assert function.timers == (
        TimerTrigger("0 3 * * *", "Europe/Berlin", name="nightly", missed=Missed.ALL, overlap=Overlap.REPLACE),
        TimerTrigger(every_s=300.0, path="/tick"),
        TimerTrigger(at=1801386000.0, missed=Missed.SKIP, overlap=Overlap.ALLOW),
    )
    assert [route.path for route in function.routes] == ["/t"]


def test_the_rule_of_deferred_calls_arrives(tmp_path: Path) -> None:
    text = TODOS + "    async: {retries: 5, backoff: 10s, max_age: 7d, concurrency: 1, backlog: 50}\n"
    (function,) = load(tmp_path, text).functions
    assert function.deferred == AsyncRule(5, 10.0, 7 * 86_400.0, 1, 50)


@pytest.mark.parametrize(
    ("timer", "said", "hint"),
    [
        ("{cron: '0 0 30 2 *'}", "fnctl.yaml:7: `0 0 30 2 *`", "minute, hour, day, month, weekday"),
        ("{cron: '* * *'}", "fnctl.yaml:7: `* * *` is no cron expression", "minute, hour"),
        ("{cron: '0 3 * * *', timezone: Europe/Berlim}", "`Europe/Berlim` is not a time zone", "`Europe/Berlin`"),
        ("{cron: '0 3 * * *', every: 5m}", "has `cron` and `every`", "one of `cron`, `every` and `at`"),
        ("{}", "has no time", "one of `cron`, `every` and `at`"),
        ("{every: 10ms}", "at least 1s", "loop"),
        ("{every: 5}", "not a duration", "500ms"),
        ("{at: tomorrow}", "`tomorrow` is not a time", "2027-01-31T09:00:00Z"),
        ("{at: '2027-01-31T09:00:00'}", "has no offset", "Z for UTC"),
        ("{every: 5m, missed: some}", "cannot be `some`", "all"),
        ("{every: 5m, zone: UTC}", "unknown key `zone`", "did you mean `timezone`?"),
    ],
)
def test_a_timer_that_cannot_be_is_told_with_its_line(tmp_path: Path, timer: str, said: str, hint: str) -> None:
    found = problem(tmp_path, TODOS + f"    triggers:\n      - timer: {timer}\n")
    assert said in found.message
    assert hint in (found.hint or found.message)


def test_each_source_is_an_entry_of_its_own(tmp_path: Path) -> None:
    both = TODOS + "    triggers:\n      - {http: {path: /t}, timer: {every: 5m}}\n"
    assert "needs one of `http`, `timer`, `event`" in problem(tmp_path, both).message


def test_events_arrive_with_their_filters_and_a_wrong_one_is_told_with_its_column(tmp_path: Path) -> None:
    good = TODOS + "    triggers:\n      - event: {filter: \"type = 'paid'\", path: /paid}\n      - event: {}\n"
    (function,) = load(tmp_path, good).functions
    assert function.events == (EventTrigger("type = 'paid'", "/paid"), EventTrigger())
    found = problem(tmp_path, TODOS + "    triggers:\n      - event: {filter: type == 1}\n")
    assert "fnctl.yaml:7: the filter `type == 1` is no CESQL expression: column 7" in found.message

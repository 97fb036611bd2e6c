"""The times of timers: cron over changes of clocks, fixed periods, one time."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from fnctl import schedule
from fnctl.model import TimerTrigger


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(timer: TimerTrigger, after: str, count: int) -> list[str]:
    found = itertools.islice(schedule.occurrences(timer, at(after)), count)
    return [datetime.fromtimestamp(each, UTC).strftime("%m-%dT%H:%M") for each in found]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", "2026-03-28T00:00+01:00", ["03-28T01:30", "03-29T01:00", "03-30T00:30"]),  # 2:30 is skipped
        ("30 2 * * *", "2026-10-24T00:00+02:00", ["10-24T00:30", "10-25T00:30", "10-26T01:30"]),  # 2:30 comes twice
        ("0 * * * *", "2026-10-25T01:30+02:00", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),  # hourly: each hour
        ("0 9 * * MON-FRI", "2026-11-27T10:00+01:00", ["11-30T08:00", "12-01T08:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00+01:00", ["02-28T23:00"]),
    ],
)
def test_cron_is_debians_in_its_own_time_zone(cron: str, after: str, expected: list[str]) -> None:
    timer = TimerTrigger(cron=cron, timezone="Europe/Berlin")
    assert times(timer, after, len(expected)) == expected


def test_a_period_is_counted_from_the_epoch_so_that_a_restart_changes_nothing() -> None:
    timer = TimerTrigger(every_s=300)
    assert times(timer, "2026-11-29T12:01:07+00:00", 2) == ["11-29T12:05", "11-29T12:10"]
    assert times(timer, "2026-11-29T12:05:00+00:00", 1) == ["11-29T12:10"]


def test_one_time_comes_once() -> None:
    timer = TimerTrigger(at=at("2026-11-29T12:00+00:00"))
    assert list(schedule.occurrences(timer, at("2026-11-29T11:00+00:00"))) == [timer.at]
    assert list(schedule.occurrences(timer, at("2026-11-29T12:00+00:00"))) == []


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("* * * *", "no cron expression"),
        ("61 * * * *", "no cron expression"),
        ("0 0 30 2 *", "no cron expression|never comes"),
        ("every day", "no cron expression"),
    ],
)
def test_what_is_no_cron_or_never_comes_is_said(cron: str, problem: str) -> None:
    said = schedule.cron_problem(cron)
    assert said is not None
    assert any(words in said for words in problem.split("|"))


def test_a_good_cron_has_no_problem() -> None:
    assert schedule.cron_problem("*/5 9-17 * * MON-FRI") is None
    assert schedule.cron_problem("0 0 L * *") is None


CRONS = ("* * * * *", "*/7 1-4 * * *", "30 2 * * *", "0 0 * * *", "59 23 * * *", "30 0,1,23 1,L * *", "*/20 30 2 * * *")
ZONES = ("Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca", "America/Sao_Paulo")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", CRONS)
def test_times_by_the_day_are_those_that_come_one_after_the_other(cron: str, zone: str) -> None:
    """Also where clocks change at midnight, by half an hour, or for a month."""
    count = 200 if cron.startswith("*/7") or cron == CRONS[0] else 8
    for start in (
        "2018-02-16T21:10+00:00",
        "2018-11-02T22:59+00:00",
        "2026-03-28T20:00+00:00",
        "2026-04-04T00:00+00:00",
    ):
        moments = CronSim(cron, datetime.fromisoformat(start).astimezone(ZoneInfo(zone)))
        expected = [moment.timestamp() for moment in itertools.islice(moments, count)]
        timer = TimerTrigger(cron=cron, timezone=zone)
        assert list(itertools.islice(schedule.occurrences(timer, at(start)), count)) == expected

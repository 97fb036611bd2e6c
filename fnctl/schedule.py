"""When a timer is due: cron with time zones, every so often, or once. Pure.

Cron is Debian's, as the cronsim library has it: five fields (or six, seconds first), names, `L`, `#`; where clocks
change, a job that runs less often than hourly runs once and never twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from fnctl.model import TimerTrigger


def occurrences(timer: TimerTrigger, after: float) -> Iterator[float]:
    """All times later than `after`, in order; without an end, mostly."""
    if timer.at is not None:
        if timer.at > after:
            yield timer.at
    elif timer.every_s is not None:
        # Counted from the epoch: a restart changes nothing.
        number = math.floor(after / timer.every_s) + 1
        while True:
            yield number * timer.every_s
            number += 1
    else:
        assert timer.cron is not None
        yield from _cron_times(timer.cron, ZoneInfo(timer.timezone), after)


def _cron_times(cron: str, zone: ZoneInfo, after: float) -> Iterator[float]:
    """As cronsim gives them, one after the other where clocks change, and by the day everywhere else: a year of
    minutes takes a tenth of a second, not five."""
    start = datetime.fromtimestamp(math.floor(after), UTC).astimezone(zone)
    while True:
        moments = CronSim(cron, start)
        first = next(moments, None)
        while first is not None and not _is_plain(day := first.date(), zone):
            yield first.timestamp()
            first = next(moments, None)
        if first is None:
            return
        midnight = datetime.combine(day, time(), zone).timestamp()
        begin = first.timestamp() - midnight
        yield from (midnight + second for second in _seconds(moments) if second >= begin)
        start = datetime.combine(day, time(23, 59, 59), zone)


def _is_plain(day: date, zone: ZoneInfo) -> bool:
    """Clocks do not change on this day, nor on those beside it."""
    midnights = (datetime.combine(day + timedelta(days=shift), time(), zone) for shift in (-1, 0, 1, 2))
    return len({each.utcoffset() for each in midnights}) == 1


def _seconds(moments: CronSim) -> Iterator[int]:
    """Of a day on which it comes, in order: where clocks do not change, all such days are alike."""
    minutes, seconds = sorted(moments.minutes), sorted(moments.seconds)
    for hour in sorted(moments.hours):
        for minute in minutes:
            for second in seconds:
                yield hour * 3600 + minute * 60 + second


def cron_problem(cron: str) -> str | None:
    """What is wrong with an expression: its grammar, or that it never comes."""
    try:
        first = next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)), None)
    except CronSimError as error:
        return f"`{cron}` is no cron expression: {error}"
    return f"`{cron}` never comes: there is no such day" if first is None else None

"""A timer's entry as a trigger: what its times are, or why they are none."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import available_timezones

from fnctl import schedule
from fnctl.config.document import Document, Loc
from fnctl.config.problems import did_you_mean
from fnctl.config.trigger_keys import TimerEntry
from fnctl.model import TimerTrigger


def timer_of(entry: TimerEntry, document: Document, loc: Loc) -> TimerTrigger | None:
    """None where something is wrong; the document's problems then say what."""
    before = len(document.problems)
    given = [key for key in ("cron", "every", "at") if getattr(entry, key) is not None]
    if len(given) != 1:
        found = f"has {' and '.join(f'`{key}`' for key in given)}" if given else "has no time"
        document.problem(loc, f"the timer {found}", "give it one of `cron`, `every` and `at`")
    if entry.cron is not None:
        _check_cron(entry, document, loc)
    if entry.every is not None and entry.every < 1:
        document.problem(
            (*loc, "every"), "a timer's `every` is at least 1s", "for shorter intervals, use a loop in the function"
        )
    at = _moment(entry.at, document, (*loc, "at")) if entry.at is not None else None
    if len(document.problems) > before:
        return None
    return TimerTrigger(
        cron=entry.cron,
        timezone=entry.timezone,
        every_s=entry.every,
        at=at,
        name=entry.name or "",
        path=entry.path,
        missed=entry.missed,
        overlap=entry.overlap,
    )


def _check_cron(entry: TimerEntry, document: Document, loc: Loc) -> None:
    assert entry.cron is not None
    if (problem := schedule.cron_problem(entry.cron)) is not None:
        document.problem((*loc, "cron"), problem, "minute, hour, day, month, weekday: `0 3 * * *` is 3:00 each day")
    known = available_timezones()
    if entry.timezone not in known:
        text = f"`{entry.timezone}` is not a time zone that this machine knows"
        document.problem((*loc, "timezone"), text, _near(entry.timezone, known))


def _near(name: str, known: set[str]) -> str:
    hint = did_you_mean(name, known)
    return hint if hint.startswith("did you") else "use an IANA name such as Europe/Berlin"


def _moment(text: str, document: Document, loc: Loc) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        document.problem(loc, f"`{text}` is not a time", "write it like 2027-01-31T09:00:00Z")
        return None
    if moment.tzinfo is None:
        document.problem(loc, f"`{text}` has no offset", f"write {text}Z for UTC, or {text}+02:00")
        return None
    return moment.timestamp()

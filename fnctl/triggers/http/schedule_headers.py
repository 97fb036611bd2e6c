"""The headers that say when to make a call: `X-Fnctl-Delay`, `-At`, `-Group` and `-Dedup`. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from fnctl.config.units import duration_s
from fnctl.errors import UsageError
from fnctl.triggers.http.call import NOW, When

WORD_CHARS = 128  # of a group or a deduplication word
_WORD = re.compile(rf"[!-~]{{1,{WORD_CHARS}}}")
_FIELD = re.compile(rb"(?i)\r\nx-fnctl-(delay|at|group|dedup):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)")


class Timing(NamedTuple):
    """What a head says, before it is known what time it is. At most one of `delay_s` and `at`."""

    delay_s: float | None = None
    at: float | None = None
    group: str | None = None
    dedup: str | None = None

    def when(self, now: float) -> When:
        return When(self.at if self.delay_s is None else now + self.delay_s, self.group, self.dedup)


_AT_ONCE = Timing()


def timing_of(raw: bytes) -> Timing:
    """Of a head as it came. Raises UsageError."""
    said = {name.lower().decode(): value.decode("utf-8", "replace") for name, value in _FIELD.findall(raw)}
    if not said:
        return _AT_ONCE
    if "delay" in said and "at" in said:
        raise UsageError("X-Fnctl-Delay and X-Fnctl-At cannot be used together", hint="send one of them")
    for key in ("group", "dedup"):
        if key in said and not _WORD.fullmatch(said[key]):
            raise UsageError(
                f"X-Fnctl-{key.title()} cannot be {said[key][:80]!r}",
                hint=f"up to {WORD_CHARS} visible ASCII characters, without spaces",
            )
    at = moment(said["at"], "X-Fnctl-At") if "at" in said else None
    return Timing(_delay_s(said["delay"]) if "delay" in said else None, at, said.get("group"), said.get("dedup"))


def when_of(raw: bytes, now: float) -> When:
    """The same, now."""
    timing = timing_of(raw)
    return NOW if timing is _AT_ONCE else timing.when(now)


def _delay_s(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"X-Fnctl-Delay: {error}") from error


def moment(text: str, what: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, with its offset. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{what} cannot be {text[:80]!r}", hint="a time like 2027-01-31T09:00:00Z") from error
    if found.tzinfo is None:
        raise UsageError(f"{what}: {text} has no offset", hint=f"write {text}Z for UTC, or {text}+02:00")
    return found.timestamp()

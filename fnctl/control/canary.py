"""A version on trial: some calls go to it, and what becomes of them beside those of the version that serves decides.

`judge` is pure. `Trial` counts, and ends once: by time, by calls, by what `judge` says, or by hand.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from fnctl.errors import FnctlError
from fnctl.model import SiteKey

SERVER_ERROR = 500
LEAST_ERRORS = 5  # fewer are chance
LEAST_CALLS = 100  # of each version, before their 99th percentiles say anything
KEPT = 2000  # durations of each version, the newest
# Of the times that a version's p99 may grow to: below that, the clock and the scheduler of a busy machine tell more.
NOISE_S = 0.01


class CanaryFailed(FnctlError):
    """A version was on trial and was found worse."""

    code = "canary_failed"
    http_status = 409


@dataclass(frozen=True, slots=True)
class Rules:
    """`share` of calls for the new version, of 1. It takes over after `for_s` seconds or `calls` calls of its own,
    whichever comes first; None: not by that. `errors`: how much more of its calls may fail than of the old one's, of 1.
    `slower`: how many times the old one's p99 its own may be."""

    share: float
    for_s: float | None
    calls: int | None
    errors: float = 0.01
    slower: float = 1.5


@dataclass(slots=True)
class Sample:
    """What is known of one version's calls. An error is a status of 500 or more, whoever gave it."""

    calls: int = 0
    errors: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))  # seconds in the function

    def add(self, status: int, seconds: float) -> None:
        self.calls += 1
        if status >= SERVER_ERROR:
            self.errors += 1
        else:
            self.times.append(seconds)

    @property
    def ratio(self) -> float:
        return self.errors / self.calls if self.calls else 0.0

    @property
    def p99_s(self) -> float:
        ordered = sorted(self.times)
        return ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else 0.0

    def __str__(self) -> str:
        return f"{self.calls} calls, {self.errors} errors, p99 {self.p99_s * 1000:.1f} ms"


def judge(old: Sample, new: Sample, rules: Rules) -> str | None:
    """Why the new version is worse; None where nothing says that it is."""
    if new.errors >= LEAST_ERRORS and new.ratio > old.ratio + rules.errors:
        return f"{new.ratio:.1%} of its calls failed, {old.ratio:.1%} of the others"
    if min(len(new.times), len(old.times)) >= LEAST_CALLS:
        before, now = old.p99_s, new.p99_s
        if now > max(before * rules.slower, before + NOISE_S):
            return f"its p99 is {now * 1000:.1f} ms, {before * 1000:.1f} ms that of the others"
    return None


class Trial:
    """On the event loop's thread. `seen` is told of each call; `over` comes once, with why it failed or None."""

    def __init__(self, rules: Rules, sites: frozenset[SiteKey]) -> None:
        """`sites`: of the new version, as its share of calls asks for them."""
        self.rules = rules
        self.old, self.new = Sample(), Sample()
        self._sites = sites
        self.over: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    def seen(self, site: SiteKey, status: int, seconds: float) -> None:
        if self.over.done():
            return
        if site not in self._sites:
            if not site.alias:  # what an alias stands for is no measure of the version that serves
                self.old.add(status, seconds)
            return
        self.new.add(status, seconds)
        if _is_worth_a_look(self.new.calls, status) and (why := judge(self.old, self.new, self.rules)):
            self.end(why)
        elif self.rules.calls is not None and self.new.calls >= self.rules.calls:
            self.end(judge(self.old, self.new, self.rules))

    def end(self, why: str | None) -> None:
        if not self.over.done():
            self.over.set_result(why)

    async def wait(self, tell: Callable[[str], None]) -> str | None:
        """Until it is over; `tell` gets a line for its story."""
        tell(f"on trial with {self.rules.share:.0%} of calls")
        try:
            async with asyncio.timeout(self.rules.for_s):
                why = await asyncio.shield(self.over)
        except TimeoutError:
            why = judge(self.old, self.new, self.rules)
            self.end(why)
        tell(f"this version: {self.new}; the others: {self.old}")
        tell("passed" if why is None else f"failed: {why}")
        return why


def _is_worth_a_look(calls: int, status: int) -> bool:
    """At each error, and now and then: percentiles are sorted for."""
    return status >= SERVER_ERROR or calls % 20 == 0

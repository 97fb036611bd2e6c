"""Calls that are made later, functions that call functions, and time: what each costs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from statistics import median

from bench.projects import CLOCK, RELAY, TINY
from fnctl.bench import calls, load
from fnctl.bench.calls import Target
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.load import Load, Outcome
from fnctl.bench.measure import Comparison, Measure, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.bench.stats import percentile
from fnctl.clock import VirtualClock
from fnctl.model import Project, TimerTrigger
from fnctl.schedule import occurrences

CONNECTIONS = 64
BATCH = 100  # calls of which one sample is the median, or the p99
LATER = (("Prefer", "respond-async"), ("Content-Length", "0"))
YEAR_S = 365 * 86_400.0
PENDING_S = 600.0

_ACCEPTING = f"{CONNECTIONS} connections post with `Prefer: respond-async` what is due in an hour; each 202 is on disk"
ACCEPTED = Question("deferred-accepted", "deferred calls that are accepted a second", _ACCEPTING, "calls/s", better=1)
ACCEPTED_P99 = Question("deferred-accepted-p99", "p99 until a deferred call is accepted", _ACCEPTING, "ms")
_ENTERED = (
    f"one call after the other, a sample is of {BATCH}: from sending the request, which is answered once it is on disk,"
    " to the first line of the warm handler (Node)"
)
STARTED = Question("deferred-start", "from a deferred call's request to its handler, median", _ENTERED, "ms")
STARTED_P99 = Question("deferred-start-p99", "from a deferred call's request to its handler, p99", _ENTERED, "ms")
CALL = Question(
    "call-added",
    "a call from one function to another, beside one from outside",
    f"a connection that is kept open, one warm call after the other, a sample is the median of {BATCH}; in turns: from"
    " a function (Node), and from the host",
    "ms",
    over="from a function − from the host",
    compare=Comparison.DIFFERENCE,
)
_PENDING = "a million delayed calls in the store on disk, of which 5,000 come due in 5 s; a process of its own"
PENDING_MB = Question("pending-memory", "memory with a million calls that wait for their time", _PENDING, "MB")
PENDING_LATE = Question("pending-late", "p99 by which a call that waited comes late, among a million", _PENDING, "ms")
CRON_YEAR = Question(
    "cron-year",
    "a year of one cron a minute, by the virtual clock",
    "all 525,600 times found and rung, each at its own time; without the calls that are made then",
    "s",
)


def ask_all(
    ask: Callable[[Question, Callable[[], Measure]], None], project: Project, duration_s: float, n: int
) -> None:
    for rate in (ACCEPTED, ACCEPTED_P99):
        ask(rate, partial(accepted, rate, project, duration_s, n))
    for start in (STARTED, STARTED_P99):
        ask(start, partial(started, start, project, n))
    ask(CALL, lambda: called(CALL, project, n))
    for waiting in (PENDING_MB, PENDING_LATE):
        ask(waiting, partial(pending, waiting))
    ask(CRON_YEAR, lambda: cron_year(CRON_YEAR, n))


def accepted(ask: Question, project: Project, duration_s: float, n: int) -> Measure:
    def sample(outcome: Outcome) -> float:
        if outcome.failed or outcome.p99_ms is None:
            raise Mismatch(f"{outcome.failed} requests failed")
        return outcome.rps if ask is ACCEPTED else outcome.p99_ms

    with running(project, Serving((CLOCK,))) as stack:
        target = _posting(stack, CLOCK, ("X-Fnctl-Delay", "1h"))
        return _measured(ask, lambda: sample(load.apply(Load(target, CONNECTIONS, duration_s))), n)


def started(ask: Question, project: Project, n: int) -> Measure:
    with running(project, Serving((CLOCK,))) as stack:
        stack.warm_up(stack.target(CLOCK))
        target = _posting(stack, CLOCK)

        def sample() -> float:
            times = [_until_entered(target) for _ in range(BATCH)]
            return median(times) if ask is STARTED else percentile(times, 0.99)

        return _measured(ask, sample, n)


def _posting(stack: Stack, function: str, *fields: tuple[str, str]) -> Target:
    plain = stack.target(function)
    return Target(plain.address, plain.host, plain.path, "POST", (*LATER, *fields))


def _until_entered(target: Target) -> float:
    """Milliseconds. What it comes to is asked for until it is there."""
    began = time.monotonic_ns()
    answer = calls.call(target)
    if answer.status != 202:
        raise Mismatch(f"answered {answer.status}")
    where = Target(target.address, target.host, answer.json()["url"])
    while (said := calls.call(where).json())["state"] in ("waiting", "running"):
        time.sleep(0.001)
    entered = int(said["result"]["body"])
    return (entered - began) / 1e6


def called(ask: Question, project: Project, n: int) -> Measure:
    with running(project, Serving((RELAY, TINY))) as stack:
        outer, relay = stack.target(TINY), stack.target(RELAY, f"/?n={BATCH}")
        for each in (outer, relay):
            stack.warm_up(each)
        with calls.connect(outer.address) as sock:

            def from_the_host() -> float:
                times = []
                for _ in range(BATCH):
                    began = time.perf_counter()
                    calls.exchange(sock, outer.request())
                    times.append((time.perf_counter() - began) * 1000)
                return median(times)

            def from_a_function() -> float:
                times: list[float] = calls.call(relay).json()
                return median(times) / 1000

            series = interleave({"from a function": from_a_function, "from the host": from_the_host}, n)
    return Measure(ask, tuple(series))


@cache
def _pending() -> dict[str, float]:
    """Once for both questions: filling the store takes most of its time."""
    ended = subprocess.run([sys.executable, "-m", "bench.pending"], capture_output=True, text=True, timeout=PENDING_S)
    if ended.returncode:
        raise Mismatch(f"bench.pending failed: {ended.stderr.strip()[-300:]}")
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def pending(ask: Question) -> Measure:
    return _measured(ask, lambda: _pending()["mb" if ask is PENDING_MB else "late_p99_ms"], 1)


def cron_year(ask: Question, n: int) -> Measure:
    return _measured(ask, lambda: asyncio.run(_year()), n)


async def _year() -> float:
    clock = VirtualClock(1_800_000_000.0)
    times = occurrences(TimerTrigger(cron="* * * * *", timezone="Europe/Berlin"), clock.now())
    rung = 0

    def ring() -> None:
        nonlocal rung
        rung += 1
        clock.call_at(next(times), ring)

    clock.call_at(next(times), ring)
    began = time.perf_counter()
    await clock.advance(YEAR_S)
    if rung != YEAR_S // 60:
        raise Mismatch(f"it rang {rung} times")
    return time.perf_counter() - began


def _measured(ask: Question, take: Callable[[], float], n: int) -> Measure:
    return Measure(ask, tuple(interleave({ask.what: take}, n)))

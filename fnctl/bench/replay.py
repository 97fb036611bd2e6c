"""Replays arrivals against policies, in arithmetic alone: no container, no clock, no HTTP. Not how a policy decides.

What is left out, and so belongs beside every figure: a trace knows minutes and no seconds; calls take no time; a
function has one instance, which takes all calls of a minute; every function takes the same memory; the machine has room
for all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fnctl.bench import arrivals, synthetic
from fnctl.bench.arrivals import Arrivals, Trace
from fnctl.bench.keepalive import FixedKeepAlive, HybridHistogram, KeepAlive
from fnctl.bench.simpool import FixedPool, SimulatedPool
from fnctl.bench.sleeping import Eviction, Latest, Sleeping, Slept
from fnctl.bench.stats import percentile
from fnctl.errors import UsageError
from fnctl.greedydual import GreedyDual
from fnctl.model import StartKind
from fnctl.policy import PoolPolicy, PoolRules, Sizes

SYNTHETIC = "synthetic"
MEASURED = Sizes()
FIXED_MIN = (1, 5, 10, 20)
OURS_MIN = 1  # `idle_timeout` where a function sets none: 60 s
KEEP_MIN = 10  # `keep`, likewise
# A trace names no runtimes, and a booted container fits only its own: functions are dealt out to two by their names.
RUNTIMES = ("node", "python")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy made of a trace. `cold` + `base` + `runtime` + `asleep` + warm calls are all calls."""

    policy: str
    calls: int
    cold: int  # a container was made for the call
    base: int  # from the pool: its runtime was booted for the call
    runtime: int  # from the pool, booted before
    cold_p75: float  # the share of cold calls of the function at the third quartile, as the paper compares policies
    idle_mb: float  # memory of what waits for calls, on average over the trace
    asleep: int = 0  # an instance of the function was there, asleep

    def share(self, calls: int) -> float:
        return calls / self.calls

    @property
    def pooled(self) -> int:
        return self.base + self.runtime

    @property
    def warm(self) -> int:
        return self.calls - self.cold - self.pooled - self.asleep


@dataclass(frozen=True, slots=True)
class Replay:
    source: str
    minutes: int
    functions: int
    calls: int
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lives:
    """What one keep-alive policy made of a trace: who found nothing loaded and when, and the minutes loaded in vain."""

    first: tuple[tuple[int, int], ...]  # (minute, index of the function), in order
    idle_min: int


def trace_of(given: str) -> Trace:
    """`synthetic`, `synthetic:SEED`, or the path of a trace. UsageError for anything else."""
    kind, colon, seed = given.partition(":")
    if kind != SYNTHETIC:
        return arrivals.read(Path(given))
    if colon and not (seed.isascii() and seed.isdigit() and len(seed) <= 9):
        raise UsageError(f"--replay {given}: the seed is a whole number", hint=f"such as {SYNTHETIC}:7")
    return synthetic.day(int(seed) if colon else 1)


def replay(trace: Trace, sizes: Sizes = MEASURED, floor: int = 3, budget_mb: float = 256.0) -> Replay:
    """Every policy on one trace. `floor` and `budget_mb` are those of our pool."""
    rules = PoolRules(floor, RUNTIMES, budget_mb, sizes)
    outcomes = [
        _alone(trace, f"fixed, {minutes} min", _lives(trace, partial(FixedKeepAlive, minutes)), sizes)
        for minutes in FIXED_MIN
    ]
    outcomes.append(_alone(trace, "hybrid histogram", _lives(trace, HybridHistogram), sizes))
    ours = _lives(trace, partial(FixedKeepAlive, OURS_MIN))
    for suffix, second in (("", _spread), (", at once", _at_once)):
        for warm, pool in ((str(floor), FixedPool(rules)), ("auto", PoolPolicy(rules))):
            outcomes.append(_pooled(trace, f"fnctl --warm {warm}{suffix}", ours, sizes, pool, second))
    outcomes += _sleeping(trace, rules, sizes)
    notes = _notes(rules, sizes)
    return Replay(trace.source, trace.minutes, len(trace.functions), trace.calls, tuple(outcomes), notes)


def _notes(rules: PoolRules, sizes: Sizes) -> tuple[str, ...]:
    return (
        "Simulated from calls a minute: no container ran. A call in the minute in which a keep-alive ends is warm.",
        "Calls take no time; a function has one instance, which takes all calls of its minute.",
        "cold: a container is made for the call. pool: one waits, bare or booted, and the code is loaded in it.",
        "asleep: the function's instance was there and asleep; nothing is loaded.",
        "cold p75: the share of cold calls of the function at the third quartile of all functions.",
        f"idle memory: {sizes.loaded_mb:g} MB an instance with code loaded, {sizes.booted_mb:g} MB one booted, "
        f"{sizes.base_mb:g} MB a bare one.",
        f"fnctl: awake for {OURS_MIN} min and then gone, or (keep) asleep in what the pool leaves of its memory.",
        f"Its pool: at least {rules.floor} within {rules.budget_mb:g} MB, {len(RUNTIMES)} runtimes; first calls of a "
        "minute are spread over it, or all at its start (at once).",
    )


# -- keep-alive: each function by itself -------------------------------------------------------------------------------


def _lives(trace: Trace, make: Callable[[], KeepAlive]) -> _Lives:
    first: list[tuple[int, int]] = []
    idle_min = 0
    for index, function in enumerate(trace.functions):
        missed, idle = _life(function, trace.minutes, make())
        first.extend((minute, index) for minute in missed)
        idle_min += idle
    return _Lives(tuple(sorted(first)), idle_min)


def _life(function: Arrivals, minutes: int, policy: KeepAlive) -> tuple[list[int], int]:
    """The minutes whose first call found nothing loaded, and for how many an instance was loaded without a call."""
    missed: list[int] = []
    idle = 0
    last: int | None = None
    for minute, calls in function.counts:
        if last is None:
            missed.append(minute)
        else:
            window, gap = policy.window(), minute - last
            idle += window.loaded_min(gap)
            if not window.warm(gap):
                missed.append(minute)
            policy.seen(gap)
        if calls > 1:
            policy.seen(0, calls - 1)
        last = minute
    if last is not None:
        idle += policy.window().loaded_min(minutes - last)
    return missed, idle


def _alone(trace: Trace, name: str, lives: _Lives, sizes: Sizes) -> Outcome:
    """A policy without a pool: what finds nothing loaded is cold."""
    return _outcome(
        trace, name, ((index, StartKind.COLD) for _, index in lives.first), lives.idle_min * sizes.loaded_mb
    )


def _outcome(trace: Trace, name: str, starts: Iterable[tuple[int, StartKind]], idle_mb_min: float) -> Outcome:
    counts = dict.fromkeys((StartKind.COLD, StartKind.BASE, StartKind.RUNTIME), 0)
    cold = [0] * len(trace.functions)
    for index, kind in starts:
        counts[kind] += 1
        cold[index] += kind is StartKind.COLD
    shares = [of / function.calls for of, function in zip(cold, trace.functions, strict=True)]
    return Outcome(
        policy=name,
        calls=trace.calls,
        cold=counts[StartKind.COLD],
        base=counts[StartKind.BASE],
        runtime=counts[StartKind.RUNTIME],
        cold_p75=percentile(shares, 0.75),
        idle_mb=idle_mb_min / trace.minutes,
    )


# -- the pool: all functions together ----------------------------------------------------------------------------------


def _pooled(
    trace: Trace, name: str, lives: _Lives, sizes: Sizes, policy: PoolPolicy, second: Callable[[str, int], float]
) -> Outcome:
    """A policy whose first calls are served from a pool; `second`: when in its minute a function's first call comes."""
    pool = SimulatedPool(policy)
    names = [function.function for function in trace.functions]
    in_seconds = sorted((minute * 60 + second(names[index], minute), index) for minute, index in lives.first)
    starts = [(index, pool.start(at_s, _runtime(names[index]))) for at_s, index in in_seconds]
    pool.pass_to(trace.minutes * 60.0)
    return _outcome(trace, name, starts, lives.idle_min * sizes.loaded_mb + pool.held_mb_s / 60)


def _sleeping(trace: Trace, rules: PoolRules, sizes: Sizes) -> list[Outcome]:
    """Ours with instances that sleep, in the memory that the fixed pool leaves of the budget."""
    pool = FixedPool(rules)
    left_mb = max(0.0, rules.budget_mb - pool.targets(0.0).memory_mb(sizes))
    policies: tuple[tuple[str, Eviction], ...] = (("", GreedyDual()), (", least recently used", Latest()))
    outcomes = []
    for suffix, policy in policies:
        slept = Sleeping(policy, OURS_MIN, KEEP_MIN, left_mb, sizes.loaded_mb).run(trace)
        name = f"fnctl --warm {rules.floor}, keep {KEEP_MIN} min{suffix}"
        outcomes.append(_slept(trace, name, slept, rules, sizes))
    return outcomes


def _slept(trace: Trace, name: str, slept: Slept, rules: PoolRules, sizes: Sizes) -> Outcome:
    lives = _Lives(tuple(sorted(slept.first)), slept.idle_min + slept.asleep_min)
    return replace(_pooled(trace, name, lives, sizes, FixedPool(rules), _spread), asleep=slept.asleep)


def _spread(function: str, minute: int) -> float:
    """Somewhere in the minute, the same each time: as if by chance, and with none."""
    return zlib.crc32(f"{minute} {function}".encode()) % 60_000 / 1000


def _at_once(function: str, minute: int) -> float:
    """All at its start, as timers have it: the worst that a trace of minutes can stand for."""
    return 0.0


def _runtime(function: str) -> str:
    return RUNTIMES[zlib.crc32(function.encode()) % len(RUNTIMES)]


# -- as text and JSON --------------------------------------------------------------------------------------------------

HEADERS = ("POLICY", "COLD", "POOL", "(BOOTED)", "ASLEEP", "WARM", "COLD P75", "IDLE MEMORY")


def table(result: Replay) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headers and a row a policy; shares are of all calls."""
    return HEADERS, [
        (
            of.policy,
            *(f"{of.share(calls):.3%}" for calls in (of.cold, of.pooled, of.runtime, of.asleep, of.warm)),
            f"{of.cold_p75:.1%}",
            f"{of.idle_mb:.0f} MB",
        )
        for of in result.outcomes
    ]


def as_json(result: Replay) -> dict[str, object]:
    return {
        "source": result.source,
        "minutes": result.minutes,
        "functions": result.functions,
        "calls": result.calls,
        "simulated": True,
        "policies": [
            {
                "policy": of.policy,
                "cold": of.cold,
                "base": of.base,
                "runtime": of.runtime,
                "asleep": of.asleep,
                "warm": of.warm,
                "cold_share": of.share(of.cold),
                "pool_share": of.share(of.pooled),
                "warm_share": of.share(of.warm),
                "cold_share_p75": of.cold_p75,
                "idle_mb": of.idle_mb,
            }
            for of in result.outcomes
        ],
        "notes": list(result.notes),
    }

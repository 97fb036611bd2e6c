"""A made-up day of arrivals, the same for the same seed. Its shape is that of the published one; it is no recording.

After Shahrad et al., "Serverless in the Wild", USENIX ATC 2020, section 3: of the applications, 45 % were called once
an hour or less, 81 % once a minute or less, and the remaining 19 % made 99.6 % of all calls; arrivals are of every kind
between timers and bursts, and the load follows the day. The shares below meet those three figures roughly (43 %, 82 %
and 99.6 % with seed 1); what each kind does within its share is our own choice.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from fnctl.bench.arrivals import Arrivals, Trace

DAY_MIN = 1440
FUNCTIONS = 200
Rate = Callable[[int], float]  # calls to expect in a minute


def day(seed: int = 1, functions: int = FUNCTIONS) -> Trace:
    """A day of so many functions; fewer where some of the rare ones were not called at all."""
    source = random.Random(seed)
    made = []
    place = 0.0
    for kind, share, make in KINDS:
        begin, place = round(place * functions), place + share
        for number in range(round(place * functions) - begin):
            made.append(_called(f"{kind}-{number:03}", make(source), source))
    return Trace(f"synthetic:{seed}", DAY_MIN, tuple(function for function in made if function.counts))


def _called(name: str, rate: Rate, source: random.Random) -> Arrivals:
    counts = ((minute, _poisson(rate(minute), source)) for minute in range(DAY_MIN))
    return Arrivals(name, tuple((minute, calls) for minute, calls in counts if calls))


def _poisson(mean: float, source: random.Random) -> int:
    """A draw: by inversion where the mean is small, normal past 30. A negative mean stands for exactly so many."""
    if mean < 0:
        return round(-mean)
    if mean > 30:
        return max(0, round(source.gauss(mean, math.sqrt(mean))))
    if mean == 0:
        return 0
    draw, term, calls = source.random(), math.exp(-mean), 0
    total = term
    while draw > total and term > 0:
        calls += 1
        term *= mean / calls
        total += term
    return calls


def _rare(source: random.Random) -> Rate:
    """From once a day to once an hour, at any time."""
    mean = 10 ** source.uniform(0, math.log10(24)) / DAY_MIN
    return lambda minute: mean


def _timer(source: random.Random) -> Rate:
    """Once every so often, to the minute."""
    period = source.choice((5, 10, 15, 30, 60))
    phase = source.randrange(period)
    return lambda minute: -1.0 if minute % period == phase else 0.0


def _daily(source: random.Random) -> Rate:
    """Some calls an hour, that follow the day: nothing at one end of it, twice the mean at the other."""
    mean, noon = source.uniform(0.03, 0.8), source.randrange(DAY_MIN)
    return lambda minute: mean * (1 + math.cos(2 * math.pi * (minute - noon) / DAY_MIN))


def _bursts(source: random.Random) -> Rate:
    """Silence, and a few times a day some minutes of many calls."""
    busy: dict[int, float] = {}
    for _ in range(source.randint(2, 6)):
        begin, calls = source.randrange(DAY_MIN), source.uniform(5, 50)
        busy |= dict.fromkeys(range(begin, begin + source.randint(3, 15)), calls)
    return lambda minute: busy.get(minute, 0.0)


def _heavy(source: random.Random) -> Rate:
    """Many calls a minute all day, more of them at its height; a few functions make most of them."""
    mean, noon = 10 ** source.uniform(0.3, 3), source.randrange(DAY_MIN)
    return lambda minute: mean * (1 + 0.5 * math.cos(2 * math.pi * (minute - noon) / DAY_MIN))


KINDS: tuple[tuple[str, float, Callable[[random.Random], Rate]], ...] = (
    ("rare", 0.42, _rare),
    ("timer", 0.20, _timer),
    ("daily", 0.14, _daily),
    ("bursts", 0.07, _bursts),
    ("heavy", 0.17, _heavy),
)

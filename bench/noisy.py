"""What a function that prints without end costs another: latency beside it, and latency alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fnctl.bench import load
from fnctl.bench.calls import Target, call
from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.load import Load
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, running
from fnctl.model import Project

CONNECTIONS = 8
LEAD_S = 0.5  # before the load: the flood has come to its pace

QUESTION = Question(
    "noisy-neighbour",
    "p99 beside a function that prints without end",
    f"{CONNECTIONS} connections that take what they can, a sample is the p99 of one load; in turns: beside a function"
    " that writes empty lines as fast as it may, and alone",
    "ms",
    over="beside it ÷ alone",
)


def beside_none(ask: Question, project: Project, quiet: str, noisy: str, duration_s: float, n: int) -> Measure:
    """`n` loads of each, on the function `quiet`."""
    with running(project, Serving()) as stack:
        target, loud = stack.target(quiet), stack.target(noisy)
        stack.warm_up(target)
        stack.warm_up(loud)
        arms = {
            "beside it": lambda: _beside(target, loud, duration_s),
            "alone": lambda: _p99(target, duration_s),
        }
        series = interleave(arms, n)
    return Measure(ask, tuple(series))


def _beside(target: Target, loud: Target, duration_s: float) -> float:
    with _printing(loud, duration_s + 2 * LEAD_S):
        return _p99(target, duration_s)


@contextmanager
def _printing(loud: Target, for_s: float) -> Iterator[None]:
    flood = Target(loud.address, loud.host, f"{loud.path}?s={for_s:g}")
    calling = threading.Thread(target=call, args=(flood,), name="noise")
    calling.start()
    try:
        calling.join(LEAD_S)
        yield
    finally:
        calling.join()


def _p99(target: Target, duration_s: float) -> float:
    outcome = load.apply(Load(target, CONNECTIONS, duration_s))
    if outcome.failed or outcome.p99_ms is None:
        raise Mismatch(f"{outcome.failed} requests failed")
    return outcome.p99_ms

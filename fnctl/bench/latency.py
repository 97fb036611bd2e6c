"""What the gateway adds to a call at one connection, and latency at a rate that is given from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from fnctl.bench import calls, direct, load
from fnctl.bench.calls import Response, Target
from fnctl.bench.interleave import Mismatch, Sample, interleave
from fnctl.bench.load import Load
from fnctl.bench.measure import Comparison, LoadRow, Measure, Question
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject

BATCH = 200  # calls whose median is one sample: a single call of some 100 µs is mostly the machine's jitter


def question(id_: str, name: str) -> Question:
    return Question(
        id_,
        f"{name}: latency that the gateway adds, one connection kept open",
        f"one connection, one request at a time, a sample is the median of {BATCH}; in turns: through fnctl, and"
        " straight to an instance in the same sandbox image on the connection that its agent dialled",
        "µs",
        over="through fnctl − direct to the instance",
        compare=Comparison.DIFFERENCE,
    )


def added(ask: Question, subject: Subject, n: int) -> Measure:
    """`n` medians of each."""
    with running(subject.project, Serving((subject.name,))) as stack, direct.instance(subject) as instance:
        target = stack.target(subject.name, subject.path)
        stack.warm_up(target)
        with calls.connect(target.address) as sock:
            request = target.request()
            arms: dict[str, Sample] = {
                "through fnctl": lambda: batch(lambda: calls.exchange(sock, request)),
                "direct to the instance": lambda: batch(lambda: instance.call(request)),
            }
            for take in arms.values():
                take()  # both warm: compiled code, filled caches
            series = interleave(arms, n)
    return Measure(ask, tuple(series))


def batch(one: Callable[[], Response]) -> float:
    """Median µs of some calls; Mismatch where one does not succeed."""
    took = []
    for _ in range(BATCH):
        began = time.perf_counter()
        answer = one()
        took.append((time.perf_counter() - began) * 1e6)
        if not answer.ok:
            raise Mismatch(f"answered {answer.status}")
    return median(took)


def at_rate(name: str, target: Target, connections: int, rate: float, duration_s: float) -> LoadRow:
    """An open loop: requests are due at `rate` whatever comes back, each timed from when it was due."""
    outcome = load.apply(Load(target, connections, duration_s, rate))
    return LoadRow(
        target=name,
        connections=connections,
        tool=outcome.tool,
        rounds=1,
        requests=outcome.requests,
        failed=outcome.failed,
        rps=outcome.rps,
        p50_ms=outcome.p50_ms,
        p90_ms=outcome.p90_ms,
        p99_ms=outcome.p99_ms,
        server_cpu_ms=None,
        client_cpu_ms=outcome.client_cpu_s * 1000 / outcome.requests if outcome.requests else None,
        offered_rps=rate,
    )

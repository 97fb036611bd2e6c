"""First calls all at once, to as many functions as the pool holds, beside one that comes alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from fnctl.bench.calls import Target, timed_call
from fnctl.bench.interleave import interleave
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, Stack, expect, running
from fnctl.bench.startkinds import POOL
from fnctl.bench.stats import percentile
from fnctl.model import Project, StartKind

QUESTION = Question(
    "burst",
    f"a burst of {POOL} first calls, with a pool of {POOL}",
    "one call at the same moment to each of as many functions as the pool has containers, booted or base, none made for"
    " the call; a sample is the p99 of one burst; in turns with one first call alone, from a booted runtime",
    "ms",
    over="p99 of a burst ÷ one first call",
)


def beside_one(ask: Question, project: Project, functions: Sequence[str], n: int) -> Measure:
    """`functions`: one for each of the pool, of the same code."""
    with running(project, Serving(tuple(functions), warm=POOL)) as stack:
        targets = [stack.target(name) for name in functions]
        arms = {
            "p99 of a burst": lambda: _burst(stack, functions, targets),
            "one first call": lambda: _alone(stack, functions, targets),
        }
        series = interleave(arms, n)
    return Measure(ask, tuple(series))


def _alone(stack: Stack, functions: Sequence[str], targets: Sequence[Target]) -> float:
    _reap_all(stack, functions)
    return stack.call(targets[0], StartKind.RUNTIME)


def _burst(stack: Stack, functions: Sequence[str], targets: Sequence[Target]) -> float:
    _reap_all(stack, functions)
    together = Barrier(len(targets))

    def one(target: Target) -> float:
        together.wait()
        took_ms, answer = timed_call(target)
        expect(answer, StartKind.RUNTIME, StartKind.BASE)
        return took_ms

    with ThreadPoolExecutor(len(targets)) as callers:
        return percentile(list(callers.map(one, targets)), 0.99)


def _reap_all(stack: Stack, functions: Sequence[str]) -> None:
    for name in functions:
        stack.reap(name)

"""First calls of a function that is on a network, or has limits of its own, beside the same function with neither."""

from __future__ import annotations

from collections.abc import Callable

from bench.projects import PLAIN, REACHING
from fnctl.bench.interleave import interleave
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.model import Project, StartKind

WHAT = {
    "services": "with `network: services`",
    "egress": "with `network: egress`",
    "limits": "with `memory` and `cpus` of its own",
}


def question(name: str) -> Question:
    return Question(
        f"first-call-{name}",
        f"first call {WHAT[name]}, beside one with neither network nor limits (ephemeral, Node)",
        "a booted runtime waits: one call, from connecting to the last byte; in turns",
        "ms",
        over=f"first call {WHAT[name]} ÷ plain",
    )


def beside_plain(ask: Question, project: Project, name: str, n: int) -> Measure:
    """In one service that has them all, so that the pool is shared out among them as in any project."""
    with running(project, Serving((PLAIN, *REACHING), warm=len(REACHING) + 1)) as stack:
        series = interleave({WHAT[name]: _first(stack, name), "plain": _first(stack, PLAIN)}, n)
    return Measure(ask, tuple(series))


def _first(stack: Stack, name: str) -> Callable[[], float]:
    target = stack.target(name)
    return lambda: stack.first_call(name, target, StartKind.RUNTIME)

"""An ephemeral invocation whose process was forked after a request (`warmup`), beside one forked before any."""

from __future__ import annotations

from collections.abc import Callable

from bench.projects import COLD_FLASK, WARMED_FLASK
from fnctl.bench.interleave import interleave
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.model import Project, StartKind

QUESTION = Question(
    "warmup-flask",
    "an invocation of the to-do list (Flask, ephemeral) with `warmup`, beside one without",
    "a forked process waits: one call, from connecting to the last byte; in turns",
    "ms",
    over="with `warmup` ÷ without",
)


def beside_none(ask: Question, project: Project, n: int) -> Measure:
    with running(project, Serving((WARMED_FLASK, COLD_FLASK))) as stack:
        arms = {"with warmup": _call(stack, WARMED_FLASK), "without": _call(stack, COLD_FLASK)}
        return Measure(ask, tuple(interleave(arms, n)))


def _call(stack: Stack, name: str) -> Callable[[], float]:
    target = stack.target(name, "/api/todos")
    stack.warm_up(target)

    def call() -> float:
        stack.await_rest(name)
        return stack.call(target, StartKind.WARM)

    return call

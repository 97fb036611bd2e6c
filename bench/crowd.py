"""What it costs one function that a thousand are known: a service with all of them beside one with one."""

from __future__ import annotations

from fnctl.bench.calls import connect, exchange
from fnctl.bench.interleave import Sample, interleave
from fnctl.bench.latency import batch
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, running
from fnctl.model import Project

CROWD = 1000

QUESTION = Question(
    "crowd",
    f"latency with {CROWD} functions known",
    f"p50 of warm calls on one connection to one function, in turns: a service that knows {CROWD} functions, and one"
    " that knows one",
    "µs",
    over=f"{CROWD} functions ÷ 1 function",
)


def beside_one(ask: Question, crowd: Project, single: Project, name: str, n: int) -> Measure:
    """`crowd` and `single` both have the function `name`, of the same code."""
    with running(crowd, Serving(warm=1)) as many, running(single, Serving(warm=1)) as one:
        targets = [many.target(name), one.target(name)]
        many.warm_up(targets[0])
        one.warm_up(targets[1])
        with connect(targets[0].address) as to_many, connect(targets[1].address) as to_one:
            arms: dict[str, Sample] = {
                f"{CROWD} functions": lambda: batch(lambda: exchange(to_many, targets[0].request())),
                "1 function": lambda: batch(lambda: exchange(to_one, targets[1].request())),
            }
            for take in arms.values():
                take()
            series = interleave(arms, n)
    return Measure(ask, tuple(series))

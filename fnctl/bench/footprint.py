"""Memory of what waits: a base container, a booted runtime, and an idle instance beside the bare process."""

from __future__ import annotations

from fnctl.bench import baselines, containers, wire
from fnctl.bench.interleave import Sample, interleave
from fnctl.bench.measure import Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.bench.startkinds import POOL
from fnctl.bench.subject import Subject
from fnctl.bench.usage import private_mb
from fnctl.bench.wire import Target

BASE = Question(
    "memory-base",
    "memory of a base container that waits",
    "its control group's memory in use, without file cache not used lately; the base containers in turns",
    "MB",
)
INSTANCE = Question(
    "memory-instance",
    "memory of an idle instance beside the bare process",
    "private dirty memory of all processes in the sandbox, after one request; in turns: the same of the bare process",
    "MB",
    over="instance ÷ bare process",
)


def base(ask: Question, subject: Subject, n: int) -> Measure:
    """Pool of base containers, none promoted."""
    with running(subject.project, Serving((subject.name,), warm=POOL, boot=False)):
        groups = [found.cgroup for found in containers.of_project(subject.project.id)]
        if not groups:
            raise NotMeasured("the pool has no container")
        readings = (groups[turn % len(groups)].memory_mb() for turn in range(n))
        return Measure(ask, tuple(interleave({"base container": lambda: next(readings)}, n)))


def instance(ask: Question, subject: Subject, n: int) -> Measure:
    """Each sample is an instance, or a bare process, of its own."""
    bare = subject.program()

    def bare_mb() -> float:
        with baselines.serving(bare) as (pid, port):
            wire.call(Target(("127.0.0.1", port), f"127.0.0.1:{port}", bare.path))
            return private_mb([pid])

    with running(subject.project, Serving((subject.name,))) as stack:
        target = stack.target(subject.name, subject.path)
        arms: dict[str, Sample] = {
            "idle instance": lambda: _instance_mb(stack, subject, target),
            "bare process": bare_mb,
        }
        return Measure(ask, tuple(interleave(arms, n)))


def _instance_mb(stack: Stack, subject: Subject, target: Target) -> float:
    stack.reap(subject.name)
    stack.warm_up(target)
    rows = [row for row in stack.status()["instances"] if row["function"] == subject.name]
    if len(rows) != 1:
        raise NotMeasured(f"one instance of {subject.name} is expected, found {len(rows)}")
    return private_mb(containers.inspect(rows[0]["sandbox"]).cgroup.pids())

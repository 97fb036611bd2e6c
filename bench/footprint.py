"""Memory of what waits: a base container, a booted runtime, and an idle instance beside the bare process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fnctl.bench import baselines, calls, containers
from fnctl.bench.calls import Target
from fnctl.bench.interleave import Sample, interleave
from fnctl.bench.measure import Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.bench.startkinds import POOL
from fnctl.bench.subject import Subject
from fnctl.bench.usage import private_mb

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


def asleep_question(name: str) -> Question:
    return Question(
        f"memory-asleep-{name}",
        f"{name}: memory of an instance asleep beside a booted runtime without code",
        "its control group's memory in use, without file cache not used lately, after one request and falling asleep; "
        "in turns: the same of a container of the pool whose runtime is booted",
        "MB",
        over="asleep ÷ booted, empty",
    )


def asleep(ask: Question, subject: Subject, n: int) -> Measure:
    """Each sample is an instance of its own, or a container of the pool."""
    with running(subject.project, Serving((subject.name,))) as stack:
        target = stack.target(subject.name, subject.path)

        def asleep_mb() -> float:
            stack.reap(subject.name)
            stack.warm_up(target)
            stack.sleep(subject.name)
            return _used_mb(stack, lambda row: row["state"] == "asleep")

        def empty_mb() -> float:
            stack.reap(subject.name)
            return _used_mb(stack, lambda row: row["tier"] == "runtime")

        return Measure(ask, tuple(interleave({"asleep": asleep_mb, "booted, empty": empty_mb}, n)))


def _used_mb(stack: Stack, wanted: Callable[[dict[str, Any]], bool]) -> float:
    """Of the first instance that is wanted. NotMeasured where there is none."""
    row = next(filter(wanted, stack.status()["instances"]), None)
    if row is None:
        raise NotMeasured("no such instance is there")
    return containers.inspect(row["sandbox"]).cgroup.memory_mb()


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
            calls.call(Target(("127.0.0.1", port), f"127.0.0.1:{port}", bare.path))
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

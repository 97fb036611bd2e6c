"""First calls by start kind, each in turns with the bare process and `docker run` of the same code; and warm calls."""

from __future__ import annotations

from collections.abc import Callable

from fnctl.bench import baselines
from fnctl.bench.interleave import interleave
from fnctl.bench.measure import Measure, Question
from fnctl.bench.stack import Serving, Stack, running
from fnctl.bench.subject import Subject
from fnctl.model import StartKind

HOW = {
    StartKind.COLD: "`fnctl run --warm 0`; no container is left: one call, from connecting to the last byte",
    StartKind.BASE: "`fnctl run --no-boot`; a base container waits: one call, from connecting to the last byte",
    StartKind.RUNTIME: "`fnctl run`; a booted runtime waits: one call, from connecting to the last byte",
    StartKind.ASLEEP: "the code is loaded, its instance fell asleep and has collected its memory: one call, from "
    "connecting to the last byte",
    StartKind.WARM: "the code is loaded, and nothing is at work: one call, from connecting to the last byte",
}
WARM_FACTOR = 10  # a warm call is short: ten times the samples still cost next to nothing
LOADED = frozenset({StartKind.ASLEEP, StartKind.WARM})
POOL = 3  # as `fnctl run` has it


def serving(kind: StartKind, name: str) -> Serving:
    """The service as it has to run for calls of this kind."""
    return Serving((name,), warm=0 if kind is StartKind.COLD else POOL, boot=kind is not StartKind.BASE)


def question(id_: str, name: str, kind: StartKind, baseline: str | None) -> Question:
    beside = {
        None: "",
        "bare": ". In turns with it: the bare process, from spawn to its first successful answer",
        "docker": ". In turns with it: `docker run -p` of the same code, to its first successful answer",
    }[baseline]
    over = {None: None, "bare": "first call ÷ bare process", "docker": "first call ÷ `docker run -p`"}[baseline]
    what = f"{name}: {'call' if kind in LOADED else 'first call'}, {kind}"
    return Question(id_, what, HOW[kind] + beside, "ms", over=over)


def first_calls(ask: Question, subject: Subject, kind: StartKind, baseline: str | None, n: int) -> Measure:
    """`n` first calls of this kind, in turns with the baseline where one is named. NotMeasured where that cannot be."""
    with running(subject.project, serving(kind, subject.name)) as stack:
        arms = {f"fnctl, {kind}": _first(stack, subject, kind)}
        if baseline == "bare":
            bare = subject.program()
            arms["bare process"] = lambda: baselines.spawn_to_first_answer(bare)
        elif baseline == "docker":
            plain = subject.program()
            arms["docker run"] = lambda: baselines.run_to_first_answer(plain, subject.image)
        series = interleave(arms, n)
    notes = (subject.bare.interpreter.note,) if subject.bare and baseline else ()
    return Measure(ask, tuple(series), notes=notes)


def _first(stack: Stack, subject: Subject, kind: StartKind) -> Callable[[], float]:
    target = stack.target(subject.name, subject.path)
    return lambda: stack.first_call(subject.name, target, kind)


def asleep_calls(ask: Question, subject: Subject, n: int) -> Measure:
    """`n` calls, each to an instance that fell asleep after the one before."""
    with running(subject.project, serving(StartKind.ASLEEP, subject.name)) as stack:
        target = stack.target(subject.name, subject.path)
        stack.warm_up(target)

        def call() -> float:
            stack.sleep(subject.name)
            return stack.call(target, StartKind.ASLEEP)

        series = interleave({"fnctl, asleep": call}, n)
    return Measure(ask, tuple(series))


def warm_calls(ask: Question, subject: Subject, n: int) -> Measure:
    """`n` × 10 calls to loaded code; each waits, untimed, until no instance is at work."""
    with running(subject.project, serving(StartKind.WARM, subject.name)) as stack:
        target = stack.target(subject.name, subject.path)
        stack.warm_up(target)

        def call() -> float:
            stack.await_rest(subject.name)
            return stack.call(target, StartKind.WARM)

        series = interleave({"fnctl, warm": call}, n * WARM_FACTOR)
    return Measure(ask, tuple(series))

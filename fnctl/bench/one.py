"""`fnctl bench NAME`: one function by start kind and under load, beside what one would do instead."""

from __future__ import annotations

from contextlib import ExitStack

from fnctl.bench import baselines, latency, startkinds, subject, throughput
from fnctl.bench.calls import Target
from fnctl.bench.measure import LoadRow, NotMeasured, Question, Result
from fnctl.bench.session import Session, Settings
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject
from fnctl.bench.throughput import Contender
from fnctl.model import Model, Project, StartKind
from fnctl.progress import Progress

# Each start kind beside what it replaces: a pooled start stands for a process of one's own, a cold one for a container.
PLAN = (
    (StartKind.COLD, "docker"),
    (StartKind.BASE, "bare"),
    (StartKind.RUNTIME, "bare"),
)


def measure(project: Project, name: str, settings: Settings, progress: Progress) -> Result:
    """Everything asked of one function. Raises what keeps the function from being built or served at all."""
    session = Session(f"fnctl bench {name}", progress)
    with session.step(f"prepare {name}"):
        found = subject.prepare(project, name, settings.path)
    for kind, baseline in PLAN:
        start_kind(session, found, kind, baseline, settings.samples)
    asleep = startkinds.question("start-asleep", name, StartKind.ASLEEP, None)
    session.ask(asleep, lambda: startkinds.asleep_calls(asleep, found, settings.samples))
    warm = startkinds.question("start-warm", name, StartKind.WARM, None)
    session.ask(warm, lambda: startkinds.warm_calls(warm, found, settings.samples))
    if found.function.model is Model.RESIDENT:
        added = latency.question("added-latency", name)
        session.ask(added, lambda: latency.added(added, found, settings.samples))
    load = Question(
        "load", f"{name} under load", "closed loops, in turns with the bare process", "requests/s", better=1
    )
    session.ask_load(load, lambda: under_load(found, settings))
    return session.result(*notes(found))


def start_kind(session: Session, found: Subject, kind: StartKind, baseline: str, n: int) -> None:
    """Beside the baseline where the function can be run without fnctl, alone where not."""
    beside = baseline if found.bare is not None else None
    ask = startkinds.question(f"start-{kind}", found.name, kind, beside)
    session.ask(ask, lambda: startkinds.first_calls(ask, found, kind, beside, n))


def under_load(found: Subject, settings: Settings) -> list[LoadRow]:
    """fnctl, and the bare process where there is one, in turns at each concurrency."""
    rows: list[LoadRow] = []
    with ExitStack() as stack:
        service = stack.enter_context(running(found.project, Serving((found.name,))))
        target = service.target(found.name, settings.path)
        service.warm_up(target)
        contenders = [throughput.of_stack("fnctl", service, target)]
        if found.bare is not None:
            contenders.append(_bare(stack, found, target))
        for connections in settings.concurrency:
            taken = throughput.rounds(contenders, connections, settings.duration_s, settings.rounds)
            rows += throughput.rows(contenders, connections, taken)
        if settings.rate is not None:
            most = max(settings.concurrency)
            rows.append(latency.at_rate("fnctl", target, most, settings.rate, settings.duration_s))
    return rows


def _bare(stack: ExitStack, found: Subject, target: Target) -> Contender:
    pid, port = stack.enter_context(baselines.serving(found.program()))
    beside = Target(("127.0.0.1", port), f"127.0.0.1:{port}", target.path)
    return throughput.of_process("bare process", beside, [pid])


def notes(found: Subject) -> list[str]:
    try:
        return [f"The bare process: {found.program().interpreter.note}."]
    except NotMeasured as why:
        return [f"No bare process to compare with: {why.message}."]

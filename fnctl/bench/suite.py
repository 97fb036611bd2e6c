"""`fnctl bench --all`: the speed of fnctl itself, each figure a ratio within one run, on apps made of its templates."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from fnctl.bench import (
    baselines,
    burst,
    crowd,
    edit,
    footprint,
    isolation,
    latency,
    proxy,
    slow,
    startkinds,
    subject,
    throughput,
    verbs,
)
from fnctl.bench.measure import Measure, NotMeasured, Question, Result
from fnctl.bench.one import notes
from fnctl.bench.session import Session, Settings
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject
from fnctl.bench.wire import Target
from fnctl.bench.workshop import BURST, EDITED, EXPRESS, FLASK, TINY, Workshop, ephemeral
from fnctl.model import Project, StartKind
from fnctl.progress import Progress

API = "/api/todos"
CONNECTIONS = 32
# A median of ten is the least that a ratio is told from; `docker run` and loads take seconds each, and get no more.
FEW = 10

EXPRESS_RPS = Question(
    "express-throughput",
    "to-do list (Express) through fnctl, beside bare node on a port",
    f"requests per second for {API}, {CONNECTIONS} connections, in turns; beside them nginx in front of bare node",
    "requests/s",
    better=1,
    over="fnctl ÷ bare node",
)


class Suite:
    """The whole table, in order. Made for one run."""

    def __init__(self, folder: Path, settings: Settings, progress: Progress) -> None:
        self._settings = settings
        self._n = max(FEW, settings.samples)
        self._session = Session("fnctl bench --all", progress)
        self._workshop = Workshop(folder)
        self._standard: Project = self._workshop.standard()

    def run(self) -> Result:
        express, flask = self._subject(EXPRESS, API), self._subject(FLASK, API)
        self._starts(express, flask)
        self._ephemeral_starts()
        self._throughput(express)
        self._latency(express)
        self._isolation()
        self._many()
        self._rest(express)
        return self._session.result(*(note for found in (express, flask) for note in notes(found)))

    def _subject(self, name: str, path: str | None = None) -> Subject:
        with self._session.step(f"prepare {name}"):
            return subject.prepare(self._standard, name, path)

    def _starts(self, express: Subject, flask: Subject) -> None:
        for found in (express, flask):
            for kind, baseline in (
                (StartKind.RUNTIME, "bare"),
                (StartKind.BASE, "bare"),
                (StartKind.COLD, "docker"),
            ):
                self._start(found, kind, baseline)
            ask = startkinds.question(f"start-warm-{found.name}", found.name, StartKind.WARM, None)
            self._session.ask(ask, partial(startkinds.warm_calls, ask, found, self._n))

    def _ephemeral_starts(self) -> None:
        """By the same four words; nothing beside them: what one would do instead is counted a second, below."""
        for name in (ephemeral("python", "process"), ephemeral("node", "process")):
            found = self._subject(name)
            for kind in (StartKind.RUNTIME, StartKind.BASE, StartKind.COLD):
                self._start(found, kind, None)
            ask = startkinds.question(f"start-warm-{name}", f"{name} (ephemeral)", StartKind.WARM, None)
            self._session.ask(ask, partial(startkinds.warm_calls, ask, found, self._n))

    def _start(self, found: Subject, kind: StartKind, baseline: str | None) -> None:
        n = FEW if baseline == "docker" else self._n
        ask = startkinds.question(f"start-{kind}-{found.name}", found.name, kind, baseline)
        self._session.ask(ask, lambda: startkinds.first_calls(ask, found, kind, baseline, n))

    def _throughput(self, express: Subject) -> None:
        self._session.ask(proxy.QUESTION, self._beside_nginx)
        self._session.ask(EXPRESS_RPS, lambda: self._beside_bare(express))

    def _beside_nginx(self) -> Measure:
        tiny = self._subject(TINY)
        measure, rows = proxy.beside_nginx(proxy.QUESTION, tiny, self._settings.duration_s, FEW)
        self._session.keep(rows)
        return measure

    def _beside_bare(self, express: Subject) -> Measure:
        with ExitStack() as stack:
            service = stack.enter_context(running(express.project, Serving((express.name,))))
            target = service.target(express.name, express.path)
            service.warm_up(target)
            pid, port = stack.enter_context(baselines.serving(express.program()))
            bare = Target(("127.0.0.1", port), f"127.0.0.1:{port}", target.path)
            contenders = [
                throughput.of_stack("fnctl, to-do list", service, target),
                throughput.of_process("bare node, to-do list", bare, [pid]),
            ]
            with suppress(NotMeasured):  # not what is asked, but what a proxy can come to here
                contenders.append(stack.enter_context(proxy.nginx("nginx, to-do list", express.program())))
            for connections in self._settings.concurrency:
                if connections != CONNECTIONS:
                    taken = throughput.rounds(contenders, connections, self._settings.duration_s, self._settings.rounds)
                    self._session.keep(throughput.rows(contenders, connections, taken))
            measure, rows = throughput.compared(EXPRESS_RPS, contenders, CONNECTIONS, self._settings.duration_s, FEW)
        self._session.keep(rows)
        return measure

    def _latency(self, express: Subject) -> None:
        ask = latency.question("added-latency", express.name)
        self._session.ask(ask, lambda: latency.added(ask, express, self._n))

    def _isolation(self) -> None:
        for language in ("python", "node"):
            for kept_apart in ("process", "container"):
                name = ephemeral(language, kept_apart)
                ask = isolation.question(f"ephemeral-{name}", name, language, kept_apart)
                self._session.ask(ask, partial(self._ephemeral, ask, name))

    def _ephemeral(self, ask: Question, name: str) -> Measure:
        found = subject.prepare(self._standard, name)
        return isolation.beside_docker_run(ask, found, self._settings.duration_s, FEW)

    def _many(self) -> None:
        bursting = self._workshop.bursting()
        self._session.ask(burst.QUESTION, lambda: burst.beside_one(burst.QUESTION, bursting, BURST, self._n))
        many, single = self._workshop.crowd(crowd.CROWD), self._workshop.crowd(1)
        self._session.ask(crowd.QUESTION, lambda: crowd.beside_one(crowd.QUESTION, many, single, TINY, self._n))
        tiny, ask = self._subject(TINY), slow.QUESTION
        self._session.ask(ask, lambda: slow.beside_none(ask, tiny, self._settings.duration_s, FEW))

    def _rest(self, express: Subject) -> None:
        ask, n = self._session.ask, self._n
        edited, file = self._workshop.edited()
        ask(edit.QUESTION, lambda: edit.answered(edit.QUESTION, edited, EDITED, file, FEW))
        ask(footprint.BASE, lambda: footprint.base(footprint.BASE, express, FEW))
        ask(footprint.INSTANCE, lambda: footprint.instance(footprint.INSTANCE, express, FEW))
        ask(verbs.HELP, lambda: verbs.help_(verbs.HELP, n))
        ask(verbs.BUILD, lambda: verbs.build(verbs.BUILD, self._standard, FEW))


def measure(folder: Path, settings: Settings, progress: Progress) -> Result:
    """Everything; `folder` is where the projects under measurement are made."""
    return Suite(folder, settings, progress).run()

"""The speed of fnctl itself, each figure a ratio within one run, on apps made of its templates."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from bench import burst, crowd, edit, footprint, isolation, noisy, proxy, reach, slow, verbs, warming, workflow_steps
from bench.goals import with_goal
from bench.later import ask_all
from bench.projects import BURST, EDITED, EXPRESS, FLASK, NOISY, REACHING, TINY, BenchProjects, ephemeral
from fnctl.bench import baselines, latency, startkinds, subject, throughput
from fnctl.bench.calls import Target
from fnctl.bench.measure import Measure, NotMeasured, Question, Result
from fnctl.bench.one import notes
from fnctl.bench.session import Session, Settings
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject
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
    """The whole table, in order; of it, the questions `only`, where some are named. Made for one run."""

    def __init__(self, folder: Path, settings: Settings, progress: Progress, only: Collection[str] = ()) -> None:
        self._settings = settings
        self._only = only
        self._n = max(FEW, settings.samples)
        self._session = Session("fnctl itself", progress)
        self._projects = BenchProjects(folder)
        self._standard: Project = self._projects.standard()

    def run(self) -> Result:
        express, flask = self._subject(EXPRESS, API), self._subject(FLASK, API)
        self._starts(express, flask)
        self._ephemeral_starts()
        self._reaching()
        self._throughput(express)
        self._latency(express)
        self._isolation()
        self._many()
        self._kept(express, flask)
        self._rest(express)
        return self._session.result(*(note for found in (express, flask) for note in notes(found)))

    def _ask(self, question: Question, answer: Callable[[], Measure]) -> None:
        if not self._only or question.id in self._only:
            self._session.ask(question, lambda: with_goal(answer()))

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
            self._loaded(found, found.name)

    def _ephemeral_starts(self) -> None:
        """By the same five words; nothing beside them: what one would do instead is counted a second, below."""
        for name in (ephemeral("python", "process"), ephemeral("node", "process")):
            found = self._subject(name)
            for kind in (StartKind.RUNTIME, StartKind.BASE, StartKind.COLD):
                self._start(found, kind, None)
            self._loaded(found, f"{name} (ephemeral)")

    def _loaded(self, found: Subject, words: str) -> None:
        """Calls that find the code loaded: in an instance asleep, and in one awake."""
        asleep = startkinds.question(f"start-asleep-{found.name}", words, StartKind.ASLEEP, None)
        self._ask(asleep, lambda: startkinds.asleep_calls(asleep, found, self._n))
        warm = startkinds.question(f"start-warm-{found.name}", words, StartKind.WARM, None)
        self._ask(warm, lambda: startkinds.warm_calls(warm, found, self._n))

    def _start(self, found: Subject, kind: StartKind, baseline: str | None) -> None:
        n = FEW if baseline == "docker" else self._n
        ask = startkinds.question(f"start-{kind}-{found.name}", found.name, kind, baseline)
        self._ask(ask, lambda: startkinds.first_calls(ask, found, kind, baseline, n))

    def _reaching(self) -> None:
        project = self._projects.reaching()
        for name in REACHING:
            ask = reach.question(name)
            self._ask(ask, partial(reach.beside_plain, ask, project, name, self._n))

    def _throughput(self, express: Subject) -> None:
        self._ask(proxy.QUESTION, self._beside_nginx)
        self._ask(EXPRESS_RPS, lambda: self._beside_bare(express))

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
        self._ask(ask, lambda: latency.added(ask, express, self._n))

    def _isolation(self) -> None:
        for language in ("python", "node"):
            for kept_apart in ("process", "container"):
                name = ephemeral(language, kept_apart)
                ask = isolation.question(f"ephemeral-{name}", name, language, kept_apart)
                self._ask(ask, partial(self._ephemeral, ask, name))

    def _ephemeral(self, ask: Question, name: str) -> Measure:
        found = subject.prepare(self._standard, name)
        return isolation.beside_docker_run(ask, found, self._settings.duration_s, FEW)

    def _many(self) -> None:
        bursting = self._projects.bursting()
        self._ask(burst.QUESTION, lambda: burst.beside_one(burst.QUESTION, bursting, BURST, self._n))
        many, single = self._projects.crowd(crowd.CROWD), self._projects.crowd(1)
        self._ask(crowd.QUESTION, lambda: crowd.beside_one(crowd.QUESTION, many, single, TINY, self._n))
        tiny, ask = self._subject(TINY), slow.QUESTION
        self._ask(ask, lambda: slow.beside_none(ask, tiny, self._settings.duration_s, FEW))
        self._neighbour()
        ask_all(self._ask, self._projects.later(), self._settings.duration_s, FEW)
        self._workflows()

    def _workflows(self) -> None:
        project, duration_s = self._projects.workflow(), self._settings.duration_s
        for ask in (workflow_steps.STEPS_MS, workflow_steps.STEPS_RATE):
            self._ask(ask, partial(workflow_steps.beside_restate, ask, project, duration_s, FEW))

    def _neighbour(self) -> None:
        ask, project = noisy.QUESTION, self._projects.noisy()
        self._ask(ask, lambda: noisy.beside_none(ask, project, TINY, NOISY, self._settings.duration_s, FEW))

    def _kept(self, *subjects: Subject) -> None:
        """Of what is kept from one call to the next: memory asleep, and what a request has left in a template."""
        for found in subjects:
            ask = footprint.asleep_question(found.name)
            self._ask(ask, partial(footprint.asleep, ask, found, FEW))
        project = self._projects.warming()
        self._ask(warming.QUESTION, lambda: warming.beside_none(warming.QUESTION, project, self._n))

    def _rest(self, express: Subject) -> None:
        ask, n = self._ask, self._n
        edited, file = self._projects.edited()
        ask(edit.QUESTION, lambda: edit.answered(edit.QUESTION, edited, EDITED, file, FEW))
        ask(footprint.BASE, lambda: footprint.base(footprint.BASE, express, FEW))
        ask(footprint.INSTANCE, lambda: footprint.instance(footprint.INSTANCE, express, FEW))
        ask(verbs.HELP, lambda: verbs.help_(verbs.HELP, n))
        ask(verbs.BUILD, lambda: verbs.build(verbs.BUILD, self._standard, FEW))


def measure(folder: Path, settings: Settings, progress: Progress, only: Collection[str] = ()) -> Result:
    """What is asked for; `folder` is where the projects under measurement are made."""
    return Suite(folder, settings, progress, only).run()

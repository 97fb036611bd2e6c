"""The projects that `make bench` measures: made of fnctl's own templates, in a folder of the cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from fnctl import catalog, config
from fnctl.bench.startkinds import POOL
from fnctl.model import Project

APPS = Path(__file__).parent / "apps"
HANDLERS = {"node24": ("hello-node", "handler.js"), "python3.13": ("hello-python", "handler.py")}

EXPRESS, FLASK, TINY, NOISY = "express", "flask", "tiny", "noisy"
BURST = tuple(f"burst-{index}" for index in range(1, POOL + 1))
EDITED = "edited"
CLOCK, RELAY = "clock", "relay"
STEPS, WORKFLOW = ("first", "second", "third"), "steps"
PLAIN = "plain"
WARMED_FLASK, COLD_FLASK = "warmed", "unwarmed"
# What each has that PLAIN has not. With both addresses allowed, egress needs no rules, and so no root.
REACHING = {
    "services": "network: services, ",
    "egress": "network: egress, egress: {host: true, link_local: true}, ",
    "limits": "memory: 300m, cpus: 1, ",
}


def ephemeral(language: str, isolation: str) -> str:
    """Name of the ephemeral function in this language with this isolation."""
    return f"{language}-{isolation}"


class BenchProjects:
    """Writes the projects under one folder. What is there already is written over, never added to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def standard(self) -> Project:
        """The to-do lists, the smallest server, and one handler a language and isolation."""
        root = self._fresh("standard")
        templates = catalog.templates_dir()
        for name in ("todolist-express", "todolist-flask"):
            shutil.copytree(
                templates / name, root / name, ignore=shutil.ignore_patterns("test*", "ephemeral", "README*")
            )
            (root / name / "fnctl.yaml").unlink()
        shutil.copytree(APPS / "tiny", root / "tiny")
        for template, file in HANDLERS.values():
            (root / template).mkdir()
            shutil.copy(templates / template / file, root / template / file)
        return _project(root, [*_apps(), *_handlers()])

    def bursting(self) -> Project:
        """As many functions as the pool holds, of the same small app, so that each call of a burst is a first one."""
        root = self._fresh("burst")
        shutil.copytree(APPS / "tiny", root / "tiny")
        return _project(root, [_function(name, "tiny", "node24", "app.js") for name in BURST])

    def reaching(self) -> Project:
        """One handler, plain, on each network, and with limits of its own."""
        root = self._fresh("reach")
        template, file = HANDLERS["node24"]
        (root / "code").mkdir()
        shutil.copy(catalog.templates_dir() / template / file, root / "code" / file)
        extras = {PLAIN: "", **REACHING}
        functions = [
            _function(name, "code", "node24", "handler.handler", f"model: ephemeral, {extra}")
            for name, extra in extras.items()
        ]
        return _project(root, [*functions, "services:\n  data: {type: data}\n"])

    def warming(self) -> Project:
        """The Flask to-do list as an ephemeral function, with a request before its processes are forked and without."""
        root = self._fresh("warming")
        ignored = shutil.ignore_patterns("test*", "ephemeral", "README*", "fnctl.yaml")
        shutil.copytree(catalog.templates_dir() / "todolist-flask", root / "flask", ignore=ignored)
        extras = {WARMED_FLASK: "warmup: /api/todos, ", COLD_FLASK: ""}
        return _project(
            root,
            [
                _function(name, "flask", "python3.13", "app.py", f"model: ephemeral, {extra}")
                for name, extra in extras.items()
            ],
        )

    def crowd(self, size: int) -> Project:
        """`size` functions of the same small app; one of them is called TINY."""
        root = self._fresh(f"crowd-{size}")
        shutil.copytree(APPS / "tiny", root / "tiny")
        names = [TINY, *(f"other-{index}" for index in range(1, size))]
        return _project(root, [_function(name, "tiny", "node24", "app.js") for name in names])

    def noisy(self) -> Project:
        """The smallest server, and one that prints without end."""
        root = self._fresh("noisy")
        for name in (TINY, NOISY):
            shutil.copytree(APPS / name, root / name)
        return _project(root, [_function(name, name, "node24", "app.js") for name in (TINY, NOISY)])

    def later(self) -> Project:
        """What is called later, and what calls another function."""
        root = self._fresh("later")
        for name in (CLOCK, RELAY, TINY):
            shutil.copytree(APPS / name, root / name)
        functions = [_function(name, name, "node24", "app.js") for name in (RELAY, TINY)]
        return _project(root, [_function(CLOCK, CLOCK, "node24", "app.js", "async: {backlog: 10000000}, "), *functions])

    def workflow(self) -> Project:
        """Three functions, and a workflow that calls one after the other."""
        root = self._fresh("workflow")
        shutil.copytree(APPS / "tiny", root / "tiny")
        given = "{order: '${ $workflow.input.order }'}"
        tasks = "".join(f"      - {name}: {{call: {name}, with: {given}}}\n" for name in STEPS)
        head = f"    document: {{dsl: '1.0.3', namespace: bench, name: {WORKFLOW}, version: '1.0.0'}}\n"
        functions = [_function(name, "tiny", "node24", "app.js") for name in STEPS]
        return _project(root, [*functions, f"workflows:\n  {WORKFLOW}:\n{head}    do:\n{tasks}"])

    def edited(self) -> tuple[Project, Path]:
        """A handler to be edited, and its file."""
        root = self._fresh("edit")
        (root / "code").mkdir()
        file = root / "code" / "handler.js"
        file.write_text("exports.handler = async () => 'edit 0';\n")
        return _project(root, [_function(EDITED, "code", "node24", "handler.handler")]), file

    def _fresh(self, name: str) -> Path:
        root = self._folder / name
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        return root


def _apps() -> Iterable[str]:
    yield _function(EXPRESS, "todolist-express", "node24", "app.js")
    yield _function(FLASK, "todolist-flask", "python3.13", "app.py")
    yield _function(TINY, "tiny", "node24", "app.js")


def _handlers() -> Iterable[str]:
    for language, runtime in (("node", "node24"), ("python", "python3.13")):
        for isolation in ("process", "container"):
            extra = f"model: ephemeral, isolation: {isolation}, "
            yield _function(ephemeral(language, isolation), HANDLERS[runtime][0], runtime, "handler.handler", extra)


def _function(name: str, folder: str, runtime: str, handler: str, extra: str = "") -> str:
    return f"  {name}: {{path: {folder}, runtime: {runtime}, handler: {handler}, {extra}scale: {{max: {POOL}}}}}\n"


def _project(root: Path, functions: Iterable[str]) -> Project:
    file = root / "fnctl.yaml"
    file.write_text("functions:\n" + "".join(functions))
    return config.load(root, file)

"""The projects that `fnctl bench --all` measures: made of fnctl's own templates, in a folder of the cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from fnctl import assets, config
from fnctl.bench.startkinds import POOL
from fnctl.model import Project

APPS = Path(__file__).parent / "apps"
HANDLERS = {"node24": ("hello-node", "handler.js"), "python3.13": ("hello-python", "handler.py")}

EXPRESS, FLASK, TINY = "express", "flask", "tiny"
BURST = tuple(f"burst-{index}" for index in range(1, POOL + 1))
EDITED = "edited"


def ephemeral(language: str, isolation: str) -> str:
    """Name of the ephemeral function in this language with this isolation."""
    return f"{language}-{isolation}"


class Workshop:
    """Writes the projects under one folder. What is there already is written over, never added to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def standard(self) -> Project:
        """The to-do lists, the smallest server, and one handler a language and isolation."""
        root = self._fresh("standard")
        templates = assets.templates_dir()
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

    def crowd(self, size: int) -> Project:
        """`size` functions of the same small app; one of them is called TINY."""
        root = self._fresh(f"crowd-{size}")
        shutil.copytree(APPS / "tiny", root / "tiny")
        names = [TINY, *(f"other-{index}" for index in range(1, size))]
        return _project(root, [_function(name, "tiny", "node24", "app.js") for name in names])

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

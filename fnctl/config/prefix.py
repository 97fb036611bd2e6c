"""Whether an app has routes below its own function's name: then `/NAME/…` is its own path and no prefix. By reading."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fnctl.config.detect.source import read_source
from fnctl.model import Function

SUFFIXES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".py", ".php", ".go", ".rb")
MAX_FILES = 300
_LEFT_OUT = frozenset({"node_modules", ".venv", "venv", "vendor", "__pycache__", "tests", "test", "static", "public"})


def with_prefix(functions: tuple[Function, ...]) -> tuple[Function, ...]:
    """The only function of a project, with what its code says of `/NAME`; several are told apart by that prefix."""
    if len(functions) != 1 or any(route.path for route in functions[0].routes):
        return functions
    (function,) = functions
    return (replace(function, owns_prefix=owns(function.path, function.name)),)


def owns(folder: Path, name: str) -> bool:
    """A string that begins with `/NAME` and goes on as a path does: `"/api/todos"`, `path("api/"` of Django."""
    route = re.compile(rf"""['"`]/{re.escape(name)}(?=[/'"`?:<{{(*])|\bpath\(\s*['"]{re.escape(name)}/""")
    sources = (read_source(folder, file) for _, file in zip(range(MAX_FILES), _files(folder), strict=False))
    return any(source is not None and route.search(source.text) for source in sources)


def _files(folder: Path) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in _LEFT_OUT and not each.startswith("."))
        inside = Path(where).relative_to(folder)
        yield from ((inside / each).as_posix() for each in sorted(files) if each.endswith(SUFFIXES))

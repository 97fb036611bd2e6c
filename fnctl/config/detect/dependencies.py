"""The packages that a Python folder depends on, each with its place. Not their versions, and nothing installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from fnctl.config.detect.finding import Evidence
from fnctl.config.detect.source import Source, read_source

REQUIREMENTS = ("requirements.txt", "requirements/base.txt", "requirements/production.txt")
_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def python_dependencies(folder: Path) -> dict[str, Evidence]:
    """By normalized name (PEP 503: lower case, `-`)."""
    found: dict[str, Evidence] = {}
    for name in REQUIREMENTS:
        if source := read_source(folder, name):
            found = {**_requirements(source), **found}
    if source := read_source(folder, "pyproject.toml"):
        found = {**_project(source), **found}
    if source := read_source(folder, "Pipfile"):
        found = {**_pipfile(source), **found}
    return found


def _requirements(source: Source) -> dict[str, Evidence]:
    found = {}
    for number, line in enumerate(source.text.splitlines(), 1):
        if match := _NAME.match(line):
            found[_normal(match[1])] = source.evidence(number, f"depends on {_normal(match[1])}")
    return found


def _project(source: Source) -> dict[str, Evidence]:
    data = _toml(source)
    listed = _at(data, "project").get("dependencies", [])
    names = [match[1] for each in listed if isinstance(each, str) and (match := _NAME.match(each))]
    return _placed(source, [*names, *_at(data, "tool", "poetry", "dependencies")])


def _pipfile(source: Source) -> dict[str, Evidence]:
    return _placed(source, list(_at(_toml(source), "packages")))


def _placed(source: Source, names: list[str]) -> dict[str, Evidence]:
    return {_normal(name): source.evidence(source.find(name), f"depends on {_normal(name)}") for name in names}


def _at(data: dict[str, Any], *path: str) -> dict[str, Any]:
    for key in path:
        found = data.get(key)
        data = found if isinstance(found, dict) else {}
    return data


def _toml(source: Source) -> dict[str, Any]:
    try:
        return tomllib.loads(source.text)
    except tomllib.TOMLDecodeError:
        return {}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

"""From the files to a Project: read each, validate, merge what they include, resolve each function on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fnctl.config import dotenv
from fnctl.config.detect import Finding, written
from fnctl.config.detected import detect
from fnctl.config.document import Document, Loc, read
from fnctl.config.explain import problems_of
from fnctl.config.keys import ProjectFile
from fnctl.config.locate import FILE_NAME, find, project_id
from fnctl.config.problems import Problem, failure
from fnctl.config.resolve import Given, resolve
from fnctl.model import Function, Project, RuntimeSpec, Secret, Service

ENV_FILE = ".env"  # beside the project's file
_NAMED = ("functions", "services", "secrets")  # what a file has of each name


def load_project(
    start: Path, file: Path | None, environ: Mapping[str, str], runtimes: Mapping[str, RuntimeSpec] | None
) -> Project:
    """See `fnctl.config.load`."""
    known = _shipped() if runtimes is None else runtimes
    found = find(start, file)
    folder = start.resolve() if found is None else found.parent
    environ = {**_dotenv(folder / ENV_FILE, environ), **environ}
    return _from_folder(folder, environ, known) if found is None else _from_file(found, environ, known)


def _dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The project's `.env`: what it says where the environment says nothing."""
    if not path.is_file():
        return {}
    variables, problems = dotenv.read(path, path.name, environ)
    if problems:
        raise failure(problems)
    return variables


def _shipped() -> Mapping[str, RuntimeSpec]:
    from fnctl import assets

    return assets.runtimes()


def _from_folder(folder: Path, environ: Mapping[str, str], runtimes: Mapping[str, RuntimeSpec]) -> Project:
    """A folder without a file: the functions found by reading what is in it. A `.env` beside them is theirs."""
    detected = detect(folder, runtimes)
    problems: list[Problem] = []
    functions = []
    given = Given(environ, {})
    own = {"env_file": [ENV_FILE]} if (folder / ENV_FILE).is_file() else {}
    for name, (finding, runtime) in detected.functions.items():
        document = _as_document(folder, name, finding)
        entry = {**own, **written.entry(finding, runtime)}
        source = _validated(replace(document, data={"functions": {name: entry}}))
        if source.entry and name in source.entry.functions:
            made = resolve(name, source.entry.functions[name], source.document, ("functions", name), runtimes, given)
            functions += [made] if made else []
        problems += source.document.problems
    if problems:
        raise failure(problems)
    notes = (detected.words, *(str(note) for note in detected.notes))
    return Project(root=folder, id=project_id(folder), functions=tuple(functions), notes=notes)


def _as_document(folder: Path, name: str, finding: Finding) -> Document:
    """Where problems with a function that was found are: the lines of the file that told of its handler."""
    at = finding.line_for("handler") or finding.evidence[0]
    document = Document(at.file, folder)
    document.lines[("functions", name)] = at.line or 1
    for evidence in finding.evidence:
        if evidence.file == at.file and evidence.line:
            document.lines.setdefault(("functions", name, evidence.so.split()[0].rstrip(":,")), evidence.line)
    return document


def _from_file(path: Path, environ: Mapping[str, str], runtimes: Mapping[str, RuntimeSpec]) -> Project:
    sources = list(_sources(path, environ))
    merged = _Merged()
    for source in sources:
        merged.add_secrets(source, path.parent / ENV_FILE)
    given = Given(environ, merged.secrets)
    for source in sources:
        merged.add(source, runtimes, given)
    problems = [problem for source in sources for problem in source.document.problems]
    if not problems and not merged.functions and not merged.services:
        problems = [Problem(FILE_NAME, None, "declares no functions", "add them under `functions:`; see fnctl init")]
    if problems:
        raise failure(problems)
    return Project(
        root=path.parent,
        id=project_id(path.parent),
        functions=tuple(replace(each, private=_private(each, sources)) for each in merged.functions.values()),
        services=tuple(merged.services.values()),
        file=path,
    )


@dataclass(slots=True)
class _Source:
    """One file that took part: what it says, and what is wrong with it. `entry` is None where it is not usable."""

    document: Document
    entry: ProjectFile | None


def _sources(first: Path, environ: Mapping[str, str]) -> Iterator[_Source]:
    """The file and what it includes, each once, in the order of reading; files may include one another."""
    waiting, seen = [first], {first}
    while waiting:
        path = waiting.pop(0)
        source = _validated(read(path, os.path.relpath(path, first.parent), environ, _is_text, _is_later))
        for index, included in enumerate(_includes(source)):
            target = (path.parent / included).resolve()
            target = target / FILE_NAME if target.is_dir() else target
            if not target.is_file():
                source.document.problem(("include", index), f"no such file: {included}")
            elif target not in seen:
                seen.add(target)
                waiting.append(target)
        yield source


def _includes(source: _Source) -> list[str]:
    return source.entry.include if source.entry else []


def _private(function: Function, sources: Sequence[_Source]) -> tuple[str, ...]:
    """The project's secret and environment files that lie in the function's folder, whoever uses them."""
    found = {
        (source.document.path.parent / name).resolve()
        for source in sources
        if source.entry is not None
        for name in (
            *(secret.file for secret in source.entry.secrets.values() if secret.file is not None),
            *(file for entry in source.entry.functions.values() for file in entry.env_file),
        )
    }
    inside = (each.relative_to(function.path) for each in found if each.is_relative_to(function.path))
    return tuple(sorted(each.as_posix() for each in inside))


def _is_text(loc: Loc) -> bool:
    return len(loc) == 4 and loc[0] == "functions" and loc[2] in ("environment", "command")


def _is_later(loc: Loc, name: str) -> bool:
    """A command's port is not that of whoever runs fnctl."""
    return name == "PORT" and len(loc) >= 3 and loc[0] == "functions" and loc[2] == "command"


def _validated(document: Document) -> _Source:
    """Check types and keys. A function that is wrong is left out, so that the others are still looked at."""
    data = document.data
    if data is None or not isinstance(data, dict):
        if not document.problems:
            document.problem((), f"must hold keys and values, found {'nothing' if data is None else 'something else'}")
        return _Source(document, None)
    kept: dict[str, Any] = {key: value for key, value in data.items() if not key.startswith("x-")}
    try:
        return _Source(document, ProjectFile.model_validate(kept))
    except ValidationError as error:
        document.problems += problems_of(error, document)
        return _Source(document, _usable_part(kept, error))


def _usable_part(data: dict[str, Any], error: ValidationError) -> ProjectFile | None:
    for loc in {each["loc"][:2] if each["loc"][0] in _NAMED else each["loc"][:1] for each in error.errors()}:
        inner = data.get(str(loc[0]))
        if len(loc) == 2 and isinstance(inner, dict):
            data = {**data, str(loc[0]): {key: value for key, value in inner.items() if key != loc[1]}}
        else:
            data = {key: value for key, value in data.items() if key != loc[0]}
    try:
        return ProjectFile.model_validate(data)
    except ValidationError:
        return None


@dataclass(slots=True)
class _Merged:
    """What all files declare. A function has one home; equal services are one service, and so are equal secrets."""

    functions: dict[str, Function] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    homes: dict[Loc, str] = field(default_factory=dict)

    def add_secrets(self, source: _Source, env_file: Path) -> None:
        """Before any function: it may use what another file declares."""
        document = source.document
        for name, entry in source.entry.secrets.items() if source.entry else ():
            loc = ("secrets", name)
            file = (document.path.parent / entry.file).resolve() if entry.file is not None else None
            made = Secret(name, file, entry.environment, env_file, f"{document.label}:{document.line(loc)}")
            if self._taken(document, loc) and not _same(self.secrets[name], made):
                document.problem(loc, self._twice("secret", loc) + " and differs")
            self.secrets.setdefault(name, made)

    def add(self, source: _Source, runtimes: Mapping[str, RuntimeSpec], given: Given) -> None:
        if source.entry is None:
            return
        document = source.document
        for name, entry in source.entry.functions.items():
            if self._taken(document, ("functions", name)):
                hint = "a function's name is its address: rename one of them"
                document.problem(("functions", name), self._twice("function", ("functions", name)), hint)
            elif function := resolve(name, entry, document, ("functions", name), runtimes, given):
                self.functions[name] = function
        for name, service in source.entry.services.items():
            made = Service(name=name, type=service.type)
            if self._taken(document, ("services", name)) and self.services.get(name) != made:
                document.problem(("services", name), self._twice("service", ("services", name)) + " and differs")
            self.services.setdefault(name, made)

    def _taken(self, document: Document, loc: Loc) -> bool:
        here = f"{document.label}:{document.line(loc)}"
        return self.homes.setdefault(loc, here) != here

    def _twice(self, noun: str, loc: Loc) -> str:
        return f"{noun} `{loc[1]}` is already declared at {self.homes[loc]}"


def _same(one: Secret, other: Secret) -> bool:
    return (one.file, one.variable) == (other.file, other.variable)

"""From the files to a Project: read each, validate, merge what they include, resolve each function on disk."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fnctl import catalog
from fnctl.config import dotenv
from fnctl.config.detect import Finding, written
from fnctl.config.detected import ENV_FILE, detect
from fnctl.config.document import Document, Loc, read
from fnctl.config.explain import dotted, problems_of
from fnctl.config.keys import AuthEntry, ProjectFile
from fnctl.config.locate import FILE_NAME, find, named, project_id, project_name
from fnctl.config.prefix import with_prefix
from fnctl.config.problems import Problem, did_you_mean, failure
from fnctl.config.queues import Place, queue_of, with_triggers
from fnctl.config.queues import check as check_queues
from fnctl.config.resolve import Given, resolve
from fnctl.config.workflows import Workflows
from fnctl.model import Function, Project, Queue, RuntimeSpec, Secret, Service, ServiceType

_NAMED = ("functions", "services", "workflows", "secrets", "queues")  # what a file has of each name


def load_project(
    start: Path,
    file: Path | None,
    environ: Mapping[str, str],
    runtimes: Mapping[str, RuntimeSpec] | None,
    services: Mapping[str, ServiceType] | None,
) -> Project:
    """See `fnctl.config.load`."""
    known = _Known(catalog.runtimes() if runtimes is None else runtimes, services)
    found = find(start, file)
    folder = start.resolve() if found is None else found.parent
    environ = {**dotenv.load(folder / ENV_FILE, environ), **environ}
    if found is None:
        return _from_folder(folder, environ, known.runtimes)
    return _from_file(found, environ, known, file)


class _Known:
    """The runtimes and the types of services that there are; the latter are read where a file has any service."""

    def __init__(self, runtimes: Mapping[str, RuntimeSpec], services: Mapping[str, ServiceType] | None) -> None:
        self.runtimes = runtimes
        self._services = services

    @property
    def services(self) -> Mapping[str, ServiceType]:
        if self._services is None:
            self._services = catalog.service_types()
        return self._services


def _from_folder(folder: Path, environ: Mapping[str, str], runtimes: Mapping[str, RuntimeSpec]) -> Project:
    """A folder without a file: the functions found by reading what is in it. A `.env` beside them is theirs."""
    detected = detect(folder, runtimes)
    problems: list[Problem] = []
    functions = []
    given = Given(environ, {})
    own = {"env_file": [detected.env_file]} if detected.env_file else {}
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
    reads = (folder / FILE_NAME, folder / ENV_FILE)
    return Project(
        root=folder,
        id=project_id(folder),
        place=named(folder),
        functions=with_prefix(tuple(functions)),
        notes=notes,
        reads=reads,
    )


def _as_document(folder: Path, name: str, finding: Finding) -> Document:
    """Where problems with a function that was found are: the lines of the file that told of its handler."""
    at = finding.line_for("handler") or finding.evidence[0]
    document = Document(at.file, folder)
    document.lines[("functions", name)] = at.line or 1
    for evidence in finding.evidence:
        if evidence.file == at.file and evidence.line:
            document.lines.setdefault(("functions", name, evidence.so.split()[0].rstrip(":,")), evidence.line)
    return document


def _from_file(path: Path, environ: Mapping[str, str], known: _Known, asked: Path | None) -> Project:
    sources = list(_sources(path, environ))
    merged = _Merged()
    for source in sources:
        merged.add_secrets(source, path.parent / ENV_FILE)
    given = Given(environ, merged.secrets)
    for source in sources:
        merged.add(source, known, given)
    flows = {name for source in sources if source.entry is not None for name in source.entry.workflows}
    for source in sources:
        _check_calls(source, merged.functions, flows)
    for source in sources[1:]:
        if source.entry is not None and source.entry.store is not None:
            source.document.problem(("store",), "a project has one store", f"write it into {path.name} of the project")
    workflows = merged.workflows.checked(merged.functions, merged.secrets)
    if workflows and sources[0].entry is not None and sources[0].entry.store is not None:
        text = "workflows cannot be kept in a store that several runs of fnctl share"
        sources[0].document.problem(("store",), text, "remove `store`, or give the workflows a project of their own")
    known_queues = with_triggers(merged.queues, merged.functions)
    check_queues(merged.functions, known_queues, merged.places)
    problems = [problem for source in sources for problem in source.document.problems]
    if not problems and not merged.functions and not merged.services and not workflows:
        problems = [Problem(FILE_NAME, None, "declares no functions", "add them under `functions:`; see fnctl init")]
    if problems:
        raise failure(problems)
    return Project(
        root=path.parent,
        id=project_id(path.parent, asked),
        name=project_name(path),
        store=sources[0].entry.store if sources[0].entry else None,
        place=named(path.parent, asked),
        functions=with_prefix(
            tuple(replace(each, private=_private(each, sources)) for each in merged.functions.values())
        ),
        services=tuple(merged.services.values()),
        workflows=workflows,
        queues=tuple(known_queues.values()),
        file=path,
        reads=tuple(dict.fromkeys(_reads(path, sources))),
    )


def _reads(first: Path, sources: Sequence[_Source]) -> Iterator[Path]:
    """As the files name them: what a symlink leads to may be another file the next time."""
    yield first.parent / ENV_FILE
    for source in sources:
        yield source.document.path
        if source.entry is None:
            continue
        names = [secret.file for secret in source.entry.secrets.values() if secret.file is not None]
        for entry in source.entry.functions.values():
            names += [entry.path, *entry.env_file]
            names += [entry.auth.jwt.jwks] if isinstance(entry.auth, AuthEntry) else []
        names += [entry for entry in source.entry.workflows.values() if isinstance(entry, str)]
        for name in names:
            yield source.document.path.parent / name


def _check_calls(source: _Source, functions: Mapping[str, Function], workflows: Collection[str]) -> None:
    """Whoever a function may call must be there. Queues can be made later, and events need nobody."""
    known = {"function": functions, "workflow": workflows}
    for name, entry in source.entry.functions.items() if source.entry else ():
        for index, word in enumerate(entry.calls or ()):
            kind, called = word.split("/", 1) if "/" in word else ("function", word)
            if kind in known and called not in known[kind] and name in functions:
                loc: Loc = ("functions", name, "calls", index)
                text = f"{dotted(loc)}: no {kind} `{called}`"
                source.document.problem(loc, text, did_you_mean(called, known[kind]))


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
        source = _validated(read(path, os.path.relpath(path, first.parent), environ, _is_text, _is_later, _is_workflow))
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


def _is_workflow(loc: Loc) -> bool:
    """`${ … }` in a definition is an expression of its own."""
    return len(loc) > 2 and loc[0] == "workflows"


def _validated(document: Document) -> _Source:
    """Check types and keys. A function that is wrong is left out, so that the others are still looked at."""
    data = document.data
    if data is None or not isinstance(data, dict):
        if not document.problems:
            document.problem(
                (), f"must contain keys and values, found {'nothing' if data is None else 'something else'}"
            )
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
    workflows: Workflows = field(default_factory=Workflows)
    queues: dict[str, Queue] = field(default_factory=dict)
    homes: dict[Loc, str] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)

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

    def add(self, source: _Source, known: _Known, given: Given) -> None:
        if source.entry is None:
            return
        document = source.document
        for name, entry in source.entry.functions.items():
            if self._taken(document, ("functions", name)):
                hint = "a function's name is part of its URL: rename one of them"
                document.problem(("functions", name), self._twice("function", ("functions", name)), hint)
            elif function := resolve(name, entry, document, ("functions", name), known.runtimes, given):
                self.functions[name] = function
                self.places["functions", name] = Place(document, ("functions", name))
        for name, queue in source.entry.queues.items():
            if self._taken(document, ("queues", name)):
                document.problem(("queues", name), self._twice("queue", ("queues", name)), "keep one of them")
            self.queues[name] = queue_of(name, queue)
            self.places["queues", name] = Place(document, ("queues", name))
        for name, service in source.entry.services.items():
            if service.type not in known.services:
                loc = ("services", name, "type")
                document.problem(
                    loc, f"{dotted(loc)} cannot be `{service.type}`", did_you_mean(service.type, known.services)
                )
            made = Service(name=name, type=service.type)
            if self._taken(document, ("services", name)) and self.services.get(name) != made:
                document.problem(("services", name), self._twice("service", ("services", name)) + " and differs")
            self.services.setdefault(name, made)
        for name, definition in source.entry.workflows.items():
            if self._taken(document, ("workflows", name)):
                text = self._twice("workflow", ("workflows", name))
                document.problem(("workflows", name), text, "rename one of them")
            else:
                self.workflows.add(name, definition, document)

    def _taken(self, document: Document, loc: Loc) -> bool:
        here = f"{document.label}:{document.line(loc)}"
        return self.homes.setdefault(loc, here) != here

    def _twice(self, noun: str, loc: Loc) -> str:
        return f"{noun} `{loc[1]}` is already declared at {self.homes[loc]}"


def _same(one: Secret, other: Secret) -> bool:
    return (one.file, one.variable) == (other.file, other.variable)

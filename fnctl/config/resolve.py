"""One function's entry against the disk and the known runtimes: a Function with all defaults, or problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fnctl.config.detect import detect
from fnctl.config.document import Document, Loc
from fnctl.config.keys import DEFAULT_CONCURRENCY, MIN_MEMORY_MB, ONE_AT_A_TIME, WITH_INITIALIZER, FunctionEntry
from fnctl.config.problems import did_you_mean
from fnctl.model import Function, HttpTrigger, Isolation, Model, RuntimeSpec, Scale

# Where a language looks for the module `a.b` of a handler `a.b.attr`.
MODULE_FILES = {
    "node": ("{path}.js", "{path}.mjs", "{path}.cjs", "{path}/index.js", "{path}/index.mjs"),
    "python": ("{path}.py", "{path}/__init__.py"),
}
FILE_SUFFIXES = {".js", ".mjs", ".cjs", ".ts", ".py"}


def function_name(folder: Path) -> str:
    """A legal function name out of a folder's name."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:63].rstrip("-")
    return name if name and name[0].isalpha() else f"fn-{name}".rstrip("-")[:63]


def resolve(
    name: str, entry: FunctionEntry, document: Document, loc: Loc, runtimes: Mapping[str, RuntimeSpec]
) -> Function | None:
    """None where something is wrong; the document's problems then say what."""
    before = len(document.problems)
    folder = _folder(entry, document, loc)
    spec = _runtime(entry, folder, document, loc, runtimes) if folder else None
    handler = _handler(entry, folder, spec, document, loc) if folder and spec else None
    _check_limits(entry, document, loc)
    if spec and entry.contract is not None and entry.contract not in spec.contracts:
        hint = f"{spec.name} knows: {', '.join(spec.contracts)}"
        document.problem((*loc, "contract"), f"{_of(loc)} has the contract `{entry.contract}`", hint)
    if entry.initializer is not None and entry.contract is not None and entry.contract not in WITH_INITIALIZER:
        hint = f"contracts with one: {', '.join(sorted(WITH_INITIALIZER))}"
        document.problem((*loc, "initializer"), f"the contract `{entry.contract}` has no initializer", hint)
    if len(document.problems) > before or folder is None or spec is None or handler is None:
        return None
    return Function(
        name=name,
        path=folder,
        runtime=spec.name,
        handler=handler,
        contract=entry.contract,
        initializer=entry.initializer,
        model=entry.model,
        isolation=entry.isolation or Isolation.PROCESS,
        environment=tuple(sorted(entry.environment.items())),
        timeout_s=entry.timeout,
        memory_mb=entry.memory,
        cpus=entry.cpus,
        concurrency=_concurrency(entry, spec),
        queue=entry.queue,
        scale=Scale(entry.scale.min, entry.scale.max),
        idle_timeout_s=entry.idle_timeout,
        network=entry.network,
        triggers=tuple(HttpTrigger(t.http.path, frozenset(t.http.methods), t.http.host) for t in entry.triggers),
    )


def _concurrency(entry: FunctionEntry, spec: RuntimeSpec) -> int:
    if entry.model is Model.EPHEMERAL:
        return 1
    usual = 1 if entry.contract in ONE_AT_A_TIME else DEFAULT_CONCURRENCY.get(spec.language, 16)
    return entry.concurrency or usual


def _folder(entry: FunctionEntry, document: Document, loc: Loc) -> Path | None:
    base = document.path if document.path.is_dir() else document.path.parent
    folder = (base / entry.path).resolve()
    if folder.is_dir():
        return folder
    found = "is a file" if folder.is_file() else "does not exist"
    document.problem((*loc, "path"), f"folder `{entry.path}` of {_of(loc)} {found}", "`path` is relative to this file")
    return None


def _runtime(
    entry: FunctionEntry, folder: Path, document: Document, loc: Loc, runtimes: Mapping[str, RuntimeSpec]
) -> RuntimeSpec | None:
    if entry.runtime is not None:
        if entry.runtime not in runtimes:
            hint = did_you_mean(entry.runtime, runtimes) + f" (known: {', '.join(sorted(runtimes))})"
            document.problem((*loc, "runtime"), f"unknown runtime `{entry.runtime}` in {_of(loc)}", hint)
        return runtimes.get(entry.runtime)
    found = detect(folder)
    if found is None:
        hint = "name them: `runtime: node24`, `handler: index.js`"
        document.problem(loc, f"cannot tell the runtime of {_of(loc)} by reading {folder.name}/", hint)
        return None
    if len(found) > 1:
        both = " and ".join(f"{app.language} ({app.handler})" for app in found)
        document.problem(loc, f"{_of(loc)} could be {both}", "say which with `runtime:` and `handler:`")
        return None
    return newest(found[0].language, document, loc, runtimes)


def newest(language: str, document: Document, loc: Loc, runtimes: Mapping[str, RuntimeSpec]) -> RuntimeSpec | None:
    """The runtime of a language with the highest version."""
    fitting = [spec for spec in runtimes.values() if spec.language == language]
    if not fitting:
        document.problem(loc, f"no runtime for {language}", "known: " + ", ".join(sorted(runtimes)))
        return None
    return max(fitting, key=lambda spec: [int(part) for part in re.findall(r"\d+", spec.version)])


def _handler(entry: FunctionEntry, folder: Path, spec: RuntimeSpec, document: Document, loc: Loc) -> str | None:
    if entry.handler is not None:
        _check_handler(entry.handler, folder, spec, document, (*loc, "handler"))
        return entry.handler
    found = next((app for app in detect(folder) or () if app.language == spec.language), None)
    if found is None:
        hint = "a file that is run (`index.js`, `app.py`), or `module.attr`"
        document.problem(loc, f"key `handler` is missing in {_of(loc)}", hint)
        return None
    return found.handler


def _check_handler(handler: str, folder: Path, spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    """The file, or the file of the module, must be there; whether `attr` is in it shows when it is loaded."""
    target = (folder / handler).resolve()
    if not target.is_relative_to(folder):
        document.problem(loc, f"handler `{handler}` of {_of(loc)} is outside its folder")
    elif target.is_file():
        return
    elif Path(handler).suffix in FILE_SUFFIXES or "." not in handler:
        hint = _near_file(handler, folder) or "`handler` is a file in `path`, or `module.attr`"
        document.problem(loc, f"handler file `{handler}` of {_of(loc)} is not in {folder.name}/", hint)
    else:
        _check_module(handler, folder, spec, document, loc)


def _check_module(handler: str, folder: Path, spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    module, _, _ = handler.rpartition(".")
    patterns = MODULE_FILES.get(spec.language)
    if patterns is None:
        return
    # Node's modules are paths ("src/handler"); Python's are dotted ("api.handler").
    path = module.replace(".", "/") if spec.language == "python" else module
    files = [pattern.format(path=path) for pattern in patterns]
    if not any((folder / file).is_file() for file in files):
        hint = f"looked for {', '.join(files)}"
        document.problem(loc, f"module `{module}` of handler `{handler}` of {_of(loc)} is not in {folder.name}/", hint)


def _near_file(handler: str, folder: Path) -> str | None:
    files = [entry.name for entry in folder.iterdir() if entry.suffix in FILE_SUFFIXES]
    return did_you_mean(handler, files) if files else None


def _check_limits(entry: FunctionEntry, document: Document, loc: Loc) -> None:
    """What single keys cannot tell: bounds between keys."""
    if entry.model is Model.EPHEMERAL and (entry.concurrency or 1) > 1:
        text = f"{_of(loc)} is ephemeral and cannot have a concurrency of {entry.concurrency}"
        document.problem((*loc, "concurrency"), text, "an ephemeral instance serves one request; use `model: resident`")
    if entry.model is Model.RESIDENT and entry.isolation is not None:
        text = f"`isolation` in {_of(loc)} has no meaning with `model: resident`"
        document.problem((*loc, "isolation"), text, "add `model: ephemeral`, or remove it")
    if entry.scale.min > entry.scale.max:
        document.problem((*loc, "scale"), f"scale.min {entry.scale.min} of {_of(loc)} is above max {entry.scale.max}")
    if entry.memory < MIN_MEMORY_MB:
        text = f"memory of {_of(loc)} is {entry.memory}m; the least is {MIN_MEMORY_MB}m"
        document.problem((*loc, "memory"), text)
    for key, value in (("timeout", entry.timeout), ("idle_timeout", entry.idle_timeout)):
        if value <= 0:
            document.problem((*loc, key), f"{key} of {_of(loc)} must be more than nothing")


def _of(loc: Loc) -> str:
    return f"function `{loc[-1]}`" if loc else "the app"

"""Reads the runtimes that layers/ declares.

A runtime is a folder under layers/ with a `runtime.yaml`; one folder may declare several (node22, node24). Nothing else
in fnctl knows their names. layers/README.md is the reference of the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fnctl.catalog.folders import layers_dir, mapping
from fnctl.errors import ConfigError
from fnctl.model import (
    INSTALLING,
    CodeRule,
    CompileRule,
    Contract,
    DetectRule,
    Function,
    InstallRule,
    ProvideRule,
    RuntimeSpec,
    StartRule,
    WarmRule,
)

ARCHITECTURES = ("amd64", "arm64")
# What the loader and the C library read as any program starts; and what an agent is booted with anyway.
START_VARIABLES = ("LD_*", "GLIBC_TUNABLES", "MALLOC_*", "LANG", "LC_ALL", "LC_CTYPE")
AT_BOOT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "LC_CTYPE": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Download:
    """A pinned archive: unpacked, it is the folder `name` of the build context.

    `source` is `npm:NAME@VERSION`, `pypi:PROJECT/FILE` or an https URL; `integrity` is `sha256:HEX` or npm's
    `sha512-BASE64`. `strip` leading path segments are cut off; `include` (empty: all) and `exclude` are paths after it.
    """

    name: str
    source: str
    integrity: str
    strip: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    architecture: str | None = None  # None: the same for all


@dataclass(frozen=True, slots=True)
class Requirements:
    """Python wheels of a lock file with hashes, installed into the folder `name` of the build context."""

    name: str
    file: Path
    python: str  # "3.13"


Fetch = Download | Requirements


@dataclass(frozen=True, slots=True)
class Layer:
    """One folder under layers/ that declares runtimes. `shared` is fetched once, `own` for each runtime selected, and
    `tools` when a build needs one: they are in no image."""

    folder: Path
    runtimes: Mapping[str, RuntimeSpec]
    shared: tuple[Fetch, ...]
    own: Mapping[str, tuple[Fetch, ...]]
    defaults: tuple[str, ...]  # runtimes that every machine is set up with
    tools: tuple[Fetch, ...] = ()


def runtimes(root: Path | None = None) -> dict[str, RuntimeSpec]:
    """Every declared runtime by name. ConfigError where a runtime.yaml cannot be used, or a name is there twice."""
    found: dict[str, RuntimeSpec] = {}
    for layer in layers(root):
        for name, spec in layer.runtimes.items():
            if name in found:
                raise ConfigError(f"runtime {name} is declared twice: in {found[name].folder} and in {spec.folder}")
            found[name] = spec
    return found


def default_runtimes() -> list[RuntimeSpec]:
    """Those that `fnctl setup` makes an image of, so that most projects find it ready."""
    return [layer.runtimes[name] for layer in layers() for name in layer.defaults]


def runtime_of(function: Function, known: Mapping[str, RuntimeSpec]) -> RuntimeSpec:
    """What a function is built with and booted as. A command is built with the runtime that it names, for its
    dependencies and interpreter, and booted as the runtime of commands; nothing of it is loaded at build."""
    spec = known[function.runtime]
    if not function.command:
        return _started_for(function, spec)
    commands = command_runtime(known)
    return replace(
        spec,
        agent=commands.agent,
        template=commands.template,
        environment=commands.environment,
        booted_as=commands.name,
        warm=None,
    )


def _started_for(function: Function, spec: RuntimeSpec) -> RuntimeSpec:
    """With the variables of the function that its interpreter reads as it starts, where there are any."""
    patterns = [rule.partition("=")[::2] for rule in (*spec.start.variables, *START_VARIABLES)]
    read = {
        name: _shaped(shape, value) if shape else value
        for name, value in function.environment
        for pattern, shape in patterns
        if AT_BOOT.get(name) != value and fnmatchcase(name, pattern)
    }
    if not read:
        return spec
    return replace(
        spec,
        agent=spec.start.agent or spec.agent,
        template=spec.start.template or spec.template,
        environment=tuple({**dict(spec.environment), **read}.items()),
        booted_as=f"{spec.name} of {function.name}",
        alone=True,
    )


def _shaped(shape: str, value: str) -> str:
    """The value as the agent gets it: one that begins as the shape does has that already."""
    before, _, _ = shape.partition("{value}")
    return value if before and value.startswith(before) else shape.replace("{value}", value)


def command_runtime(known: Mapping[str, RuntimeSpec]) -> RuntimeSpec:
    """The one whose agent runs commands, and that installs nothing. ConfigError where none of these does."""
    found = next((spec for spec in known.values() if Contract.COMMAND in spec.contracts), None)
    if found is None:
        raise ConfigError("no runtime has the contract `command`", hint="layers/command/runtime.yaml declares it")
    return found


def layers(root: Path | None = None) -> list[Layer]:
    """Every folder under `root` (layers/) that has a runtime.yaml, sorted by name."""
    return [read_layer(file.parent) for file in sorted((root or layers_dir()).glob("*/runtime.yaml"))]


def read_layer(folder: Path) -> Layer:
    file = folder / "runtime.yaml"
    try:
        return _layer(folder, mapping(file))
    except KeyError as missing:
        raise ConfigError(f"{file}: key {missing} is missing") from missing
    except (TypeError, ValueError, AttributeError, re.error) as wrong:
        raise ConfigError(f"{file}: {wrong}", hint="layers/node/runtime.yaml shows every key") from wrong


def _layer(folder: Path, data: dict[str, Any]) -> Layer:
    declared: dict[str, dict[str, Any]] = data["runtimes"]
    return Layer(
        folder=folder,
        runtimes={name: _runtime(folder, data, name, entry) for name, entry in declared.items()},
        shared=tuple(_fetches(folder, data.get("fetch", {}))),
        own={name: tuple(_fetches(folder, entry.get("fetch", {}))) for name, entry in declared.items()},
        defaults=tuple(name for name, entry in declared.items() if entry.get("default", False)),
        tools=tuple(_fetches(folder, data.get("tools", {}))),
    )


def _runtime(folder: Path, data: dict[str, Any], name: str, entry: dict[str, Any]) -> RuntimeSpec:
    return RuntimeSpec(
        name=name,
        language=data["language"],
        version=str(entry["version"]),
        folder=folder,
        agent=_words(entry["agent"], name),
        template=_words(entry.get("template", []), name),
        environment=_pairs(entry.get("environment", {}), name),
        authorities=_pairs(data.get("authorities", {}), name),
        commands=_pairs(data.get("commands", {}), name),
        contracts=tuple(Contract(word) for word in data.get("contracts", ("web", "event"))),
        code=_code(data.get("code", {})),
        detect=tuple(_detect(rule) for rule in data.get("detect", [])),
        provides=tuple(_provide(word, rule, name) for word, rule in data.get("provides", {}).items()),
        install=tuple(_install(folder, rule, name) for rule in data.get("install", [])),
        compile=_compile(data["compile"], name) if "compile" in data else None,
        warm=_warm(data["warm"], name) if "warm" in data else None,
        start=_start(data.get("start", {}), name),
        warmup=bool(data.get("warmup", False)),
    )


def _start(rule: dict[str, Any], runtime: str) -> StartRule:
    return StartRule(
        variables=tuple(rule.get("variables", ())),
        agent=_words(rule.get("agent", []), runtime),
        template=_words(rule.get("template", []), runtime),
        refused=_pairs(rule.get("refused", {}), runtime),
    )


def _code(rule: dict[str, Any]) -> CodeRule:
    return CodeRule(
        suffixes=tuple(rule.get("suffixes", ())),
        modules=tuple(rule.get("modules", ())),
        dotted=bool(rule.get("dotted", CodeRule().dotted)),
        default_export=bool(rule.get("default_export", CodeRule().default_export)),
        concurrency=int(rule.get("concurrency", CodeRule().concurrency)),
    )


def _detect(rule: dict[str, Any]) -> DetectRule:
    return DetectRule(
        file=rule["file"],
        handler=rule["handler"],
        contract=Contract(rule["contract"]),
        beside=tuple(rule.get("beside", ())),
        text=re.compile(rule["text"]).pattern if "text" in rule else None,
    )


def _warm(rule: dict[str, Any], runtime: str) -> WarmRule:
    return WarmRule(_words(rule["run"], runtime), suffix=rule.get("suffix", ""), ahead=bool(rule.get("ahead")))


def _compile(rule: dict[str, Any], runtime: str) -> CompileRule:
    return CompileRule(
        suffix=rule["suffix"],
        run=_words(rule["run"], runtime),
        environment=_pairs(rule.get("environment", {}), runtime),
        tools=tuple(rule.get("tools", ())),
        needed=bool(rule.get("needed")),
        dependencies=bool(rule.get("dependencies", True)),
    )


def _install(folder: Path, rule: dict[str, Any], runtime: str) -> InstallRule:
    return InstallRule(
        files=_words(rule["files"], runtime),
        run=_words(rule.get("run", []), runtime),
        result=rule.get("result", ""),
        environment=_pairs(rule.get("environment", {}), runtime),
        what=rule.get("what", INSTALLING),
        carries=_contents(folder, rule["carries"]) if "carries" in rule else None,
        tools=tuple(rule.get("tools", ())),
        nested=bool(rule.get("nested")),
        text=re.compile(rule["text"]).pattern if "text" in rule else None,
        refuse=rule.get("refuse"),
        hint=rule.get("hint"),
    )


def _provide(contract: str, rule: dict[str, Any], runtime: str) -> ProvideRule:
    return ProvideRule(
        contract=Contract(contract),
        platform=rule["platform"],
        imports=re.compile(rule["imports"]).pattern,
        package=rule["package"],
        run=_words(rule["run"], runtime),
        result=rule["result"],
        environment=_pairs(rule.get("environment", {}), runtime),
    )


def _contents(folder: Path, names: list[str]) -> str:
    """Over the names and contents of all files in these folders of a layer; hex."""
    files = sorted(file for name in names for file in (folder / name).rglob("*") if file.is_file())
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


def _words(words: list[str], runtime: str) -> tuple[str, ...]:
    """A list of words, `{runtime}` in them filled in."""
    return tuple(str(word).replace("{runtime}", runtime) for word in words)


def _pairs(mapping: dict[str, str], runtime: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(value).replace("{runtime}", runtime)) for key, value in mapping.items())


def _fetches(folder: Path, entries: dict[str, dict[str, Any]]) -> Iterator[Fetch]:
    for name, entry in entries.items():
        if "requirements" in entry:
            yield Requirements(name, folder / entry["requirements"], str(entry["python"]))
        elif "source" in entry:
            yield _download(name, entry, entry, None)
        else:
            yield from (_download(name, entry, entry[arch], arch) for arch in ARCHITECTURES if arch in entry)


def _download(name: str, entry: dict[str, Any], pin: dict[str, str], architecture: str | None) -> Download:
    return Download(
        name=name,
        source=pin["source"],
        integrity=pin["integrity"],
        strip=int(entry.get("strip", 0)),
        include=tuple(entry.get("include", ())),
        exclude=tuple(entry.get("exclude", ())),
        architecture=architecture,
    )

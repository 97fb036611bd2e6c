"""What a Node folder holds, by reading package.json and the files that an app starts in. Nothing is required or run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fnctl.config.detect import frameworks
from fnctl.config.detect.contracts import FRAMEWORKS, Dependencies, candidates, present
from fnctl.config.detect.finding import Evidence, Finding, Reading, each_alone, merged, one
from fnctl.config.detect.javascript import SUFFIXES, Export, Script, read_script
from fnctl.config.detect.signature import Signature
from fnctl.config.detect.source import Source, read_source
from fnctl.model import Contract

LANGUAGE = "node"
STEMS = ("index", "app", "server", "main", "src/index", "src/app", "src/server", "src/main")
HANDLER_STEMS = ("handler", "function", "hello", "action")
APP_NAMES = ("default", "app", "application", "server", "api")
APPS = {"express": "Express", "Koa": "Koa", "fastify": "Fastify", "Fastify": "Fastify"}

_LISTENS = re.compile(r"\.\s*listen\s*\(")
# `node FILE`, and the programs that people start one with instead, after any variables and flags.
_START = re.compile(r"(?:^|[\s/&;])(?:node|nodemon|ts-node|tsx)\s+(?:-\S+\s+)*([\w./-]+)")
_FRAMEWORK_START = re.compile(r"(?:^|[\s/])functions-framework(?:-nodejs)?(?=\s|$)")
_REGISTERED = re.compile(r"\.\s*(http|cloudEvent)\s*\(\s*(['\"])([\w.-]+)\2")


class Package:
    """package.json, with the line of what is in it. An empty one where there is none, or none that parses."""

    def __init__(self, folder: Path) -> None:
        self.source = read_source(folder, "package.json") or Source("package.json", "")
        try:
            data = json.loads(self.source.text or "{}")
        except ValueError:
            data = {}
        self._data: dict[str, Any] = data if isinstance(data, dict) else {}

    @property
    def start(self) -> str:
        return self.script("start")

    def script(self, name: str) -> str:
        return self._text(self._section("scripts").get(name))

    @property
    def main(self) -> str:
        return self._text(self._data.get("main"))

    @property
    def engine(self) -> str:
        return self._text(self._section("engines").get("node"))

    def dependencies(self) -> dict[str, Evidence]:
        names = [*self._section("dependencies"), *self._section("devDependencies")]
        return {name: self.said(f'"{name}"', f"depends on {name}") for name in names}

    def said(self, text: str, so: str) -> Evidence:
        return self.source.evidence(self.source.find(text), so)

    def _section(self, name: str) -> dict[str, Any]:
        section = self._data.get(name)
        return section if isinstance(section, dict) else {}

    @staticmethod
    def _text(value: object) -> str:
        return value if isinstance(value, str) else ""


def readings(folder: Path) -> list[Reading]:
    """The ways to understand the folder as a Node function. The first file that is something counts."""
    package = Package(folder)
    dependencies = package.dependencies()
    whole = (
        frameworks.next_js(folder, package.start, dependencies)
        or frameworks.nest_js(folder, _started(package, "start:prod") or _started(package), dependencies)
        or (None if _started(package) else frameworks.egg_js(folder, dependencies))
    )
    if whole is not None:
        wanted, said = _version(package)
        return [one(replace(whole, wanted=wanted, evidence=merged([*whole.evidence, *said])))]
    if present(dependencies, FRAMEWORKS) and (found := _framework(folder, package, dependencies)):
        return found
    for name in entries(package):
        source = read_source(folder, name)
        if source is not None and (found := _of_file(read_script(source, folder), package, dependencies)):
            return found
    started = _started(package)
    if started and read_source(folder, started) is not None:
        return [one(_web(started, package, [package.said('"start"', f"handler {started}: it starts the app")]))]
    return []


def entries(package: Package) -> list[str]:
    """Where an app starts, the surest first: what package.json says, then the names that people use."""
    said = [str(Path(name)) for name in (_started(package), package.main) if name]
    with_suffix = [name if Path(name).suffix else f"{name}.js" for name in said]
    usual = [f"{stem}{suffix}" for stem in (*STEMS, *HANDLER_STEMS) for suffix in SUFFIXES]
    return list(dict.fromkeys([*said, *with_suffix, *usual]))


def signature(folder: Path, handler: str) -> tuple[Signature | None, tuple[str, ...] | None]:
    """The export that `module.attr` names, and the names of all exports where the file tells them for sure."""
    module, _, attr = handler.rpartition(".")
    for name in (*(f"{module}{suffix}" for suffix in SUFFIXES), f"{module}/index.js", f"{module}/index.mjs"):
        source = read_source(folder, name)
        if source is None:
            continue
        script = read_script(source, folder)
        export = script.export(attr)
        registered = _registered(script, attr)
        if registered is not None:
            return registered, None
        known = tuple(each.name for each in script.exports) if script.complete and script.exports else None
        return (_signature(script, export) if export else None), known
    return None, None


def _registered(script: Script, name: str) -> Signature | None:
    """A function that Google's framework knows by that name, whatever the module exports beside it."""
    found = next((each for each in _REGISTERED.finditer(script.code) if each[3] == name), None)
    if found is None:
        return None
    line = script.source.line_at(found.start())
    return Signature(script.source, f"{_stem(script.source.name)}.{name}", name, None, line, script.code)


def _of_file(script: Script, package: Package, dependencies: Dependencies) -> list[Reading]:
    source = script.source
    if listens := _LISTENS.search(script.bare):
        evidence = [source.evidence_at(listens.start(), f"contract web: it listens, so handler {source.name}")]
        return [one(_web(source.name, package, [*_why_here(source.name, package), *evidence]))]
    if apps := _exported_apps(script, package):
        return each_alone(apps)
    return each_alone(_handlers(script, package, dependencies))


def _handlers(script: Script, package: Package, dependencies: Dependencies) -> Iterator[Finding]:
    """The exports that are handlers, one finding a contract that each may have been written for."""
    preferred = [each for each in script.exports if each.name == "handler"] or list(script.exports)
    if not preferred and script.main is not None:
        preferred = [script.main]  # OpenWhisk evaluates an action's file: its `main` need not be exported
    for export in preferred:
        made = _signature(script, export)
        for contract, evidence in candidates(made, dependencies).items():
            yield _finding(made.handler, contract, package, [made.evidence(f"handler {made.handler}"), *evidence])


def _signature(script: Script, export: Export) -> Signature:
    """Where another file defines it, that file has the evidence; the handler is addressed here."""
    handler = f"{_stem(script.source.name)}.{export.name}"
    return Signature(export.source, handler, export.name, export.parameters, export.line, export.code)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _exported_apps(script: Script, package: Package) -> list[Finding]:
    """An app that is exported and does not listen: `module.exports = app`. Of several the one that is called so; all,
    where none is."""
    apps = [export for export in script.exports if export.made in APPS]
    usual = sorted((each for each in apps if each.name in APP_NAMES), key=lambda each: APP_NAMES.index(each.name))
    found = []
    for export in usual[:1] or apps:
        handler = f"{_stem(script.source.name)}.{export.name}"
        said = export.source.evidence(export.line, f"handler {handler}: the {APPS[export.made]} app")
        found.append(_web(handler, package, [said]))
    return found


def _framework(folder: Path, package: Package, dependencies: Dependencies) -> list[Reading]:
    """Google's Functions Framework: the target that the start script names, else all that are registered.

    Its README: `--target`, `--signature-type` and `--source` (or FUNCTION_TARGET, FUNCTION_SIGNATURE_TYPE,
    FUNCTION_SOURCE); the source is `main` of package.json, then index.js and function.js.
    """
    options = _framework_options(package.start)
    root = options.get("source", "").strip("./")
    names = [package.main, "index.js", "function.js", "index.mjs", "function.mjs"]
    for name in [f"{root}/{name}" if root else name for name in names if name]:
        source = read_source(folder, str(Path(name)))
        if source is None:
            continue
        found = list(_targets(read_script(source, folder), package, dependencies, options))
        if found:
            return [Reading(tuple(found))]
    return []


def _framework_options(start: str) -> dict[str, str]:
    named = re.findall(r"--(target|signature-type|source)[=\s]+([\w./-]+)", start)
    variables = re.findall(r"FUNCTION_(TARGET|SIGNATURE_TYPE|SOURCE)=([\w./-]+)", start)
    return {**{key.lower().replace("_", "-"): value for key, value in variables}, **dict(named)}


def _targets(
    script: Script, package: Package, dependencies: Dependencies, options: dict[str, str]
) -> Iterator[Finding]:
    source = script.source
    target, kind = options.get("target"), options.get("signature-type")
    stem = source.name.rsplit(".", 1)[0]
    registered = {match[3]: match for match in _REGISTERED.finditer(script.code)}
    for name, match in registered.items():
        if target in (None, name):
            contract = Contract.FRAMEWORK_HTTP if match[1] == "http" else Contract.FRAMEWORK_CLOUDEVENT
            said = source.evidence_at(match.start(), f"contract {contract}, handler {stem}.{name}")
            alone = target is not None or len(registered) == 1
            yield _finding(f"{stem}.{name}", contract, package, [said, *_framework_said(package, dependencies)], alone)
    export = script.export(target) if target and target not in registered else None
    if export is None:
        return
    contract = Contract.FRAMEWORK_CLOUDEVENT if kind in ("cloudevent", "event") else Contract.FRAMEWORK_HTTP
    said = export.source.evidence(export.line, f"handler {stem}.{target}")
    yield _finding(f"{stem}.{target}", contract, package, [said, *_framework_said(package, dependencies)])


def _framework_said(package: Package, dependencies: Dependencies) -> list[Evidence]:
    depends = present(dependencies, FRAMEWORKS)
    started = [package.said('"start"', "the framework's options")] if _FRAMEWORK_START.search(package.start) else []
    return [*started, *([depends] if depends else [])]


def _finding(
    handler: str, contract: Contract, package: Package, evidence: Iterable[Evidence], alone: bool = True
) -> Finding:
    wanted, said = _version(package)
    name = None if alone else handler.rpartition(".")[2]
    return Finding(LANGUAGE, handler, contract, merged([*evidence, *said]), name=name, wanted=wanted)


def _web(handler: str, package: Package, evidence: Iterable[Evidence]) -> Finding:
    frameworks = [found for name, found in package.dependencies().items() if name in ("express", "koa", "fastify")]
    return _finding(handler, Contract.WEB, package, [*evidence, *frameworks])


def _why_here(name: str, package: Package) -> list[Evidence]:
    if _started(package) == name:
        return [package.said('"start"', f"handler {name}: it starts the app")]
    return [package.said('"main"', f"handler {name}")] if package.main and Path(package.main) == Path(name) else []


def _started(package: Package, script: str = "start") -> str | None:
    """The file of `"start": "node FILE"`; Node lets its suffix be left away."""
    found = _START.search(package.script(script))
    if found is None:
        return None
    name = str(Path(found[1]))
    return f"{name}.js" if script != "start" and not Path(name).suffix else name


def _version(package: Package) -> tuple[str | None, list[Evidence]]:
    """The major version of `engines`, where it names one and does not only set a lower bound."""
    found = re.match(r"\s*[\^~=v]*\s*(\d+)(?:\.|\s*$|\s*-)", package.engine)
    if found is None:
        return None, []
    return found[1], [package.said('"engines"', f"runtime node {found[1]}")]

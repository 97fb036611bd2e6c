"""Options of the command line against what was detected in a folder: they win, or they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fnctl.config.consistency import is_file, module_files
from fnctl.config.detect import Choice, Detection, Evidence, Finding, Reading, node, python
from fnctl.config.detect.contracts import candidates
from fnctl.config.detect.dependencies import python_dependencies
from fnctl.config.detect.exports import elsewhere, missing_export
from fnctl.config.nearest_runtime import nearest
from fnctl.config.problems import did_you_mean
from fnctl.errors import ConfigError
from fnctl.model import Contract, RuntimeSpec

Runtimes = Mapping[str, RuntimeSpec]


def chosen(folder: Path, detection: Detection, choice: Choice, runtimes: Runtimes, runtime: str | None) -> Detection:
    """The detection with the choice applied. ConfigError where it fits nothing that is there."""
    readings = detection.readings
    if choice.handler is not None:
        readings = _with_handler(folder, detection, choice, runtimes)
    if choice.language is not None:
        readings = _with_language(folder, readings, choice.language, runtime or choice.language)
    if choice.contract is not None:
        readings = _with_contract(readings, choice.contract)
    return replace(detection, readings=readings)


def _with_handler(folder: Path, detection: Detection, choice: Choice, runtimes: Runtimes) -> tuple[Reading, ...]:
    handler = choice.handler or ""
    if detection.source is not None:  # a manifest's functions: those of that handler
        kept = tuple(each for each in detection.findings if each.handler == handler)
        if not kept:
            raise _refused(f"--handler {handler}", f"{detection.source} has no such handler", detection.findings)
        return (Reading(kept),)
    fitting = tuple(each for each in detection.readings if all(one.handler == handler for one in each.findings))
    single = [one for each in detection.readings for one in each.findings if one.handler == handler]
    return fitting or tuple(Reading((one,)) for one in single[:1]) or _said(folder, handler, choice, runtimes)


def _said(folder: Path, handler: str, choice: Choice, runtimes: Runtimes) -> tuple[Reading, ...]:
    """A handler that nobody would have found, as a reading of its own: one for each contract that it may be of."""
    languages = [language for language in _languages(runtimes) if _is_there(folder, handler, language, runtimes)]
    if choice.language is not None and choice.language in languages:
        languages = [choice.language]
    if not languages:
        raise ConfigError(
            f"--handler {handler}: there is no such file or module in {folder.name}/",
            hint="a handler is a file (`index.js`, `app.py`), or a function in a module (`index.handler`, `app.main`)",
        )
    made = []
    for language in languages:
        if missing := missing_export(folder, language, handler):
            attr = handler.rpartition(".")[2]
            hint = elsewhere(folder, language, attr) or (did_you_mean(attr, missing.known) if missing.known else None)
            raise ConfigError(f"--handler {handler}: {missing.text}", hint=hint)
        made += [Reading((each,)) for each in _findings(folder, handler, language, choice, runtimes)]
    return tuple(made)


def _findings(folder: Path, handler: str, language: str, choice: Choice, runtimes: Runtimes) -> list[Finding]:
    spec = _newest(language, runtimes)
    if is_file(handler, spec):
        said = Evidence(handler, 1, "", f"handler {handler}: as --handler says; contract web")
        return [Finding(language, handler, choice.contract or Contract.WEB, (said,))]
    file = next(name for name in module_files(handler, spec) if (folder / name).is_file())
    told = {"node": _node_contracts, "python": _python_contracts}.get(language, _no_contracts)(folder, handler)
    contracts = [choice.contract] if choice.contract else told or [Contract.EVENT if told is None else Contract.WEB]
    said = Evidence(file, 1, "", f"handler {handler}: as --handler says")
    return [Finding(language, handler, each, (said,)) for each in contracts]


def _no_contracts(folder: Path, handler: str) -> list[Contract] | None:
    return None


def _node_contracts(folder: Path, handler: str) -> list[Contract] | None:
    found, _ = node.signature(folder, handler)
    return list(candidates(found, node.Package(folder).dependencies())) or None if found else []


def _python_contracts(folder: Path, handler: str) -> list[Contract] | None:
    """Empty where it is no function that is written out: an app."""
    found, _ = python.signature(folder, handler)
    return list(candidates(found, python_dependencies(folder))) or None if found else []


def _with_language(folder: Path, readings: tuple[Reading, ...], language: str, said: str) -> tuple[Reading, ...]:
    """A command of no language takes any: what is asked for is then installed beside it."""
    kept = tuple(each for each in readings if all(one.language in ("", language) for one in each.findings))
    if readings and not kept:
        findings = tuple(one for each in readings for one in each.findings)
        raise _refused(f"--runtime {said}", f"{folder.name}/ has no {language} code that could be served", findings)
    return tuple(Reading(tuple(replace(one, language=language) for one in each.findings)) for each in kept)


def _with_contract(readings: tuple[Reading, ...], contract: Contract) -> tuple[Reading, ...]:
    """Those that have it; where none does, whatever else is there, as that contract."""
    fitting = tuple(each for each in readings if all(one.contract is contract for one in each.findings))
    commands = [one for each in readings for one in each.findings if one.command]
    if fitting or not readings:
        return fitting
    if commands:
        raise _refused(f"--contract {contract}", "what is found is a command, which listens by itself", tuple(commands))
    as_asked = {
        tuple((one.path, one.language, one.handler, one.name) for one in each.findings): each for each in readings
    }
    return tuple(Reading(tuple(replace(one, contract=contract) for one in each.findings)) for each in as_asked.values())


def _refused(option: str, why: str, found: tuple[Finding, ...]) -> ConfigError:
    listed = ", ".join(dict.fromkeys(f"{each.language} `{each.starts}`".strip() for each in found))
    return ConfigError(f"{option}: {why}", hint=f"found: {listed}" if listed else None)


def _languages(runtimes: Runtimes) -> list[str]:
    return list(dict.fromkeys(spec.language for spec in runtimes.values() if spec.contracts != (Contract.COMMAND,)))


def _newest(language: str, runtimes: Runtimes) -> RuntimeSpec:
    spec = nearest(language, None, runtimes.values()).spec
    assert spec is not None, "the language is one of theirs"
    return spec


def _is_there(folder: Path, handler: str, language: str, runtimes: Runtimes) -> bool:
    spec = _newest(language, runtimes)
    target = (folder / handler).resolve()
    if not target.is_relative_to(folder.resolve()):
        return False
    if spec.code.suffixes and handler.endswith(spec.code.suffixes):
        return target.is_file()
    return any((folder / file).is_file() for file in module_files(handler, spec))

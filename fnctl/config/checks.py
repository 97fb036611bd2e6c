"""What a function's single keys cannot tell: handlers against the disk, contracts against runtimes, bounds."""

from __future__ import annotations

from pathlib import Path

from fnctl.config.command import unfit_program
from fnctl.config.detect.exports import missing_export
from fnctl.config.document import Document, Loc
from fnctl.config.keys import FUNCTION, MIN_MEMORY_MB, FunctionEntry
from fnctl.config.problems import did_you_mean
from fnctl.model import Contract, Model, RuntimeSpec

WITH_INITIALIZER = (Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP)
WHOLE_PROGRAMS = (Contract.WEB, Contract.COMMAND)  # the others call something in a module


def of(loc: Loc) -> str:
    return f"function `{loc[-1]}`" if loc else "the app"


def module_files(handler: str, spec: RuntimeSpec) -> list[str]:
    """Where the module of `module.attr` may lie. Node's modules are paths ("src/handler"), Python's are dotted."""
    module = handler.rpartition(".")[0]
    path = module.replace(".", "/") if spec.code.dotted else module
    return [pattern.format(path=path) for pattern in spec.code.modules]


def is_file(handler: str, spec: RuntimeSpec) -> bool:
    """Whether a handler is a file that is run, by its suffix."""
    return "." not in handler or bool(spec.code.suffixes and handler.endswith(spec.code.suffixes))


def check_handler(key: str, handler: str, folder: Path, spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    """The file, or the file of the module, must be there, and define the attribute where reading it can tell."""
    at, target = (*loc, key), (folder / handler).resolve()
    if not target.is_relative_to(folder):
        document.problem(at, f"{key} `{handler}` of {of(loc)} is outside its folder")
    elif target.is_file() or (target.exists() and not spec.code.modules):
        return
    elif is_file(handler, spec):
        hint = _near_file(handler, folder, spec) or f"`{key}` is a file in `path`, or `module.attr`"
        document.problem(at, f"{key} file `{handler}` of {of(loc)} is not in {folder.name}/", hint)
    else:
        _check_module(key, handler, folder, spec, document, loc)


def _check_module(key: str, handler: str, folder: Path, spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    module, _, attr = handler.rpartition(".")
    files = module_files(handler, spec)
    if files and not any((folder / file).is_file() for file in files):
        text = f"module `{module}` of {key} `{handler}` of {of(loc)} is not in {folder.name}/"
        document.problem((*loc, key), text, f"looked for {', '.join(files)}")
    elif missing := missing_export(folder, spec.language, handler):
        hint = did_you_mean(attr, missing.known) if missing.known else None
        document.problem((*loc, key), f"{key} `{handler}` of {of(loc)}: {missing.text}", hint)


def _near_file(handler: str, folder: Path, spec: RuntimeSpec) -> str | None:
    files = [entry.name for entry in folder.iterdir() if entry.name.endswith(spec.code.suffixes or ("\0",))]
    return did_you_mean(handler, files) if files else None


def check_command(entry: FunctionEntry, command: tuple[str, ...], folder: Path, document: Document, loc: Loc) -> None:
    for key in ("handler", "initializer"):
        if getattr(entry, key) is not None:
            text = f"{of(loc)} has a `command`, and so no `{key}`"
            document.problem((*loc, key), text, "a command is a program that listens by itself; remove one of the two")
    if entry.contract not in (None, Contract.COMMAND):
        text = f"{of(loc)} has a `command` and the contract `{entry.contract}`"
        document.problem((*loc, "contract"), text, "a command's contract is `command`: leave the key out")
    if (unfit := unfit_program(command[0], folder)) is not None:
        document.problem((*loc, "command"), f"command of {of(loc)}: {unfit[0]}", unfit[1])


def check_port(port: str, document: Document, loc: Loc) -> None:
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        text = f"PORT of {of(loc)} is `{port}`"
        document.problem((*loc, "environment", "PORT"), text, "a number from 1 to 65535: where the command listens")


def check_contract(
    entry: FunctionEntry, contract: Contract | None, handler: str, folder: Path, spec: RuntimeSpec, document: Document,
    loc: Loc,
) -> None:  # fmt: skip
    """The runtime must know the contract, the handler must be of its kind, and an initializer needs one that has it."""
    if contract is Contract.COMMAND:
        hint = "`command: [PROGRAM, ARGUMENT]` says what is to run"
        document.problem((*loc, "contract"), f"{of(loc)} has the contract `command` and no `command`", hint)
    elif spec.contracts == (Contract.COMMAND,):
        hint = "`command: [PROGRAM, ARGUMENT]` says what is to run"
        document.problem((*loc, "runtime"), f"{of(loc)} has the runtime `{spec.name}` and no `command`", hint)
    elif contract is not None and contract not in spec.contracts:
        hint = f"{spec.name} knows: {', '.join(spec.contracts)}"
        document.problem((*loc, "contract"), f"{of(loc)} has the contract `{contract}`", hint)
    elif (
        contract is not None
        and contract not in WHOLE_PROGRAMS
        and not spec.code.default_export
        and (spec.code.suffixes and is_file(handler, spec))
    ):
        text = f"{of(loc)} has the contract `{contract}`, which calls a function; `{handler}` is a file that is run"
        stem = handler.rpartition(".")[0] or handler
        document.problem((*loc, "contract"), text, f"name the function: `handler: {stem}.handler`")
    if entry.initializer is None:
        return
    if contract not in WITH_INITIALIZER:
        text = f"`initializer` of {of(loc)} has no meaning with " + (f"`contract: {contract}`" if contract else "none")
        document.problem((*loc, "initializer"), text, f"only with {' or '.join(WITH_INITIALIZER)}")
    else:
        check_handler("initializer", entry.initializer, folder, spec, document, loc)


def check_limits(entry: FunctionEntry, document: Document, loc: Loc) -> None:
    """Bounds between keys."""
    if entry.model is Model.EPHEMERAL and (entry.concurrency or 1) > 1:
        text = f"{of(loc)} is ephemeral and cannot have a concurrency of {entry.concurrency}"
        document.problem((*loc, "concurrency"), text, "an ephemeral instance serves one request; use `model: resident`")
    if entry.model is Model.RESIDENT and entry.isolation is not None:
        text = f"`isolation` in {of(loc)} has no meaning with `model: resident`"
        document.problem((*loc, "isolation"), text, "add `model: ephemeral`, or remove it")
    if entry.scale.min > entry.scale.max:
        document.problem((*loc, "scale"), f"scale.min {entry.scale.min} of {of(loc)} is above max {entry.scale.max}")
    if entry.memory < MIN_MEMORY_MB:
        text = f"memory of {of(loc)} is {entry.memory}m; the least is {MIN_MEMORY_MB}m"
        document.problem((*loc, "memory"), text)
    if entry.tmp != FUNCTION["tmp_mb"] and not 1 <= entry.tmp <= entry.memory:
        text = f"tmp of {of(loc)} is {entry.tmp}m, of a memory of {entry.memory}m"
        document.problem((*loc, "tmp"), text, "/tmp is in memory and counts as such: raise `memory`, too")
    for key, value in (("timeout", entry.timeout), ("idle_timeout", entry.idle_timeout)):
        if value <= 0:
            document.problem((*loc, key), f"{key} of {of(loc)} must be more than nothing")

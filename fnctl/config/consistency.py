"""Checks of a whole function, after its single keys: handler on disk, contract and runtime, bounds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fnctl.config.command import unfit_program, windows_script
from fnctl.config.detect.exports import elsewhere, missing_export
from fnctl.config.document import Document, Loc
from fnctl.config.keys import FUNCTION, MIN_MEMORY_MB, FunctionEntry
from fnctl.config.problems import did_you_mean
from fnctl.model import Contract, Isolation, Model, Network, RuntimeSpec

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
        hint = elsewhere(folder, spec.language, attr) or (did_you_mean(attr, missing.known) if missing.known else None)
        document.problem((*loc, key), f"{key} `{handler}` of {of(loc)}: {missing.text}", hint)


def _near_file(handler: str, folder: Path, spec: RuntimeSpec) -> str | None:
    files = [entry.name for entry in folder.iterdir() if entry.name.endswith(spec.code.suffixes or ("\0",))]
    return did_you_mean(handler, files) if files else None


def check_command(entry: FunctionEntry, command: tuple[str, ...], folder: Path, document: Document, loc: Loc) -> None:
    for key in ("handler", "initializer"):
        if getattr(entry, key) is not None:
            text = f"{of(loc)} has both `command` and `{key}`"
            document.problem((*loc, key), text, "a command listens by itself and needs no handler: remove one of them")
    if entry.contract not in (None, Contract.COMMAND):
        text = f"{of(loc)} has a `command` and the contract `{entry.contract}`"
        document.problem((*loc, "contract"), text, "remove `contract`: with `command` it is always `command`")
    if (unfit := unfit_program(command[0], folder)) is not None:
        document.problem((*loc, "command"), f"command of {of(loc)}: {unfit[0]}", unfit[1])
    if (script := windows_script(command, folder)) is not None:
        text = f"command of {of(loc)}: `{script}` has Windows line endings (CRLF), with which it cannot be run"
        hint = f"sed -i 's/\\r$//' {script}; in git, `*.sh text eol=lf` in .gitattributes keeps it so"
        document.problem((*loc, "command"), text, hint)


def check_port(port: str, document: Document, loc: Loc) -> None:
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        text = f"PORT of {of(loc)} is `{port}`, not a port number"
        document.problem((*loc, "environment", "PORT"), text, "set the port the command listens on, from 1 to 65535")


def check_start(environment: Mapping[str, str], spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    """A variable that would have no effect is not taken without a word."""
    for name, hint in spec.start.refused:
        if name in environment:
            text = f"{name} of {of(loc)} cannot take effect in a handler of {spec.name}"
            document.problem((*loc, "environment", name), text, hint)


def check_contract(
    entry: FunctionEntry, contract: Contract | None, handler: str, folder: Path, spec: RuntimeSpec, document: Document,
    loc: Loc,
) -> None:  # fmt: skip
    """The runtime must know the contract, the handler must be of its kind, and an initializer needs one that has it."""
    if contract is Contract.COMMAND:
        hint = "`command: [PROGRAM, ARGUMENT]` says what is to run"
        document.problem((*loc, "contract"), f"{of(loc)} has `contract: command` but no `command`", hint)
    elif spec.contracts == (Contract.COMMAND,):
        hint = "`command: [PROGRAM, ARGUMENT]` says what is to run"
        document.problem((*loc, "runtime"), f"{of(loc)} has `runtime: {spec.name}` but no `command`", hint)
    elif contract is not None and contract not in spec.contracts:
        hint = f"{spec.name} supports: {', '.join(spec.contracts)}"
        document.problem((*loc, "contract"), f"{of(loc)} has `contract: {contract}`, unsupported in {spec.name}", hint)
    elif (
        contract is not None
        and contract not in WHOLE_PROGRAMS
        and not spec.code.default_export
        and (spec.code.suffixes and is_file(handler, spec))
    ):
        text = f"{of(loc)} has `contract: {contract}`, which needs a function; `{handler}` is a file"
        stem = handler.rpartition(".")[0] or handler
        document.problem((*loc, "contract"), text, f"name the function: `handler: {stem}.handler`")
    if entry.payload is not None and contract is not Contract.LAMBDA:
        text = f"{of(loc)} has `payload`, which only `contract: {Contract.LAMBDA}` has"
        document.problem((*loc, "payload"), text, f"remove `payload`, or set `contract: {Contract.LAMBDA}`")
    if entry.initializer is None:
        return
    if contract not in WITH_INITIALIZER:
        unfit = f"`contract: {contract}`" if contract else "no `contract`"
        text = f"{of(loc)} has `initializer` with {unfit}"
        document.problem((*loc, "initializer"), text, f"`initializer` needs {' or '.join(WITH_INITIALIZER)}")
    else:
        check_handler("initializer", entry.initializer, folder, spec, document, loc)


def check_warmup(entry: FunctionEntry, spec: RuntimeSpec, document: Document, loc: Loc) -> None:
    """Only where an agent does it, and where what it does is of use to a later request."""
    if entry.warmup is None:
        return
    at = (*loc, "warmup")
    if entry.command is not None or not spec.warmup:
        what = "a command" if entry.command is not None else spec.name
        hint = "it is for handlers in Node and Python: remove `warmup`"
        document.problem(at, f"{of(loc)} has `warmup`, which {what} cannot do", hint)
    elif entry.isolation is Isolation.CONTAINER:
        text = f"{of(loc)} has `warmup` with `isolation: container`"
        document.problem(at, text, "no instance serves a second request: remove `warmup`")


def check_limits(entry: FunctionEntry, document: Document, loc: Loc) -> None:
    """Bounds between keys."""
    if entry.model is Model.EPHEMERAL and (entry.concurrency or 1) > 1:
        text = f"{of(loc)} has `model: ephemeral` and `concurrency: {entry.concurrency}`"
        hint = "an ephemeral instance serves one request at a time; remove `concurrency`, or use `model: resident`"
        document.problem((*loc, "concurrency"), text, hint)
    if entry.model is Model.RESIDENT and entry.isolation is not None:
        text = f"{of(loc)} has `isolation` with `model: resident`"
        document.problem((*loc, "isolation"), text, "add `model: ephemeral`, or remove `isolation`")
    if any(entry.egress.model_dump().values()) and entry.network is not Network.EGRESS:
        text = f"{of(loc)} has `egress` with `network: {entry.network}`"
        document.problem((*loc, "egress"), text, "it is for `network: egress`; change `network`, or remove `egress`")
    if entry.scale.min > entry.scale.max:
        document.problem((*loc, "scale"), f"scale.min {entry.scale.min} of {of(loc)} is above max {entry.scale.max}")
    if entry.memory < MIN_MEMORY_MB:
        text = f"memory of {of(loc)} is {entry.memory}m; the minimum is {MIN_MEMORY_MB}m"
        document.problem((*loc, "memory"), text)
    if entry.tmp != FUNCTION["tmp_mb"] and not 1 <= entry.tmp <= entry.memory:
        text = f"tmp of {of(loc)} is {entry.tmp}m, with a memory of {entry.memory}m"
        document.problem((*loc, "tmp"), text, "/tmp is in memory and counts as memory: raise `memory` too")
    bounds = {
        "timeout": entry.timeout,
        "idle": entry.idle,
        "max_duration": entry.max_duration,
        "idle_timeout": entry.idle_timeout,
    }
    for key, value in bounds.items():
        if value is not None and value <= 0:
            document.problem((*loc, key), f"{key} of {of(loc)} must be more than 0")

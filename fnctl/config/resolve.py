"""One function's entry against the disk and the known runtimes: a Function with all defaults, or problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.catalog import command_runtime
from fnctl.cesql.expression import Expression, FilterError
from fnctl.config import authorities, dotenv
from fnctl.config.brokers import broker_of
from fnctl.config.consistency import (
    check_command,
    check_contract,
    check_handler,
    check_limits,
    check_port,
    check_start,
    check_warmup,
    module_files,
    of,
)
from fnctl.config.detect import Choice, Detection, Finding, look
from fnctl.config.detect.doubt import settling, summary
from fnctl.config.document import Document, Loc
from fnctl.config.keys import ONE_AT_A_TIME, AuthEntry, DurableEntry, FunctionEntry
from fnctl.config.nearest_runtime import nearest
from fnctl.config.problems import did_you_mean
from fnctl.config.queues import rule_of
from fnctl.config.timer import timer_of
from fnctl.config.trigger_keys import EventEntry, TriggerEntry
from fnctl.model import (
    Auth,
    Contract,
    DurableRule,
    Egress,
    EventTrigger,
    Function,
    HttpTrigger,
    Isolation,
    JwtRule,
    Model,
    QueueTrigger,
    RuntimeSpec,
    Scale,
    Secret,
    Trigger,
)

Runtimes = Mapping[str, RuntimeSpec]


@dataclass(frozen=True, slots=True)
class _Code:
    """What is run: as the entry says, and where it says nothing, as the folder does."""

    runtime: RuntimeSpec
    handler: str
    contract: Contract | None
    initializer: str | None


@dataclass(frozen=True, slots=True)
class Given:
    """What a project has beside its functions' own entries."""

    environ: Mapping[str, str]  # fills variables in environment files
    secrets: Mapping[str, Secret]


def resolve(
    name: str, entry: FunctionEntry, document: Document, loc: Loc, runtimes: Runtimes, given: Given
) -> Function | None:
    """None where something is wrong; the document's problems then say what."""
    before = len(document.problems)
    folder = _folder(entry, document, loc)
    code = _code(entry, folder, document, loc, runtimes) if folder else None
    environment = {**_from_files(entry, document, loc, given), **entry.environment}
    if entry.ca is not None:
        environment = authorities.told(environment, code.runtime.authorities if code else ())
    secrets = (*_secrets(entry, document, loc, given), *_authorities(entry, document, loc))
    check_limits(entry, document, loc)
    if code is not None:
        check_warmup(entry, code.runtime, document, loc)
    rule = rule_of(entry.deferred, document, (*loc, "async"), given.secrets)
    triggers = tuple(
        made
        for index, each in enumerate(entry.triggers)
        if (made := _trigger(each, document, (*loc, "triggers", index)))
    )
    if folder and code and entry.command:
        check_command(entry, entry.command, folder, document, loc)
        check_port(environment.get("PORT", "3000"), document, loc)
    elif folder and code:
        check_handler("handler", code.handler, folder, code.runtime, document, loc)
        check_contract(entry, code.contract, code.handler, folder, code.runtime, document, loc)
        check_start(environment, code.runtime, document, loc)
    if len(document.problems) > before or folder is None or code is None:
        return None
    return Function(
        name=name,
        path=folder,
        runtime=code.runtime.name,
        handler=code.handler,
        command=entry.command or (),
        contract=code.contract,
        payload=(entry.payload or "") if code.contract is Contract.LAMBDA else "",
        initializer=code.initializer,
        warmup=entry.warmup or "",
        health=entry.health or "",
        model=entry.model,
        isolation=entry.isolation or Isolation.PROCESS,
        environment=tuple(sorted(environment.items())),
        secrets=secrets,
        timeout_s=entry.timeout,
        idle_s=entry.idle,
        max_duration_s=entry.max_duration,
        memory_mb=entry.memory,
        tmp_mb=entry.tmp,
        cpus=entry.cpus,
        concurrency=_concurrency(entry, code),
        max_body_mb=entry.max_body,
        queue=entry.queue,
        scale=Scale(entry.scale.min, entry.scale.max),
        idle_timeout_s=entry.idle_timeout,
        keep_s=entry.keep,
        stop_grace_s=entry.stop_grace,
        network=entry.network,
        egress=Egress(entry.egress.host, entry.egress.link_local),
        triggers=triggers,
        auth=Auth.JWT if isinstance(entry.auth, AuthEntry) else entry.auth,
        jwt=_jwt(entry, document, loc),
        calls=None if entry.calls is None else tuple(entry.calls),
        deferred=rule,
        durable=_durable(entry.durable),
    )


def _durable(entry: bool | DurableEntry) -> DurableRule | None:
    if isinstance(entry, DurableEntry):
        return DurableRule(entry.timeout, entry.retention)
    return DurableRule() if entry else None


def _trigger(entry: TriggerEntry, document: Document, loc: Loc) -> Trigger | None:
    if entry.http is not None:
        return HttpTrigger(entry.http.path or "", frozenset(entry.http.methods), entry.http.host)
    if entry.timer is not None:
        return timer_of(entry.timer, document, (*loc, "timer"))
    if entry.queue is not None:
        wanted = entry.queue
        return QueueTrigger(wanted.name, wanted.batch, wanted.window, wanted.concurrency, wanted.path)
    if entry.event is None:
        return broker_of(entry, document, loc)
    return _event(entry.event, document, (*loc, "event"))


def _event(entry: EventEntry, document: Document, loc: Loc) -> EventTrigger | None:
    try:
        if entry.filter:
            Expression(entry.filter)
    except FilterError as error:
        document.problem((*loc, "filter"), error.message, error.hint)
        return None
    return EventTrigger(entry.filter, entry.path)


def _concurrency(entry: FunctionEntry, code: _Code) -> int:
    if entry.model is Model.EPHEMERAL:
        return 1
    return entry.concurrency or (1 if code.contract in ONE_AT_A_TIME else code.runtime.code.concurrency)


def _jwt(entry: FunctionEntry, document: Document, loc: Loc) -> JwtRule | None:
    if not isinstance(entry.auth, AuthEntry):
        return None
    rule = entry.auth.jwt
    path = (_base(document) / rule.jwks).resolve()
    if not path.is_file():
        text = f"jwks file `{rule.jwks}` of {of(loc)} does not exist"
        document.problem((*loc, "auth", "jwt", "jwks"), text, "it is relative to this file")
    return JwtRule(path, rule.issuer, rule.audience)


def _folder(entry: FunctionEntry, document: Document, loc: Loc) -> Path | None:
    folder = (_base(document) / entry.path).resolve()
    if folder.is_dir():
        return folder
    found = "is a file" if folder.is_file() else "does not exist"
    document.problem((*loc, "path"), f"folder `{entry.path}` of {of(loc)} {found}", "`path` is relative to this file")
    return None


def _code(entry: FunctionEntry, folder: Path, document: Document, loc: Loc, runtimes: Runtimes) -> _Code | None:
    """What the entry says goes before what the folder does, which is looked at only where something is left out."""
    spec = _named(entry, document, loc, runtimes)
    if entry.runtime is not None and spec is None:
        return None
    if entry.command:
        return _Code(spec or command_runtime(runtimes), "", Contract.COMMAND, None)
    spec = spec or _by_handler(entry.handler, folder, runtimes)
    if spec and entry.handler is not None:
        return _Code(spec, entry.handler, entry.contract, entry.initializer)
    found = _look(entry, folder, spec, document, loc, runtimes)
    if found is None:
        return None
    spec = spec or _for(found, document, loc, runtimes)
    if spec is None:
        return None
    contract = entry.contract or (found.contract if entry.handler in (None, found.handler) else None)
    return _Code(spec, entry.handler or found.handler, contract, entry.initializer or found.initializer)


def _named(entry: FunctionEntry, document: Document, loc: Loc, runtimes: Runtimes) -> RuntimeSpec | None:
    if entry.runtime is not None and entry.runtime not in runtimes:
        near = did_you_mean(entry.runtime, runtimes)
        known = f"known: {', '.join(sorted(runtimes))}"
        any_program = "for any other program, leave `runtime` out and set `command: [PROGRAM, ARGUMENT]`"
        hint = f"{near} ({known})" if near.startswith("did") else f"{known}; {any_program}"
        document.problem((*loc, "runtime"), f"unknown runtime `{entry.runtime}` in {of(loc)}", hint)
    return runtimes.get(entry.runtime) if entry.runtime else None


def _by_handler(handler: str | None, folder: Path, runtimes: Runtimes) -> RuntimeSpec | None:
    """The newest runtime of the one language that has such a handler in the folder."""
    if handler is None:
        return None
    languages = {spec.language for spec in runtimes.values() if _has(handler, folder, spec)}
    return nearest(languages.pop(), None, runtimes.values()).spec if len(languages) == 1 else None


def _has(handler: str, folder: Path, spec: RuntimeSpec) -> bool:
    if handler.endswith(spec.code.suffixes or ("\0",)):
        return (folder / handler).is_file()
    return any((folder / file).is_file() for file in module_files(handler, spec))


def _look(
    entry: FunctionEntry, folder: Path, spec: RuntimeSpec | None, document: Document, loc: Loc, runtimes: Runtimes
) -> Finding | None:
    """What the folder holds, or a problem that says what is missing in the entry."""
    choice = Choice(language=spec.language if spec else None, handler=entry.handler, contract=entry.contract)
    detection = look(folder, runtimes.values(), choice)
    readings = [each for each in detection.readings if spec is None or each.findings[0].language == spec.language]
    if detection.problems:
        document.problems += detection.problems
    elif not readings:
        _nothing(entry, folder, document, loc)
    elif len(readings) > 1 and (ours := _ours(detection)) is None:
        hint = f"set {settling(readings, runtimes.values())}"
        document.problem(loc, f"{of(loc)} could be {summary(readings)}", hint)
    elif len(readings) > 1:
        return ours
    elif len(readings[0].findings) > 1:
        names = ", ".join(f"`{each.handler}`" for each in readings[0].findings)
        document.problem(loc, f"{folder.name}/ has {len(readings[0].findings)} functions: {names}", "set `handler:`")
    else:
        return readings[0].findings[0]
    return None


def _ours(detection: Detection) -> Finding | None:
    """fnctl's own contract, where readings differ in nothing else: who has a fnctl.yaml and says none means that."""
    firsts = [reading.findings[0] for reading in detection.readings]
    same = len({each.handler for each in firsts}) == 1
    return next((each for each in firsts if each.contract is Contract.EVENT), None) if same else None


def _nothing(entry: FunctionEntry, folder: Path, document: Document, loc: Loc) -> None:
    if entry.runtime is not None:
        hint = "set a file to run (`index.js`, `app.py`), or a function as `module.name`"
        document.problem(loc, f"key `handler` is missing in {of(loc)}", hint)
    else:
        hint = "set `runtime:` and `handler:`, for example `runtime: node24`, `handler: index.js`"
        document.problem(loc, f"cannot detect the runtime of {of(loc)} in {folder.name}/", hint)


def _for(finding: Finding, document: Document, loc: Loc, runtimes: Runtimes) -> RuntimeSpec | None:
    found = nearest(finding.language, finding.wanted, runtimes.values())
    if found.spec is None:
        document.problem(loc, f"{found.word} in {of(loc)}", found.hint)
    return found.spec


def _from_files(entry: FunctionEntry, document: Document, loc: Loc, given: Given) -> dict[str, str]:
    """The variables of `env_file`, the last file's winning. What is wrong in a file is told with its own lines."""
    found: dict[str, str] = {}
    for name in entry.env_file:
        path = _base(document) / name
        if not path.is_file():
            text = f"env_file `{name}` of {of(loc)} does not exist"
            document.problem((*loc, "env_file"), text, "`env_file` is relative to this file")
            continue
        variables, problems = dotenv.read(path, name, given.environ)
        found |= variables
        document.problems += problems
    return found


def _secrets(entry: FunctionEntry, document: Document, loc: Loc, given: Given) -> tuple[Secret, ...]:
    for index, name in enumerate(entry.secrets):
        if name not in given.secrets:
            hint = (
                did_you_mean(name, given.secrets) if given.secrets else f"secrets: {{{name}: {{file: ./{name}.txt}}}}"
            )
            document.problem((*loc, "secrets", index), f"secret `{name}` of {of(loc)} is not declared", hint)
    return tuple(given.secrets[name] for name in dict.fromkeys(entry.secrets) if name in given.secrets)


def _authorities(entry: FunctionEntry, document: Document, loc: Loc) -> tuple[Secret, ...]:
    """As a file beside the secrets, read anew for each instance: nothing secret, but of this machine alone."""
    if entry.ca is None:
        return ()
    file = None if entry.ca == authorities.HOST else (_base(document) / entry.ca).resolve()
    if file is not None and not file.is_file():
        text = f"ca file `{entry.ca}` of {of(loc)} does not exist"
        document.problem((*loc, "ca"), text, f"it is relative to this file; `{authorities.HOST}` is this machine's own")
    declared = f"{document.label}:{document.line((*loc, 'ca'))}"
    return (Secret(authorities.NAME, file, None, Path(), declared, authorities=True),)


def _base(document: Document) -> Path:
    return document.path if document.path.is_dir() else document.path.parent

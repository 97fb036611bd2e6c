"""What a release says of a project: its functions and services as configured, without a value of this machine.

Environment variables stand as they are written in `fnctl.yaml`, `${NAME}` included; of those that come from elsewhere,
such as an `env_file`, there is the name alone. Secrets are where they are to be found, never what they hold.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fnctl.config.interpolate import Interpolator, Unfilled
from fnctl.errors import ConfigError, ReleaseError
from fnctl.model import (
    AsyncRule,
    Auth,
    Broker,
    BrokerTrigger,
    Contract,
    Destination,
    DurableRule,
    Egress,
    EventTrigger,
    Function,
    HttpTrigger,
    Isolation,
    JwtRule,
    Missed,
    Model,
    Network,
    Overlap,
    Queue,
    QueueTrigger,
    Rate,
    Scale,
    Secret,
    Service,
    TimerTrigger,
    Trigger,
    TriggerKind,
    Workflow,
)
from fnctl.protocol import messages

FORMAT = 1
ENV_FILE = ".env"
_OF_THE_MACHINE = frozenset({"name", "path", "private", "environment", "secrets", "jwt"})

Written = Mapping[str, Mapping[str, str]]  # by function: its variables as the project's files have them


@dataclass(frozen=True, slots=True)
class Shipped:
    """One function of a release. `function.environment` holds templates; `required`: variables without one."""

    function: Function
    digest: str  # of the bundle
    size_bytes: int
    files: int
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """`runtimes`: of the sandbox image, in order. `made_by`: the fnctl that shipped it."""

    name: str | None
    made_by: str
    functions: tuple[Shipped, ...]
    services: tuple[Service, ...]
    runtimes: tuple[str, ...]
    queues: tuple[Queue, ...] = ()
    workflows: tuple[Workflow, ...] = ()
    protocol: int = messages.VERSION


def shipped(function: Function, digest: str, size: int, files: int, written: Mapping[str, str]) -> Shipped:
    """The function with the variables that are `written`; the others are required where it runs."""
    names = [name for name, _ in function.environment]
    templates = tuple((name, written[name]) for name in names if name in written)
    required = tuple(name for name in names if name not in written)
    return Shipped(replace(function, environment=templates), digest, size, files, required)


# -- to JSON -----------------------------------------------------------------------------------------------------------


def dump(document: Document, root: Path) -> dict[str, Any]:
    """As JSON has it. `root`: the project's folder, which files of secrets and keys are named from."""
    return {
        "format": FORMAT,
        "protocol": document.protocol,
        "made_by": document.made_by,
        "name": document.name,
        "runtimes": list(document.runtimes),
        "services": [asdict(service) for service in document.services],
        "queues": [asdict(queue) for queue in document.queues],
        "workflows": {each.name: _workflow(each, root) for each in document.workflows},
        "functions": {each.function.name: _entry(each, root) for each in document.functions},
    }


def _workflow(each: Workflow, root: Path) -> dict[str, Any]:
    secrets = [_secret(secret, root) for secret in each.secrets]
    return {"definition": each.data, "declared": each.declared, "secrets": secrets}


def _entry(each: Shipped, root: Path) -> dict[str, Any]:
    function = each.function
    _check_brokers(function)
    entry: dict[str, Any] = {"digest": each.digest, "size_bytes": each.size_bytes, "files": each.files}
    for field in fields(Function):
        value = getattr(function, field.name)
        if field.name not in _OF_THE_MACHINE and value != _default(field):
            entry[field.name] = _rule(value, root) if isinstance(value, AsyncRule) else _plain(value)
    entry["environment"] = dict(function.environment)
    entry["required"] = list(each.required)
    entry["secrets"] = [_secret(secret, root) for secret in function.secrets]
    if function.jwt is not None:
        entry["jwt"] = {**asdict(function.jwt), "jwks": _from(function.jwt.jwks, root)}
    return entry


def _check_brokers(function: Function) -> None:
    for trigger in function.brokers:
        if urlsplit(trigger.url).password:
            raise ReleaseError(
                f"the URL of the trigger `{trigger.broker}` of {function.name} has a password in it",
                hint="a release contains no secrets: let the broker identify this server by its address or certificate",
            )


def _secret(secret: Secret, root: Path) -> dict[str, Any]:
    return {
        "name": secret.name,
        "file": None if secret.file is None else _from(secret.file, root),
        "variable": secret.variable,
        "authorities": secret.authorities,
    }


def _rule(rule: AsyncRule, root: Path) -> dict[str, Any]:
    said = {field.name: getattr(rule, field.name) for field in fields(AsyncRule)}
    for key in ("on_success", "on_failure"):
        to = said[key]
        if to is not None:
            secret = None if to.secret is None else _secret(to.secret, root)
            said[key] = {"function": to.function, "queue": to.queue, "url": to.url, "secret": secret}
    return {key: value for key, value in said.items() if value is not None}


def _default(field: Any) -> Any:
    return field.default if field.default is not MISSING else None


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, Egress):
        return value._asdict()
    if is_dataclass(value) and not isinstance(value, type):
        kind = {"kind": str(value.kind)} if isinstance(value, Trigger) else {}
        return kind | {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, frozenset):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _from(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


# -- from JSON ---------------------------------------------------------------------------------------------------------


def load(said: Mapping[str, Any]) -> Document:
    """The paths in it are relative to where it will run: `placed` makes them whole. ReleaseError where it cannot be
    used, such as one of a newer fnctl."""
    try:
        if said["format"] != FORMAT or said["protocol"] != messages.VERSION:
            raise ReleaseError(
                f"the release was made by fnctl {said.get('made_by')}, in a format that this version does not know",
                hint="use the same version of fnctl on both machines",
            )
        functions = tuple(_shipped(name, entry) for name, entry in said["functions"].items())
        services = tuple(Service(**service) for service in said["services"])
        name = said["name"]
        return Document(
            None if name is None else str(name),
            str(said["made_by"]),
            functions,
            services,
            tuple(str(each) for each in said["runtimes"]),
            tuple(Queue(**queue) for queue in said.get("queues", ())),
            tuple(_workflow_of(name, entry) for name, entry in said.get("workflows", {}).items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReleaseError(
            f"the release's configuration cannot be read: {error!r}", hint="was it made by a newer fnctl?"
        ) from error


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "contract": Contract,
    "model": Model,
    "isolation": Isolation,
    "network": Network,
    "auth": Auth,
    "command": tuple,
    "calls": tuple,
    "scale": lambda said: Scale(**said),
    "egress": lambda said: Egress(**said),
    "deferred": lambda said: _async_rule(said),
    "durable": lambda said: DurableRule(**said),
    "triggers": lambda said: tuple(_trigger(each) for each in said),
}
_OWN = frozenset({"digest", "size_bytes", "files", "environment", "required", "secrets", "jwt"})


def _shipped(name: str, entry: Mapping[str, Any]) -> Shipped:
    given = {key: _FIELDS.get(key, lambda value: value)(value) for key, value in entry.items() if key not in _OWN}
    secrets = tuple(_secret_of(each) for each in entry["secrets"])
    jwt = entry.get("jwt")
    function = Function(
        name=name,
        path=Path(),
        environment=tuple((str(key), str(value)) for key, value in entry["environment"].items()),
        secrets=secrets,
        jwt=JwtRule(**{**jwt, "jwks": Path(jwt["jwks"])}) if jwt else None,
        **given,
    )
    return Shipped(function, entry["digest"], int(entry["size_bytes"]), int(entry["files"]), tuple(entry["required"]))


def _workflow_of(name: str, said: Mapping[str, Any]) -> Workflow:
    secrets = tuple(_secret_of(each) for each in said["secrets"])
    return Workflow(name, said["definition"], said["declared"], secrets)


def _secret_of(said: Mapping[str, Any]) -> Secret:
    file = None if said["file"] is None else Path(said["file"])
    return Secret(said["name"], file, said["variable"], Path(), "release", bool(said["authorities"]))


def _async_rule(said: Mapping[str, Any]) -> AsyncRule:
    given = dict(said)
    for key in ("on_success", "on_failure"):
        if key in given:
            secret = given[key]["secret"]
            given[key] = Destination(**{**given[key], "secret": None if secret is None else _secret_of(secret)})
    if "rate" in given:
        given["rate"] = Rate(*given["rate"])
    return AsyncRule(**given)


def _trigger(said: Mapping[str, Any]) -> Trigger:
    given = {name: value for name, value in said.items() if name != "kind"}
    match TriggerKind(said["kind"]):
        case TriggerKind.HTTP:
            return HttpTrigger(**{**given, "methods": frozenset(given["methods"])})
        case TriggerKind.TIMER:
            return TimerTrigger(**{**given, "missed": Missed(given["missed"]), "overlap": Overlap(given["overlap"])})
        case TriggerKind.EVENT:
            return EventTrigger(**given)
        case TriggerKind.QUEUE:
            return QueueTrigger(**given)
        case TriggerKind.BROKER:
            return BrokerTrigger(**{**given, "broker": Broker(given["broker"])})


# -- where it runs -----------------------------------------------------------------------------------------------------


def placed(document: Document, folder: Path, environ: Mapping[str, str]) -> tuple[Function, ...]:
    """The functions as they run in this folder, with its files and these variables. ConfigError names all that is
    missing."""
    missing: dict[str, None] = {}
    functions = [_placed(each, folder, environ, missing) for each in document.functions]
    if missing:
        raise ConfigError(
            "\n  ".join(["the release needs variables that are not set", *missing]),
            hint=f"set them in the environment, or in {folder}/{ENV_FILE}",
        )
    return tuple(functions)


def placed_workflows(document: Document, folder: Path) -> tuple[Workflow, ...]:
    """The workflows as they run in this folder, with its files for their secrets."""
    return tuple(
        replace(each, secrets=tuple(_placed_secret(secret, folder) for secret in each.secrets))
        for each in document.workflows
    )


def _placed(each: Shipped, folder: Path, environ: Mapping[str, str], missing: dict[str, None]) -> Function:
    function = each.function

    def unset(name: str) -> str:
        missing[f"{name} (of {function.name})"] = None
        return ""

    fill = Interpolator(environ.get, unset, bare=False).fill
    environment: dict[str, str] = {}
    for name, template in function.environment:
        try:
            environment[name] = fill(template)
        except Unfilled as wrong:
            missing[f"{name} (of {function.name}): {wrong.text}"] = None
    environment |= {name: environ.get(name) or unset(name) for name in each.required}
    jwt = function.jwt
    return replace(
        function,
        environment=tuple(environment.items()),
        secrets=tuple(_placed_secret(secret, folder) for secret in function.secrets),
        deferred=_placed_rule(function.deferred, folder),
        path=folder,
        jwt=None if jwt is None else replace(jwt, jwks=folder / jwt.jwks),
    )


def _placed_secret(secret: Secret, folder: Path) -> Secret:
    return replace(secret, file=None if secret.file is None else folder / secret.file, env_file=folder / ENV_FILE)


def _placed_rule(rule: AsyncRule, folder: Path) -> AsyncRule:
    def there(to: Destination | None) -> Destination | None:
        return to if to is None or to.secret is None else replace(to, secret=_placed_secret(to.secret, folder))

    return replace(rule, on_success=there(rule.on_success), on_failure=there(rule.on_failure))

"""A project as a compose file (https://compose-spec.io): functions and services as containers. Pure; writes no file.

What is fnctl's own has no place in it: one gateway, scaling to zero, timers, queues, events, calls between functions.
`left_out` says which of these a project has.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fnctl.model import Auth, Function, Network, Secret, Service, ServiceType
from fnctl.release.document import Document, Shipped

INSIDE_PORT = 8080  # of a shipped image (builder/archive.py)
SERVICES = "services"  # the network that only functions with `network: services` or `egress` are on
PIDS = 512
# Every image has perl: it is the base's. No `$` of it may be read as one of compose's.
_PROBE = (
    'my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:%d", Timeout => 5) or exit 1;'
    ' print $s "GET %s HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n"; exit(<$s> =~ m{^HTTP/1.. [23]} ? 0 : 1)'
)


def compose_file(
    said: Document,
    images: Mapping[str, str],
    services: Iterable[tuple[Service, ServiceType, str]],
    first_port: int,
    folder: Path,
) -> dict[str, Any]:
    """`folder`: where the file will be, absolute. `images`: of the functions, by name. `services`: each with its type
    and image. `first_port`: on this machine, of the first function; the next has the next, and `NAME_PORT` in the
    environment is another."""
    made = list(services)
    entries = {
        each.function.name: _function(each, images[each.function.name], first_port + at, [one.name for one, *_ in made])
        for at, each in enumerate(said.functions)
    }
    entries |= {service.name: _service(service, kind, image) for service, kind, image in made}
    whole: dict[str, Any] = {"services": entries}
    if made:
        whole["networks"] = {"default": {}, SERVICES: {"internal": True}}
    volumes: dict[str, Any] = {f"{service.name}-data": {} for service, kind, _ in made if kind.volume}
    if volumes:
        whole["volumes"] = volumes
    if secrets := {each.name: _where(each, folder) for shipped in said.functions for each in shipped.function.secrets}:
        whole["secrets"] = secrets
    return whole


def left_out(said: Document) -> list[str]:
    """What the compose file does not do, a line each."""
    lines = []
    for function in (each.function for each in said.functions):
        kinds = (("timer", function.timers), ("queue", function.queues), ("event", function.events))
        for kind, there in kinds:
            if there:
                lines.append(f"{function.name}: nothing calls it by its {kind} triggers")
        if function.auth is not Auth.NONE:
            lines.append(
                f"{function.name}: `auth: {function.auth}` is not checked: anybody who reaches its port calls it"
            )
        if function.network is Network.NONE:
            lines.append(f"{function.name}: `network: none` is not kept: a port needs a network")
    if said.workflows:
        lines.append(f"workflows are not run: {', '.join(each.name for each in said.workflows)}")
    return lines


def _function(each: Shipped, image: str, port: int, services: list[str]) -> dict[str, Any]:
    function = each.function
    variable = f"{function.name.upper().replace('-', '_')}_PORT"
    entry: dict[str, Any] = {
        "image": image,
        "ports": [f"127.0.0.1:${{{variable}:-{port}}}:{INSIDE_PORT}"],
        "environment": _environment(each),
        **_confined(function.memory_mb),
        "tmpfs": [f"/tmp:size={function.tmp_mb}m,mode=1777"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{max(1, round(function.stop_grace_s))}s",
    }
    if function.cpus is not None:
        entry["cpus"] = function.cpus
    if function.health:
        entry["healthcheck"] = _health(function)
    if function.secrets:
        entry["secrets"] = [secret.name for secret in function.secrets]
    if services and function.network is not Network.NONE:
        entry["networks"] = ["default", SERVICES]
        entry["depends_on"] = services
    return {key: value for key, value in entry.items() if value}


def _environment(each: Shipped) -> dict[str, str | None]:
    """As it is written in fnctl.yaml, whose `${NAME:-default}` is compose's; None: from where compose runs."""
    return {**dict(each.function.environment), **dict.fromkeys(each.required)}


def _confined(memory_mb: int) -> dict[str, Any]:
    memory = f"{memory_mb}m"
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": PIDS,
    }


def _health(function: Function) -> dict[str, Any]:
    script = (_PROBE % (INSIDE_PORT, function.health)).replace("$", "$$")
    return {
        "test": ["CMD", "perl", "-MIO::Socket::INET", "-e", script],
        "interval": "10s",
        "timeout": f"{max(1, round(function.timeout_s))}s",
        "retries": 3,
    }


def _service(service: Service, kind: ServiceType, image: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "image": image,
        "user": "root",  # the volume's owner; with no capability, that is all that it can do
        **_confined(kind.memory_mb),
        "tmpfs": ["/tmp:mode=1777"],
        "networks": [SERVICES],
        "restart": "unless-stopped",
    }
    if kind.command:
        entry |= {"entrypoint": [kind.command[0]], "command": list(kind.command[1:])}
    if kind.environment:
        entry["environment"] = {name: value.replace("$", "$$") for name, value in kind.environment}
    if kind.volume:
        entry["volumes"] = [f"{service.name}-data:{kind.volume}"]
    return entry


def _where(secret: Secret, folder: Path) -> dict[str, str]:
    """By reference: no value is in the file."""
    if secret.file is None:
        return {"environment": str(secret.variable)}
    path = os.path.relpath(secret.file, folder) if secret.file.is_absolute() else secret.file.as_posix()
    return {"file": path if path.startswith(".") else f"./{path}"}

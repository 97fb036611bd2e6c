"""Reads the types of services that layers/ declares.

A type is a folder under layers/ with a `service.yaml`; its name is the folder's. Nothing else in fnctl knows the names.
layers/SERVICES.md is the reference of the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fnctl.catalog.folders import layers_dir, mapping
from fnctl.errors import ConfigError
from fnctl.model import LivenessRule, Ready, ServiceType

SERVICE_FILE = "service.yaml"
SERVICE_SNIPPET = "Dockerfile.service.j2"  # how its image is made, where it is not the sandbox image
_KEYS = frozenset({"about", "image", "command", "ports", "ready", "volume", "environment", "memory_mb", "liveness"})
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def service_types(root: Path | None = None) -> dict[str, ServiceType]:
    """Every declared type by its name, sorted. ConfigError where a service.yaml cannot be used."""
    files = sorted((root or layers_dir()).glob(f"*/{SERVICE_FILE}"))
    return {file.parent.name: read_service_type(file.parent) for file in files}


def read_service_type(folder: Path) -> ServiceType:
    file = folder / SERVICE_FILE
    data = mapping(file)
    try:
        return _type(folder, data)
    except (TypeError, ValueError, AttributeError) as wrong:
        raise ConfigError(f"{file}: {wrong}", hint="layers/SERVICES.md has every key") from wrong


def _type(folder: Path, data: dict[str, Any]) -> ServiceType:
    if unknown := sorted(data.keys() - _KEYS):
        raise ValueError(f"unknown key {unknown[0]!r}")
    if not _NAME.fullmatch(folder.name):
        raise ValueError(f"a folder named {folder.name!r} cannot be a type: lower-case letters, digits and hyphens")
    made = ServiceType(
        name=folder.name,
        folder=folder,
        about=str(data.get("about", "")),
        command=tuple(str(word) for word in _listed(data, "command")),
        ports=tuple(_port(port) for port in _listed(data, "ports")),
        ready=Ready(data.get("ready", Ready.LISTEN)),
        image=data.get("image"),
        own_image=(folder / SERVICE_SNIPPET).is_file(),
        volume=data.get("volume"),
        environment=tuple((name, str(value)) for name, value in data.get("environment", {}).items()),
        memory_mb=int(data.get("memory_mb", ServiceType.__dataclass_fields__["memory_mb"].default)),
        liveness=_liveness(data.get("liveness", {})),
    )
    _check(made)
    return made


def _check(made: ServiceType) -> None:
    if made.image and made.own_image:
        raise ValueError(f"`image` and {SERVICE_SNIPPET}: one of the two")
    if not made.command and not made.image:
        raise ValueError("key 'command' is missing: only an `image` from elsewhere brings its own")
    if made.ready is Ready.LISTEN and not made.ports:
        raise ValueError("key 'ports' is missing: `ready: listen` waits for them")
    if made.volume is not None and not made.volume.startswith("/"):
        raise ValueError(f"volume {made.volume!r} is not a path from /")


def _liveness(said: object) -> LivenessRule | None:
    if said is False:
        return None
    if not isinstance(said, dict) or said.keys() - {"interval_s", "failures"}:
        raise ValueError(f"liveness must be false, or have interval_s and failures; found {said!r}")
    made = LivenessRule(**said)
    if not (isinstance(made.interval_s, int | float) and isinstance(made.failures, int)):
        raise TypeError(f"liveness must have numbers, found {said!r}")
    if made.interval_s < 1 or made.failures < 1:
        raise ValueError("liveness must have an interval_s of 1 or more, and failures of 1 or more")
    return made


def _listed(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list):
        raise TypeError(f"{key} must be a list, found {value!r}")
    return value


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"port {value!r} is not a number from 1 to 65535")
    return value

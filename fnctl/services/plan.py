"""What is to be started for an entry of `services:`: names and containers as values. Nothing is started here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.engine.port import LABEL_HOME, LABEL_ROLE, LABEL_RUN
from fnctl.model import Reach, SandboxSpec, Service, ServiceType

# The volume's root belongs to root; with every capability dropped, that is all this uid can do.
SERVICE_UID = 0


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry, what its type declares, and the image that it runs in."""

    service: Service
    kind: ServiceType
    image: str

    @property
    def name(self) -> str:
        return self.service.name


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose services and networks these are. `labels`: of everything that is made for it (engine/ownership.py)."""

    project: str  # Project.id
    run: str
    labels: Mapping[str, str]

    @property
    def home(self) -> str:
        return self.labels[LABEL_HOME]

    @property
    def of_run(self) -> dict[str, str]:
        return {**self.labels, LABEL_RUN: self.run}


def network_name(owner: Owner, reach: Reach) -> str:
    """A run's own: what a killed one left can be removed, since no other run uses it."""
    return f"fnctl-{owner.project}-{owner.run}-{str(reach).replace('+', '-').replace('_', '-')}"


def volume_name(owner: Owner, service: str) -> str:
    """A home's own: two homes in one folder keep their data apart."""
    return f"fnctl-{owner.home}-{owner.project}-{service}"


def volume_to_use(owner: Owner, service: str, there: Mapping[str, Mapping[str, str]], *, shared: bool) -> str:
    """The volume of a service: this home's own, else the one from before volumes had a home in their name. `there`: the
    project's volumes. `shared`: another home is using the project, so that the old one may be in its hands."""
    own, old = volume_name(owner, service), f"fnctl-{owner.project}-{service}"
    adopts = own not in there and old in there and LABEL_HOME not in there[old] and not shared
    return old if adopts else own


def spec(owner: Owner, planned: Planned, folder: Path, volume: str, network: str) -> SandboxSpec:
    """The service as a container. Its state lives in the volume and outlives it. `folder`: what it has at /fn."""
    kind = planned.kind
    return SandboxSpec(
        name=f"fnctl-{owner.project}-{owner.run}-service-{planned.name}",
        image=planned.image,
        command=kind.command,
        labels=tuple({**owner.of_run, LABEL_ROLE: "service"}.items()),
        uid=SERVICE_UID,
        mounts=(*(((volume, kind.volume, False),) if kind.volume else ()), (str(folder), "/fn", True)),
        memory_mb=kind.memory_mb,
        network=network,
        aliases=(planned.name,),
        environment=kind.environment,
        hostname=planned.name,
        log_driver="local",
    )

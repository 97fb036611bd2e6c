"""A stateful service, and its type as a folder under `layers/` declares it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class Ready(enum.StrEnum):
    """How a service shows that it can be used."""

    DIAL = "dial"  # it dials /fn/ready.sock once it has answered itself
    LISTEN = "listen"  # all of its ports are listened on


@dataclass(frozen=True, slots=True)
class LivenessRule:
    """When a service that runs is taken for one that hangs: after so many checks in a row in which it accepted nothing,
    though a connection waited."""

    interval_s: float = 10.0  # between checks
    failures: int = 3


@dataclass(frozen=True, slots=True)
class ServiceType:
    """A kind of stateful service, as its folder under `layers/` declares it (`service.yaml`)."""

    name: str  # the folder's, and what `type` in fnctl.yaml says
    folder: Path
    about: str  # one line for whoever chooses
    command: tuple[str, ...]  # empty: the image's own
    ports: tuple[int, ...]
    ready: Ready
    image: str | None  # a reference; None: made (own_image), or the sandbox image
    own_image: bool = False  # the folder says how its image is made
    volume: str | None = None  # where its state is inside; None: it keeps none
    environment: tuple[tuple[str, str], ...] = ()
    memory_mb: int = 256
    liveness: LivenessRule | None = LivenessRule()  # None: it is not checked


@dataclass(frozen=True, slots=True)
class Service:
    """A stateful node: a plain container with a volume, never reaped."""

    name: str
    type: str  # the name of a ServiceType

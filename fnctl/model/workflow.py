"""A workflow of a project, by the name that the project gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fnctl.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Workflow:
    """`data`: its definition, which is valid; never changed. `secrets`: those that it names."""

    name: str
    data: Mapping[str, Any] = field(hash=False)
    declared: str = ""  # "order.yaml:1"
    secrets: tuple[Secret, ...] = ()

"""A secret: where its value is, never the value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret's value is found when an instance starts: in a file, or in a variable. Never the value itself."""

    name: str  # of the file under /run/secrets
    file: Path | None
    variable: str | None
    env_file: Path  # the project's `.env`, for a variable that the process does not have
    declared: str  # "fnctl.yaml:12"
    authorities: bool = False  # no secret: certificates, `file` with those of this machine

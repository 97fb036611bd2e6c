"""Options that several verbs share, declared once."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from fnctl import config
from fnctl.config.units import duration_s
from fnctl.errors import UsageError
from fnctl.paths import ProjectPaths


class Format(enum.StrEnum):
    """How data is printed."""

    TEXT = "text"
    JSON = "json"


FileOption = Annotated[
    Path | None,
    typer.Option("--file", "-f", envvar="FNCTL_FILE", help="fnctl.yaml to use, or its folder."),
]
FormatOption = Annotated[Format, typer.Option("--output", "-o", help="Output format.")]


def project_paths(file: Path | None) -> ProjectPaths:
    """The state of the project here. Parses nothing: a broken file must not keep a service from being stopped."""
    found = config.find(Path.cwd(), file)
    root = found.parent if found else Path.cwd()
    return ProjectPaths.of(config.project_id(root, file))


def duration(option: str, text: str) -> float:
    """Seconds of an option's value such as 30s. UsageError names the option."""
    try:
        return duration_s(text)
    except ValueError as error:
        what, _, how = str(error).partition("; ")
        raise UsageError(f"{option}: {what}", hint=how) from error

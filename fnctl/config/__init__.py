"""Reads `fnctl.yaml` into a validated Project, or finds out by reading what a folder without one holds.

`find` and `project_id` are cheap, for verbs that only need to know which project they stand in; `load` and `schema`
import the validator when called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fnctl.config.locate import FILE_NAME, find, here, project_id
from fnctl.model import Project, RuntimeSpec, ServiceType

__all__ = ["FILE_NAME", "find", "here", "load", "project_id", "schema"]


def load(
    start: Path,
    file: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    runtimes: Mapping[str, RuntimeSpec] | None = None,
    services: Mapping[str, ServiceType] | None = None,
) -> Project:
    """The project of `file`, or of the nearest `fnctl.yaml` at or above `start`, or of the app found in `start`.

    `environ` fills `${VAR}` (default: the process's), and where it does not, the `.env` beside the file does;
    `runtimes` and types of `services` are the known ones (default: those shipped).
    Raises ConfigError with every problem found, each with file and line; NotFound where there is no project at all.
    """
    from fnctl.config.assemble import load_project

    return load_project(start, file, os.environ if environ is None else environ, runtimes, services)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `fnctl.yaml`."""
    from fnctl import catalog
    from fnctl.config.keys import json_schema

    return json_schema(catalog.service_types())

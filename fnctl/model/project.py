"""A project: its functions, its services, and where they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fnctl.model.function import Function
from fnctl.model.queue import Queue
from fnctl.model.service import Service
from fnctl.model.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Project:
    """A validated `fnctl.yaml`, or what was found in a folder without one."""

    root: Path
    id: str  # stable over renames (fnctl/projects.py): names, labels and state folders carry it
    functions: tuple[Function, ...]
    services: tuple[Service, ...] = ()
    workflows: tuple[Workflow, ...] = ()
    queues: tuple[Queue, ...] = ()
    file: Path | None = None
    name: str | None = None  # where the file says one
    store: str | None = field(default=None, repr=False)  # the URL of a shared one; it may hold a password
    place: Path | None = None  # the root as the user names it, through links
    notes: tuple[str, ...] = ()  # what the user should know of how it was found; each with its place
    reads: tuple[Path, ...] = ()  # what it was read from, there or not: a change of any may make it another project

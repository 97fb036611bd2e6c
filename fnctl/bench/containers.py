"""What the bench asks of Docker, through the `docker` command as a user would. No part of fnctl's own engine."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from fnctl.bench.measure import NotMeasured
from fnctl.bench.usage import Cgroup, cgroup_of
from fnctl.errors import EngineError

# As on everything that fnctl makes, so that `fnctl prune` finds what an interrupted bench left.
LABELS = ("--label", "dev.fnctl=1", "--label", "dev.fnctl.role=bench")
PROJECT_LABEL = "dev.fnctl.project"
COMMAND_S = 120.0


@dataclass(frozen=True, slots=True)
class Container:
    """A running container, as `docker inspect` shows it."""

    id: str
    pid: int
    image: str
    command: tuple[str, ...]
    user: str
    labels: dict[str, str]

    @property
    def cgroup(self) -> Cgroup:
        return cgroup_of(self.pid)


def program() -> str:
    """The `docker` command; NotMeasured where there is none."""
    found = shutil.which("docker")
    if found is None:
        raise NotMeasured(
            "there is no `docker` command on the PATH", hint="as root: apt-get install docker-cli (from Debian 13 on)"
        )
    return found


def docker(*arguments: str) -> str:
    """Its stdout. EngineError with what it said where it fails or does not end in time."""
    try:
        done = subprocess.run([program(), *arguments], capture_output=True, text=True, timeout=COMMAND_S)
    except subprocess.TimeoutExpired as late:
        raise EngineError(f"docker {arguments[0]} did not end within {COMMAND_S:.0f} s") from late
    if done.returncode:
        raise EngineError(f"docker {arguments[0]} failed", detail=done.stderr.strip())
    return done.stdout


def of_project(project_id: str) -> list[Container]:
    """The running containers of a project, the oldest first. One that ends meanwhile is left out."""
    ids = docker("ps", "-q", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project_id}").split()
    if not ids:
        return []
    # fails for those that are gone by now, and shows the others all the same
    said = subprocess.run([program(), "inspect", *reversed(ids)], capture_output=True, text=True, timeout=COMMAND_S)
    return [_container(row) for row in json.loads(said.stdout or "[]") if row["State"]["Pid"]]


def inspect(name: str) -> Container:
    return _container(json.loads(docker("inspect", name))[0])


def _container(row: dict[str, Any]) -> Container:
    config = row["Config"]
    return Container(
        id=row["Id"],
        pid=row["State"]["Pid"],
        image=row["Image"],
        command=(row["Path"], *row["Args"]),
        user=config["User"],
        labels=config["Labels"] or {},
    )


def remove(name: str) -> None:
    """Gone already is success."""
    subprocess.run([program(), "rm", "-f", "-v", name], capture_output=True, timeout=COMMAND_S)

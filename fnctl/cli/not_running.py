"""The error of verbs that need the running service of a project when there is none."""

from __future__ import annotations

from pathlib import Path

from fnctl import config
from fnctl.control import other_runs
from fnctl.errors import NotFound
from fnctl.paths import ProjectPaths, home


def not_running(paths: ProjectPaths, file: Path | None = None) -> NotFound:
    """The error of a verb that needs the running service of this project."""
    if (there := runs_elsewhere(file)) is not None:
        return there
    what = "this project is not running" if paths.root.exists() else "no project has run in this folder"
    return NotFound(what, hint="`fnctl run` starts the project in this folder")


def runs_elsewhere(file: Path | None) -> NotFound | None:
    """The error where this project runs with another home than ours."""
    found = config.find(Path.cwd(), file)
    other = next(other_runs.others(found.parent if found else Path.cwd()), None)
    if other is None:
        return None
    ours = home()
    what = f"this project runs with FNCTL_HOME={other.home} (pid {other.pid}), and this command looks in {ours}"
    return NotFound(what, hint=f"use the same home: `export FNCTL_HOME={other.home}`")

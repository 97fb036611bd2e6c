"""Find other `fnctl run` processes of a folder, from /proc, as far as it tells.

Each `FNCTL_HOME` has projects of its own, so that a command with another home does not see what runs. Processes of
other users cannot be looked into.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fnctl import config, paths
from fnctl.control.holder import holder

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Runs:
    """A service that runs. `root`: the folder that it was started in, None where that is gone."""

    pid: int
    home: Path
    root: Path | None


def run_of(pid: int, proc: Path = PROC) -> Runs | None:
    """The service that this process is; None where it is none, or not ours to see."""
    process = proc / str(pid)
    try:
        words = process.joinpath("cmdline").read_bytes().split(b"\0")
        if not _is_run(words):
            return None
        environment = dict(
            pair.split(b"=", 1) for pair in process.joinpath("environ").read_bytes().split(b"\0") if b"=" in pair
        )
        folder = process.joinpath("cwd").readlink()
    except OSError:
        return None
    home = paths.home({os.fsdecode(name): os.fsdecode(text) for name, text in environment.items()})
    found = config.find(folder)
    return Runs(pid, home, found.parent if found else folder)


def _is_run(words: list[bytes]) -> bool:
    names = [Path(os.fsdecode(word)).name for word in words]
    at = next((at for at, name in enumerate(names[:5]) if name in ("fnctl", "fnctl.cli.main", "main.py")), None)
    return at is not None and b"run" in words[at + 1 :]


def others(root: Path, proc: Path = PROC) -> Iterator[Runs]:
    """The services of this folder that run with another home than ours."""
    ours = paths.home()
    for process in proc.glob("[0-9]*"):
        there = run_of(int(process.name), proc)
        if there is not None and there.home != ours and there.root == root and _has_lock(there):
            yield there


def _has_lock(there: Runs) -> bool:
    """It serves, and is not a parent that waits for it."""
    locks = there.home.glob("projects/*/lock")
    return any(holder(lock) == there.pid for lock in locks)

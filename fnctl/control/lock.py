"""The one `fnctl run` of a project: a file lock that names its holder. Freed by the kernel when the holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from fnctl import projects
from fnctl.errors import ConflictError


class ProjectLock:
    """flock on a file that holds the pid. The file is never unlinked: a lock on an unlinked file guards nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """ConflictError, within 50 ms, with the holder's pid where another process has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _locked(fd):
            pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise already_running(pid, self._path.parent.name)
        os.truncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    @property
    def descriptor(self) -> int:
        """Whoever has it open holds the lock."""
        assert self._fd is not None
        return self._fd

    def adopt(self, descriptor: int) -> None:
        """It holds the lock already: in this process, for who was in it before."""
        self._fd = descriptor

    def release(self) -> None:
        if self._fd is not None:
            os.truncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def already_running(pid: str, project: str) -> ConflictError:
    """Where the project has a name, it may run from another folder than this one."""
    known = projects.of(project)
    where = f": `{known.name}`, from {known.folder}" if known is not None and known.declared else ""
    return ConflictError(
        f"this project is already running (pid {pid or 'unknown'}){where}",
        hint="`fnctl reload` applies changes to it, `fnctl stop` stops it; `fnctl ps` shows where it listens",
        code="locked",
    )


def _locked(fd: int) -> bool:
    """Try twice: `fnctl ps` and the like hold the lock shared for the moment in which they ask who has it."""
    for wait_s in (0.05, 0.0):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(wait_s)
        else:
            return True
    return False

"""Why a TCP port cannot be listened on, and who holds it: from /proc, best effort."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import NamedTuple

from fnctl.errors import ConflictError, FnctlError, UsageError

_LISTENING = "0A"


class Holder(NamedTuple):
    """A process that listens."""

    name: str
    pid: int

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def holder(port: int, proc: Path = Path("/proc")) -> Holder | None:
    """Who listens on the port. Another user's processes cannot be looked into."""
    inodes = _listeners(port, proc)
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        try:
            if any(descriptor.readlink().name in inodes for descriptor in (process / "fd").iterdir()):
                return Holder((process / "comm").read_text().strip(), int(process.name))
        except OSError:
            continue  # it ended, or is not ours to see
    return None


def _listeners(port: int, proc: Path) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def cannot_listen(error: OSError, host: str, port: int) -> FnctlError:
    """The error to tell where `bind` or `listen` failed."""
    if error.errno == errno.EADDRINUSE:
        by = holder(port)
        return ConflictError(
            f"port {port} on {host} is in use{f' by {by}' if by else ''}",
            hint="choose another with --port; --port 0 takes any free port",
            code="port_in_use",
        )
    if error.errno == errno.EACCES:
        return UsageError(f"no permission to use port {port} on {host}", hint="choose a port from 1024 up")
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}")

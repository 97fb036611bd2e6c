"""Why a TCP port cannot be listened on, and who holds it: from /proc, best effort."""

from __future__ import annotations

import errno
from pathlib import Path

from fnctl.errors import ConflictError, FnctlError, UsageError

_LISTENING = "0A"


def holder(port: int, proc: Path = Path("/proc")) -> str | None:
    """`nginx (pid 123)`. Another user's processes cannot be looked into."""
    inodes = _listeners(port, proc)
    if not inodes:
        return None
    for process in proc.glob("[0-9]*"):
        try:
            if any(descriptor.readlink().name in inodes for descriptor in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
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
            hint="choose another with --port, or 0 for any that is free",
            code="port_in_use",
        )
    if error.errno == errno.EACCES:
        return UsageError(f"port {port} on {host} needs privileges that fnctl lacks", hint="choose a port from 1024 on")
    return UsageError(f"cannot listen on {host}:{port}: {error.strerror or error}")

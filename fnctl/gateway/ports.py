"""Who holds a TCP port, for an error message: from /proc, best effort, None where it cannot be known."""

from __future__ import annotations

from pathlib import Path

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

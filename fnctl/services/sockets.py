"""TCP sockets in a process's network namespace, as the kernel's own tables have them. Nothing is sent or opened."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Of the states in /proc/net/tcp. A client that has left is seen too: its connection waits to be accepted all the same.
_LISTENING, _WAITING = "0A", ("01", "08")


@dataclass(frozen=True, slots=True)
class Sockets:
    """`unaccepted`: connections that a program has not accepted yet, by the port that they came to, each by its other
    end: they have no inode."""

    listening: frozenset[int]
    unaccepted: Mapping[int, frozenset[str]]


def sockets(pid: int) -> Sockets:
    """Nothing where the process is gone."""
    listening, unaccepted = set(), defaultdict(set)
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for row in (PROC / str(pid) / "net" / table).read_text().splitlines()[1:]:
                _, local, remote, state, _, _, _, _, _, inode, *_ = row.split()
                if state == _LISTENING:
                    listening.add(_port(local))
                elif inode == "0" and state in _WAITING:
                    unaccepted[_port(local)].add(remote)
    return Sockets(frozenset(listening), {port: frozenset(ends) for port, ends in unaccepted.items()})


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)

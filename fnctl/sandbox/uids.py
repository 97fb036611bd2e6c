"""Which user ids a run may give to its slots: no two runs on this machine have one in common. Not who has which."""

from __future__ import annotations

import contextlib
import socket

from fnctl.errors import NoCapacity

# Slot users lie far above what distributions give to people and services, and below the ranges of subordinate ids
# (100000 and up), so that a quota or a file of one never meets another's.
FIRST_UID = 70_000
BLOCK = 200
BLOCKS = 100
NAME = "fnctl-uids"


class UidClaim:
    """claim → close. A claim is a name bound in the kernel, so that it ends with the process however that ends.

    The names are abstract unix sockets (unix(7)): they need no folder that every user may write to, and one that a
    stranger holds costs a block and nothing else. They are told apart by network namespace; runs in different ones
    (fnctl in containers that share an engine) do not see each other and may give out the same ids.
    """

    def __init__(self, name: str = NAME, blocks: int = BLOCKS) -> None:
        self._name = name
        self._blocks = blocks
        self._held: list[socket.socket] = []

    def claim(self) -> range:
        """A block of ids that nobody else has. NoCapacity where all are taken."""
        for number in range(self._blocks):
            holder = socket.socket(socket.AF_UNIX)
            try:
                holder.bind(f"\0{self._name}-{number}")
            except OSError:
                holder.close()
            else:
                self._held.append(holder)
                return range(FIRST_UID + number * BLOCK, FIRST_UID + (number + 1) * BLOCK)
        raise NoCapacity(
            "no user IDs left for more containers on this machine",
            hint=f"{self._blocks} blocks of {BLOCK} are in use: stop other projects, or lower `scale.max`",
            retry_after_s=2,
        )

    def close(self) -> None:
        held, self._held = self._held, []
        for holder in held:
            with contextlib.suppress(OSError):
                holder.close()

"""What the gateway bounds: sizes and waits. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from fnctl.triggers.http.exposure import is_loopback

KIB = 1024
MIB = 1024 * KIB
INSIDE = 2048


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are granted to the next tick of the clock (dispatch/ticker.py), so they may end that much late."""

    head_bytes: int = 32 * KIB  # of a request's head (431) and of a response's (502)
    body_bytes: int = 16 * MIB  # of a request's body (413)
    # A request is admitted when its body, or this much of it, is here: a slow sender holds no instance.
    hold_bytes: int = 64 * KIB
    # A chunked body has no announced end and may be a conversation: it is held no longer than this.
    hold_s: float = 0.2
    # Of all bodies that are held, of all clients together (503); as much again of all code in sandboxes.
    held_bytes: int = 256 * MIB
    held_inside_bytes: int = 64 * MIB  # of one instance's code
    signed_bytes: int = MIB  # of the body of a signed request, which is held until it is whole
    pipeline_bytes: int = 64 * KIB  # read ahead of the request that is served; past it, reading stops
    error_bytes: int = 64 * KIB  # of an agent's own error body

    clients: int = 16_384  # connected at once over TCP (503); idle ones make room (clients.py)
    inside: int = INSIDE  # connections of code in sandboxes, together; a few of each instance are not counted
    requests_a_turn: int = 16  # of one connection, before the loop turns to the others

    head_s: float = 10.0
    body_idle_s: float = 30.0
    reader_stall_s: float = 60.0
    keep_alive_s: float = 75.0
    linger_s: float = 2.0  # after a refusal, the rest of the request is read and dropped this long
    first_s: float = 0.5  # (draining) a connection that has asked nothing yet may still, this long

    def clients_from(self, address: str) -> int:
        """From one address. Of loopback more: all that one machine does, with some left for its other addresses."""
        return self.clients * 3 // 4 if is_loopback(address) else max(1, self.clients // 4)


def inside_within(files: int) -> int:
    """How many connections the code in all sandboxes can have together: half of what clients leave."""
    files = files if files >= 0 else 1 << 20
    return max(64, min(INSIDE, files // 8))


def clients_within(files: int, most: int | None = None) -> int:
    """How many clients a process with this limit of open files can have, or fewer where that is said: a quarter of the
    files is for the instances' connections (some ten each) and all else. A negative limit (RLIM_INFINITY) is none."""
    files = files if files >= 0 else 1 << 20
    room = max(1, files - max(128, files // 4))
    return room if most is None else min(room, most)

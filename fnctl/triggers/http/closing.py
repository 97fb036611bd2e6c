"""How a listening socket stops to take connections, and loses none: the kernel resets what it took and nobody accepted.

Between the last `accept` and `close` there is always a moment. In it, new connections are left waiting (a client asks
again within a second, and finds nobody) instead of being taken.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from pathlib import Path

_SO_ATTACH_FILTER = 26  # of Linux (socket(7)); Python does not name it
# Classic BPF over the TCP header: byte 13 holds the flags. SYN without ACK, which asks for a connection, is dropped;
# what belongs to connections that are there, or are on their way to be, passes.
_NO_NEW = (
    (0x30, 0, 0, 13),  # A = flags
    (0x54, 0, 0, 0x12),  # A &= SYN | ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFF),  # pass
)


def take_no_more(listener: socket.socket) -> None:
    """What connects from now on is not taken; what has connected can still be accepted. Best effort."""
    if listener.family == socket.AF_UNIX:
        Path(listener.getsockname()).unlink(missing_ok=True)
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _NO_NEW))
    described = struct.pack("HL", len(_NO_NEW), ctypes.addressof(program))
    with contextlib.suppress(OSError):  # a kernel without it: as before, a moment in which some are reset
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)

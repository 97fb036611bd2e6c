"""The reading end of a pipe, as a sandbox hands it to the host: received, and made the host's own. Not what is read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct

# Bytes that may be printed ahead of us: whoever ends in the meantime has said all, and no grace goes by in waiting. The
# kernel's own bound is a quarter of it. Memory is taken as it is filled, and counted as the sandbox's.
HELD = 256 << 10
_FD = struct.Struct("i")
# Room for one descriptor: CMSG_SPACE would be rounded up to two. The kernel closes what finds no room.
_ROOM = socket.CMSG_LEN(_FD.size)


def received(connection: socket.socket) -> int | None:
    """A descriptor to read from, non-blocking and the caller's to close; None where what came is not a pipe that can be
    read. BlockingIOError where nothing has come yet.

    It is opened anew. Whoever sent it may have kept another reference to the one that was sent, and could make it a
    blocking one at any moment, which would hold up all that this process does.
    """
    try:
        _, ancillary, *_ = connection.recvmsg(1, _ROOM, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
    except BlockingIOError:
        raise
    except OSError:
        return None
    sent = [fd for *_, data in ancillary for (fd,) in _FD.iter_unpack(data)]
    try:
        return _opened(sent[0]) if sent else None
    finally:
        for fd in sent:
            os.close(fd)


def _opened(fd: int) -> int | None:
    path = f"/proc/self/fd/{fd}"
    try:
        # a pipe without a name: what has one lies on a file system, whose owner could keep us waiting
        if not os.readlink(path).startswith("pipe:["):  # noqa: PTH115  # names no file
            return None
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # its user has reached a limit: it stays as it is
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, HELD)
    return end

"""Listen on a sandbox's loopback interface from outside. Needs a sandbox on this machine, and root.

Whoever connects is known by the socket.
"""

from __future__ import annotations

import socket

from fnctl.engine.netns import in_namespace_of

BACKLOG = 64


def listen_inside(pid: int, address: str, port: int) -> socket.socket:
    """A listening, non-blocking socket in the network namespace of the process (blocking, below a millisecond).

    OSError: it is gone, the port is taken there, or this process may not (setns(2): CAP_SYS_ADMIN).
    """
    return in_namespace_of(pid, lambda: _listen(address, port))


def _listen(address: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener

"""Listen on a sandbox's loopback interface from outside. Needs a sandbox on this machine, and root.

A socket stays in the network namespace that its thread was in when it made it. So a thread goes there, listens, and
ends: no process in the sandbox, no copy of a byte more, and whoever connects is known by the socket.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading

_CLONE_NEWNET = 0x40000000
BACKLOG = 64


def listen_inside(pid: int, address: str, port: int) -> socket.socket:
    """A listening, non-blocking socket in the network namespace of the process (blocking, below a millisecond).

    OSError: it is gone, the port is taken there, or this process may not (setns(2): CAP_SYS_ADMIN).
    """
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def go() -> None:
        try:
            _enter(pid)
            made.append(_listen(address, port))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=go, name="inside")  # of its own: it never comes back
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _enter(pid: int) -> None:
    namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(namespace)


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

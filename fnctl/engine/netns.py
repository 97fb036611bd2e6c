"""Sockets in the network namespace of another process on this machine. Needs root.

A socket stays in the network namespace that its thread was in when it made it. So a thread goes there, makes it, and
ends: no process in the sandbox, and no copy of a byte more.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable

_CLONE_NEWNET = 0x40000000


def in_namespace_of(pid: int, make: Callable[[], socket.socket]) -> socket.socket:
    """What `make` makes there (blocking, below a millisecond). OSError: its own; the process is gone; or this process
    may not (setns(2): CAP_SYS_ADMIN)."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def go() -> None:
        try:
            _enter(pid)
            made.append(make())
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

"""Sees on which port a program listens by itself. Not who serves there, and not the serving calls of capture.py."""

from __future__ import annotations

import socket
import sys
import threading
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Address = tuple["Any", ...]

_IP = (socket.AF_INET, socket.AF_INET6)


class Listening:
    """From `watch` on, the TCP sockets of the main thread: where they are bound, and that they listen.

    A port that the program did not name itself (0) is a side business, and so is that of another thread. Servers of
    `socketserver` and of asyncio are told apart by their caller, since capture.py takes those whole.
    """

    def __init__(self, bind: Callable[[Address], Address], listens: Callable[[int], None]) -> None:
        self._bind = bind
        self._listens = listens
        self._named: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def watch(self) -> None:
        bind, listen = socket.socket.bind, socket.socket.listen
        listening = self

        def bind_and_see(self: socket.socket, address: Any) -> None:
            bind(self, listening.bound(self, address))

        def listen_and_see(self: socket.socket, *backlog: int) -> None:
            listen(self, *backlog)
            caller = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0]
            if self in listening._named and caller not in ("socketserver", "asyncio"):
                listening._listens(self.getsockname()[1])

        socket.socket.bind = bind_and_see  # type: ignore[method-assign]
        socket.socket.listen = listen_and_see  # type: ignore[method-assign]

    def bound(self, sock: socket.socket, address: Any) -> Any:
        """The address to bind to in place of `address`."""
        tcp = sock.family in _IP and sock.type == socket.SOCK_STREAM
        if not tcp or threading.current_thread() is not threading.main_thread() or not address[1]:
            return address
        self._named.add(sock)
        return self._bind(address)

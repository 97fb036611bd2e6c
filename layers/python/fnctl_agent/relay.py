"""Programs that listen for themselves, whatever their server: a data connection is copied to and from their port.

The way for what no other way is known for (capture.py). Lines of such a program's log belong to no invocation.
"""

# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import re
import socket
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = 64 << 10
SETTLE_S = 1.0
CONNECT_S = 5.0  # a server that restarts its workers may not accept for a moment
_LISTENING = "0A"  # st of /proc/net/tcp: TCP_LISTEN
_HOP = re.compile(rb"(connection|keep-alive)[ \t]*:", re.IGNORECASE)


class Relay:
    """Copies data connections to and from one port.

    The program's server is connected to when a first request is there, so that an idle connection keeps no worker of it
    busy. `single`: that request asks for the connection's end after its response, which is the invocation's.
    """

    def __init__(self, port: int, *, single: bool) -> None:
        self._port = port
        self._single = single
        self._busy: set[threading.Thread] = set()

    def serve(self, data: socket.socket) -> None:
        """Both ways until either end closes. Closes it."""
        with data, contextlib.suppress(OSError):
            begin = _head(data) if self._single else data.recv(READ)
            if not begin:
                return
            self._busy.add(threading.current_thread())
            try:
                self._exchange(data, _closing(begin) if self._single else begin)
            finally:
                self._busy.discard(threading.current_thread())

    def _exchange(self, data: socket.socket, begin: bytes) -> None:
        with _connect(self._port) as server:
            server.sendall(begin)
            threading.Thread(target=_copy, args=(data, server), daemon=True, name="fnctl-relay").start()
            _copy(server, data)
            with contextlib.suppress(OSError):
                data.shutdown(socket.SHUT_RDWR)  # wakes the other direction

    def settle(self) -> None:
        """The program has ended: what it sent before still goes out, for a bounded time."""
        deadline = time.monotonic() + SETTLE_S
        for thread in list(self._busy):
            thread.join(max(0.0, deadline - time.monotonic()))


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(READ):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + CONNECT_S
    while True:
        for host in ("127.0.0.1", "::1"):
            with contextlib.suppress(OSError):
                server = socket.create_connection((host, port))
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return server
        if time.monotonic() > deadline:
            raise ConnectionRefusedError(f"nobody accepts on port {port} any more")
        time.sleep(0.05)


def _head(data: socket.socket) -> bytes:
    """The first bytes of a connection, a request's whole head among them."""
    begin = b""
    while b"\r\n\r\n" not in begin:
        chunk = data.recv(READ)
        if not chunk:
            return b""
        begin += chunk
    return begin


def _closing(begin: bytes) -> bytes:
    """The head with `Connection: close`; an upgrade keeps its own, since that ends by itself."""
    head, _, rest = begin.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return begin
    kept = [line for line in lines if not _HOP.match(line)]
    return b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + rest


class Watch:
    """Looks whether somebody listens on a port, for servers that this process cannot see: native code, children."""

    def __init__(self, port: int, listens: Callable[[int], None]) -> None:
        self._port = port
        self._listens = listens
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="fnctl-watch")
        self._thread.start()

    def end(self) -> None:
        """No thread is left of it after this: a process with one cannot be forked from."""
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _look(self) -> None:
        pause_s = 0.1  # programs whose serving is seen without this have mostly begun to by then
        while not self._ended.wait(pause_s):
            if is_listened_on(self._port):
                self._listens(self._port)
                return
            pause_s = min(1.0, pause_s * 1.2)


def is_listened_on(port: int) -> bool:
    wanted = f":{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            with open(table) as rows:
                lines = rows.read().splitlines()[1:]
            for line in lines:
                fields = line.split()
                if fields[1].endswith(wanted) and fields[3] == _LISTENING:
                    return True
    return False

"""Programs that listen for themselves, whatever their server: a data connection is copied to and from their port.

The way for what no other way is known for (capture.py). Lines of such a program's log belong to no invocation.
"""

# ruff: noqa: PTH123
from __future__ import annotations

import contextlib
import fcntl
import re
import socket
import sys
import termios
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = 64 << 10
SETTLE_S = 1.0
# A server reads this much at once: of a larger piece it may have read a part before it closed, and have begun to act.
WHOLE = 4096
TCP_CLOSE = 7  # after a reset: tcpi_state, the first byte of struct tcp_info (include/net/tcp_states.h)
TAKEN_S = 0.05  # a server that closes after its answer has done so by then, also on a busy machine
MORE_S = 0.002  # how soon the next piece of a body is noticed meanwhile
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
            _Crossing(data, server).run()

    def settle(self) -> None:
        """The program has ended: what it sent before still goes out, for a bounded time."""
        deadline = time.monotonic() + SETTLE_S
        for thread in list(self._busy):
            thread.join(max(0.0, deadline - time.monotonic()))


class _Crossing:
    """One connection of the program's server and the data connection that it is for, copied both ways.

    What comes for a server that has closed its connection stays unread, so that the host can tell (PROTOCOL.md). A
    server closes some time after its answer, and the next request may have been sent to it by then: a small piece is
    sent on before it is taken, and taken when the server has answered, or has shown that it lives.
    """

    def __init__(self, data: socket.socket, server: socket.socket) -> None:
        self._data = data
        self._server = server
        self._heard = threading.Event()  # the server has sent something, or ended

    def run(self) -> None:
        """Until the server ends its side, or either end breaks."""
        up = threading.Thread(target=self._up, daemon=True, name="fnctl-relay")
        up.start()
        with contextlib.suppress(OSError):
            while chunk := self._server.recv(READ):
                self._heard.set()
                self._data.sendall(chunk)
        with contextlib.suppress(OSError):
            self._data.shutdown(socket.SHUT_RD)  # wakes `_up`, and does not end the connection: `serve` does
        self._heard.set()
        up.join(TAKEN_S)  # whether what was sent last is taken is told by how the connection ends

    def _up(self) -> None:
        data, server = self._data, self._server
        with contextlib.suppress(OSError):
            while chunk := data.recv(READ, socket.MSG_PEEK):
                if _has_ended(server):
                    return
                whole = len(chunk) <= WHOLE
                if not whole:
                    data.recv(len(chunk), socket.MSG_WAITALL)
                self._heard.clear()
                server.sendall(chunk)
                if whole:
                    if not self._is_taken(len(chunk)):
                        return
                    data.recv(len(chunk), socket.MSG_WAITALL)
            server.shutdown(socket.SHUT_WR)

    def _is_taken(self, size: int) -> bool:
        """Has the server not refused what it was sent last?"""
        deadline = time.monotonic() + TAKEN_S
        while not self._heard.wait(MORE_S):
            if time.monotonic() > deadline or _waiting(self._data) > size:
                return True
        return self._server.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSE


def _waiting(data: socket.socket) -> int:
    """Bytes that have come and were not taken."""
    return int.from_bytes(fcntl.ioctl(data, termios.FIONREAD, bytes(4)), sys.byteorder)


def _has_ended(server: socket.socket) -> bool:
    try:
        return not server.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


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

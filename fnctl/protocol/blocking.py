"""A blocking line to one sandbox: for who plays the host of a single one. Checks nothing of what a host must check."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fnctl.errors import ProtocolError
from fnctl.protocol.messages import BACKLOG, Message, decoded, encoded


def listen(path: Path, timeout_s: float) -> socket.socket:
    """A socket that sandboxes of any uid may dial. `timeout_s` is for each connection that has to come."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen(BACKLOG)
    listener.settimeout(timeout_s)
    return listener


def accepted(listener: socket.socket) -> socket.socket:
    """The next connection, with the listener's own patience. TimeoutError where none comes."""
    sock, _ = listener.accept()
    sock.settimeout(listener.gettimeout())
    return sock


class Channel:
    """A control connection: a message each way, a line each. Waits as long as its socket does."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("rb")

    def receive(self) -> Message | None:
        """The next message; None at end of file."""
        line = self._lines.readline()
        return decoded(line) if line else None

    def expect(self, op: str) -> Message:
        """The next message, which has to be this. ProtocolError with what it was instead."""
        message = self.receive()
        if message is None or message["op"] != op:
            raise ProtocolError(f"the sandbox said {message or 'no more'} where `{op}` was to come")
        return message

    def send(self, message: Mapping[str, Any]) -> None:
        self.send_line(encoded(message))

    def send_line(self, line: bytes) -> None:
        """Whatever it is: for who tries what the other side makes of what is no message."""
        self._sock.sendall(line)

    def close(self) -> None:
        self._lines.close()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

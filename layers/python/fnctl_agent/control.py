"""The control connection of an agent: JSON lines to and from the host. Knows no function."""

from __future__ import annotations

import json
import os
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

PROTOCOL = 1
MAX_TEXT = 64 << 10  # characters kept of a message or a stack: far below the protocol's bound of a line


def dial(root: str, name: str) -> socket.socket:
    """A connection to one of the host's sockets. Never passed to a program that the function starts."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{root}/{name}.sock")
    return sock


class Control:
    """Blocking. Reading waits for whole lines; end of file means that the host is gone, and so is this process."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.socket = dial(root, "agent")
        self._buffer = bytearray()

    def hello(self, runtime: str) -> None:
        boot = os.environ.pop("FNCTL_BOOT", "")
        self.send(
            {"op": "hello", "protocol": PROTOCOL, "role": "agent", "runtime": runtime, "pid": os.getpid(), "boot": boot}
        )

    def send(self, message: dict[str, Any]) -> None:
        self.socket.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    def receive(self) -> Iterator[dict[str, Any]]:
        """Read once; the messages that are whole by now."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            os._exit(0)
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            yield json.loads(line)

    def wait_load(self, read_ahead: Callable[[str], None]) -> dict[str, Any]:
        """`read_ahead(folder)` is called where the host tells early what will be loaded from."""
        while True:
            for message in self.receive():
                if message["op"] == "ahead":
                    read_ahead(message["folder"])
                    self.send({"op": "ahead"})
                elif message["op"] == "load":
                    return message

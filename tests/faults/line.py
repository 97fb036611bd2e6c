"""The line to a Docker Engine, as a socket in between: it passes everything on, but for what is programmed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Fault:
    """For the next request whose first line holds `needle`: its answer is dropped, or it hangs."""

    needle: bytes
    kind: str  # "drop": passed on, the answer is not; "hang": swallowed
    met: threading.Event = field(default_factory=threading.Event)


class Line:
    """A unix socket that passes everything on to the engine, but for what is programmed."""

    def __init__(self, path: Path, engine: str) -> None:
        self.path = path
        self.faults: list[Fault] = []
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self._engine = engine
        self._down = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    client.close()
                    continue
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                self.pairs.append((client, engine))
                threading.Thread(target=self._requests, args=(client, engine), daemon=True).start()
                threading.Thread(target=_copy, args=(engine, client), daemon=True).start()

    def _requests(self, client: socket.socket, engine: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                fault = self._fault(data.split(b"\r\n")[0])
                if fault is None:
                    engine.sendall(data)
                    continue
                if fault.kind == "drop":
                    _shut(client, socket.SHUT_WR)  # no answer can pass any more
                    engine.sendall(data + _rest(client))
                fault.met.set()

    def _fault(self, head: bytes) -> Fault | None:
        found = next((fault for fault in self.faults if fault.needle in head), None)
        if found is not None:
            self.faults.remove(found)
        return found

    def cut(self) -> None:
        """Every connection breaks; new ones pass."""
        for pair in tuple(self.pairs):
            for end in pair:
                _shut(end)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Every connection breaks, and new ones too, until the end of the block."""
        self._down = True
        try:
            self.cut()
            yield
        finally:
            self._down = False

    def close(self) -> None:
        _shut(self._listener)
        self._listener.close()
        for pair in self.pairs:
            for end in pair:
                _shut(end)
                end.close()


def _rest(client: socket.socket) -> bytes:
    """What the client had sent of the request after its first piece: the body, in a piece of its own."""
    client.settimeout(0.2)
    parts = []
    with suppress(OSError):
        while data := client.recv(65536):
            parts.append(data)
    return b"".join(parts)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _shut(target, socket.SHUT_WR)


def _shut(end: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with suppress(OSError):
        end.shutdown(how)

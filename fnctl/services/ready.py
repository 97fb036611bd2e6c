"""Whether a service can be used, told without the engine and without its network. Not what is done about it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from fnctl.model import Ready, ServiceType
from fnctl.services.sockets import sockets

READY = "ready.sock"


class Readiness(Protocol):
    """One service's. Asked again and again, from one thread; each answer takes no time worth waiting for."""

    def ready(self, pid: int) -> bool:
        """`pid`: of the service's first process, as this machine counts."""
        ...

    def reset(self) -> None:
        """A new container is about to be made: what an earlier one has said is forgotten."""
        ...

    def close(self) -> None: ...


def readiness(kind: ServiceType, folder: Path) -> Readiness:
    """`folder` is the service's own, which it has at /fn, and which is there already."""
    return Dialled(folder) if kind.ready is Ready.DIAL else Listened(kind.ports)


class Dialled:
    """The service dials, as all sandboxes do: nothing of it is opened from here (docs/adr/0002)."""

    def __init__(self, folder: Path) -> None:
        self._ready = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / READY))
        (folder / READY).chmod(0o666)
        self._listener.listen(1)
        self._listener.setblocking(False)

    def ready(self, pid: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            self._listener.accept()[0].close()
            self._ready = True
        return self._ready

    def reset(self) -> None:
        self._ready = False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()

    def close(self) -> None:
        self._listener.close()


class Listened:
    """Every port is listened on, as the kernel's own table of the service's network namespace has it."""

    def __init__(self, ports: Collection[int]) -> None:
        self._ports = frozenset(ports)

    def ready(self, pid: int) -> bool:
        return self._ports <= sockets(pid).listening

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass

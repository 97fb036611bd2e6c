"""Whether a service that runs still accepts connections. What is done where it does not: supervisor.py.

Nothing is said to it, so that this works for any protocol: a connection is made, and the kernel tells whether the
program has accepted it. One that accepts a connection now and then is slow, not stuck.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence

from fnctl.engine.netns import in_namespace_of
from fnctl.services.sockets import sockets

_NONE: frozenset[str] = frozenset()


class Liveness:
    """One container's. `look` again and again, from one thread at a time; `close` in the end."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._probes: dict[int, socket.socket] = {}
        self._waited: Mapping[int, frozenset[str]] = {}

    def look(self, pid: int, address: str | None) -> str:
        """What is wrong, in words: since the last look, nothing was accepted, and a connection waited all the time. ""
        where all is well, or the process is gone.

        `pid`, `address`: the service's first process, and where functions reach it. Where this process may not make a
        connection in the service's network (it is not root), the connections of functions tell alone.
        """
        seen = sockets(pid)
        stuck = [port for port in self._ports if self._stuck(port, seen.unaccepted)]
        for port in self._ports:
            if port not in stuck:
                self._probe(pid, address, port)
        self._waited = sockets(pid).unaccepted
        deaf = [port for port in self._ports if port not in seen.listening]
        if seen.listening and deaf:
            return f"nothing listens on port {deaf[0]}"
        return f"port {stuck[0]} has accepted no connection" if stuck else ""

    def _stuck(self, port: int, unaccepted: Mapping[int, frozenset[str]]) -> bool:
        waited = self._waited.get(port, _NONE)
        return bool(waited) and waited <= unaccepted.get(port, _NONE)

    def _probe(self, pid: int, address: str | None, port: int) -> None:
        """A connection of our own in place of the last one, which was accepted."""
        if (last := self._probes.pop(port, None)) is not None:
            last.close()
        if address is not None:
            with contextlib.suppress(OSError):
                self._probes[port] = in_namespace_of(pid, lambda: _connecting(address, port))

    def close(self) -> None:
        while self._probes:
            self._probes.popitem()[1].close()


def _connecting(address: str, port: int) -> socket.socket:
    probe = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    probe.setblocking(False)
    try:
        probe.connect_ex((address, port))
    except OSError:
        probe.close()
        raise
    return probe

"""The gateway as a whole: its listeners, and their orderly end. Not what happens on a connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

from fnctl.gateway.client import ClientConnection, Matcher
from fnctl.gateway.door import Door
from fnctl.gateway.limits import Limits
from fnctl.gateway.ports import cannot_listen
from fnctl.gateway.routes import Routes
from fnctl.runtime.lease import Admission, Ledger

BACKLOG = 4096  # the kernel caps it (net.core.somaxconn)


class Gateway:
    """start → serve → drain → close. All calls on the event loop's thread; `close` may be called in any state, twice.

    `ledger` is told of each invocation when it has ended.
    """

    def __init__(
        self,
        admission: Admission,
        routes: Routes,
        ledger: Ledger,
        limits: Limits | None = None,
    ) -> None:
        self.routes = routes
        self._door = Door(admission, routes, ledger, limits or Limits())
        self._servers: list[tuple[asyncio.Server, Callable[[], ClientConnection]]] = []

    @property
    def in_flight(self) -> int:
        """Invocations from the request's head to its receipt."""
        return self._door.in_flight

    @property
    def requests(self) -> int:
        """Requests whose head came, whatever became of them."""
        return self._door.requests

    @property
    def connections(self) -> int:
        return len(self._door.connections)

    async def start(self, host: str, port: int) -> int:
        """Listen on TCP; the port, which the system chose where 0 was asked. Raises ConflictError where it is taken."""
        loop, factory = asyncio.get_running_loop(), self._factory(self.routes.match)
        try:
            server = await loop.create_server(factory, host, port, backlog=BACKLOG)
        except OSError as error:
            raise cannot_listen(error, host, port) from error
        self._servers.append((server, factory))
        return int(server.sockets[0].getsockname()[1])

    async def start_unix(self, path: Path) -> None:
        """Listen on a socket of mode 0600 that routes `/NAME/…` to every function.

        A stale socket is replaced: the caller holds the project's lock.
        """
        loop, factory = asyncio.get_running_loop(), self._factory(self.routes.match_by_name)
        _remove(path)
        before = os.umask(0o177)
        try:
            server = await loop.create_unix_server(factory, str(path), backlog=BACKLOG)
        finally:
            os.umask(before)
        self._servers.append((server, factory))

    def _factory(self, match: Matcher) -> Callable[[], ClientConnection]:
        door = self._door
        return lambda: ClientConnection(door, match)

    async def drain(self, timeout_s: float) -> bool:
        """Accept nothing new, let what is in flight end, then cut off the rest. True: nothing had to be cut off."""
        await self._accept_the_last()
        self._door.draining = True
        for connection in tuple(self._door.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._door.empty(), timeout_s)
        clean = self._door.in_flight == 0
        await self.close()
        return clean

    async def close(self) -> None:
        """End everything now; every invocation has its receipt when this returns."""
        self._stop_listening()
        self._door.draining = True
        for connection in tuple(self._door.connections):
            connection.abort()
        await self._door.empty()  # `connection_lost` comes on the loop's next turns

    async def _accept_the_last(self) -> None:
        """Stop listening. Who has connected, and was not accepted yet, is: the kernel would reset them."""
        loop = asyncio.get_running_loop()
        doors = [
            (socket.socket(fileno=os.dup(listener.fileno())), factory)
            for server, factory in self._servers
            for listener in server.sockets
        ]
        self._stop_listening()
        for door, factory in doors:
            with door, contextlib.suppress(BlockingIOError):
                while True:
                    client, _ = door.accept()
                    await loop.connect_accepted_socket(factory, client)

    def _stop_listening(self) -> None:
        for server, _ in self._servers:
            server.close()
        self._servers.clear()


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)

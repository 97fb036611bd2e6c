"""The gateway as a whole: its listeners, and their orderly end. Not what happens on a connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl.dispatch.invocation import Invocations
from fnctl.private_socket import private_socket
from fnctl.sandbox.connection import Sandboxed
from fnctl.triggers.http.auth import Gate
from fnctl.triggers.http.closing import take_no_more
from fnctl.triggers.http.connection import ClientConnection, Matcher
from fnctl.triggers.http.deferral import Acceptor
from fnctl.triggers.http.durable import Durable
from fnctl.triggers.http.exposure import Exposure
from fnctl.triggers.http.limits import Limits
from fnctl.triggers.http.local_address import Caller
from fnctl.triggers.http.ports import cannot_listen
from fnctl.triggers.http.routes import Routes
from fnctl.triggers.http.state import GatewayState

BACKLOG = 4096  # the kernel caps it (net.core.somaxconn)
# Where somebody else accepts next: how long clients with an idle connection have to learn that they need a new one.
PART_S = 2.0


@dataclass(frozen=True, slots=True)
class _Open:
    """A server of ours, and what it makes of a connection. `stays`: its socket is open elsewhere, too."""

    server: asyncio.Server
    factory: Callable[[], ClientConnection]
    stays: bool = False


class Gateway:
    """start → serve → drain → close. On the event loop's thread. `close` may be called in any state, twice."""

    def __init__(
        self,
        invocations: Invocations,
        routes: Routes,
        limits: Limits | None = None,
        gate: Gate | None = None,
        exposure: Exposure | None = None,
        acceptor: Acceptor | None = None,
        durable: Durable | None = None,
    ) -> None:
        """`gate`: asked on TCP about functions with `auth`. Who can open the project's own socket is its user.
        `acceptor`: keeps the calls that are to be made later. `durable`: the executions of durable functions."""
        self.routes = routes
        self._gate = gate
        self._exposure = exposure or Exposure()
        self._acceptor = acceptor
        self._gateway = GatewayState(invocations, limits or Limits())
        self._gateway.durable = durable
        self._servers: list[_Open] = []
        self.kept: list[socket.socket] = []  # listeners that are open when this gateway has ended

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return self._gateway.in_flight

    @property
    def requests(self) -> int:
        """Requests whose head came, whatever became of them."""
        return self._gateway.requests

    @property
    def connections(self) -> int:
        return len(self._gateway.connections)

    @property
    def slow(self) -> int:
        """Connections that send a request in crumbs, and are read in turns."""
        return len(self._gateway.slow)

    @property
    def held(self) -> int:
        """Bytes of bodies whose requests wait for the rest of them, or are needed whole."""
        return self._gateway.bodies.held + self._gateway.inside.bodies.held

    def clients_row(self) -> dict[str, int]:
        """Over TCP: how many there are, may be, and how many were ended or refused for want of a place."""
        clients = self._gateway.clients
        return {"now": len(clients), "most": clients.most, "ended": clients.ended, "refused": clients.refused}

    async def start(self, host: str, port: int) -> int:
        """Listen on TCP; the port, which the system chose where 0 was asked. Raises ConflictError where it is taken."""
        loop, factory = asyncio.get_running_loop(), self._factory(self.routes.match, self._gate)
        try:
            server = await loop.create_server(factory, host, port, backlog=BACKLOG)
        except OSError as error:
            raise cannot_listen(error, host, port) from error
        self._servers.append(_Open(server, factory))
        return int(server.sockets[0].getsockname()[1])

    async def start_unix(self, path: Path) -> None:
        """Listen on a socket of mode 0600 that routes `/NAME/…` to every function.

        A stale socket is replaced: the caller holds the project's lock.
        """
        loop, factory = asyncio.get_running_loop(), self._factory(self.routes.match_alias_by_name, None)
        server = await loop.create_unix_server(factory, sock=private_socket(path), backlog=BACKLOG)
        self._servers.append(_Open(server, factory))

    async def start_on(self, listeners: Sequence[socket.socket]) -> None:
        """Listen on these sockets of TCP, which others have opened. They stay open when this ends: who connects then
        waits in the kernel until somebody accepts."""
        loop, factory = asyncio.get_running_loop(), self._factory(self.routes.match, self._gate)
        for listener in listeners:
            server = await loop.create_server(factory, sock=listener.dup(), backlog=BACKLOG)
            self._servers.append(_Open(server, factory, stays=True))
            self.kept.append(listener)

    def hand_on(self) -> None:
        """Whatever listens on TCP stays open when this ends, in `kept`."""
        for at, each in enumerate(self._servers):
            tcp = [one for one in each.server.sockets if one.family != socket.AF_UNIX]
            if tcp and not each.stays:
                self.kept += [socket.socket(fileno=os.dup(one.fileno())) for one in tcp]
                self._servers[at] = replace(each, stays=True)

    def _factory(self, match: Matcher, gate: Gate | None) -> Callable[[], ClientConnection]:
        gateway, exposure, acceptor = self._gateway, self._exposure, self._acceptor
        return lambda: ClientConnection(gateway, match, gate, exposure, acceptor)

    def inside(self, sandboxed: Sandboxed) -> Callable[[], ClientConnection]:
        """For the connections that one instance's code makes to call functions. Nobody has to show a credential there:
        who calls is known."""
        gateway, acceptor = self._gateway, self._acceptor
        caller = Caller(sandboxed, self.routes, gateway)
        return lambda: ClientConnection(gateway, caller.match, None, None, acceptor, caller)

    async def drain(self, timeout_s: float) -> bool:
        """Accept nothing new, let what is in flight end, then cut off the rest. True: nothing had to be cut off."""
        if self.kept:
            await self._part()
        await self._accept_the_last()
        self._gateway.parting = self._gateway.draining = True
        for connection in tuple(self._gateway.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gateway.empty(), timeout_s)
        clean = self._gateway.in_flight == 0
        await self.close()
        return clean

    async def close(self) -> None:
        """End everything now; every invocation has its receipt when this returns."""
        self._stop_listening()
        self._gateway.parting = self._gateway.draining = self._gateway.closing = True
        for connection in tuple(self._gateway.connections):
            connection.abort()
        await self._gateway.empty()  # `connection_lost` comes on the loop's next turns

    async def _part(self) -> None:
        """Every answer says from now on that its connection ends with it. Clients that send on the one that they have
        learn it so: to close a connection under a request that is on its way would be an error for them."""
        self._gateway.parting = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gateway.no_idle_clients(), PART_S)

    async def _accept_the_last(self) -> None:
        """Stop listening. Who has connected, and was not accepted yet, is: the kernel would reset them. On a socket
        that stays open they wait for who accepts next."""
        loop = asyncio.get_running_loop()
        waiting = [
            (socket.socket(fileno=os.dup(listener.fileno())), each.factory)
            for each in self._servers
            if not each.stays
            for listener in each.server.sockets
        ]
        for listener, _ in waiting:
            take_no_more(listener)
        self._stop_listening()
        await asyncio.sleep(0)  # what the loop has accepted by now is made known on its next turn
        for listener, factory in waiting:
            with listener, contextlib.suppress(BlockingIOError):
                while True:
                    client, _ = listener.accept()
                    await loop.connect_accepted_socket(factory, client)

    def _stop_listening(self) -> None:
        for each in self._servers:
            each.server.close()
        self._servers.clear()

"""A shipped image under plain `docker run`: the same function on a port of its own, without a host."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fnctl_agent import logs, pack, program
from fnctl_agent.asgi import AsgiSite
from fnctl_agent.capture import SERVES, capture
from fnctl_agent.contracts import contract_of
from fnctl_agent.events import events
from fnctl_agent.exchange import Application, serve
from fnctl_agent.interface import Found, Kind
from fnctl_agent.later import Later
from fnctl_agent.listening import Address
from fnctl_agent.pack import Packed
from fnctl_agent.vendored import Servers
from fnctl_agent.wsgi import wsgi

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

IDLE_S = 75.0  # a client's connection may be silent this long


def run(servers: Servers) -> None:
    """Load the function that FNCTL_LOAD describes and listen on $PORT. Errors end the process as in plain Python."""
    load = json.loads(os.environ.pop("FNCTL_LOAD"))
    port = int(os.environ.get("PORT") or load.get("port") or 8080)
    for name, value in load.get("env", {}).items():
        os.environ.setdefault(name, value)
    os.environ["PORT"] = str(port)
    logs.install(marked=False)
    atexit.register(logs.finish, None)
    # As PID 1 there is no default action for a signal.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _quit)
    packed = pack.use(load["root"], library=False)
    site = _Standalone(load, port, servers, packed)
    capture(site)
    program.prepare(load["root"], load["handler"])
    try:
        contract = contract_of(load)
        for name, value in contract.environment(load).items():
            os.environ.setdefault(name, value)
        found = program.run(load, contract, packed.main(program.place(load["root"], load["handler"])))
    except Exception as error:
        if site.stopped:
            return
        sys.stderr.write(program.trace(error) or f"{error}\n")
        sys.exit(1)
    if not site.stopped:
        site.serve(found)


def _quit(*_: object) -> None:
    sys.exit(0)


class _Standalone:
    """One function on one port."""

    def __init__(self, load: Mapping[str, Any], port: int, servers: Servers, packed: Packed) -> None:
        self._load = load
        self._port = port
        self._servers = servers
        self._packed = packed
        self._bound: set[str] = set()
        self._address: str = load.get("address", "0.0.0.0")
        self.stopped = False
        self._room = threading.BoundedSemaphore(max(1, int(load.get("concurrency", 64))))

    def serve(self, found: Found) -> None:
        self._packed.close()
        if found.kind is Kind.ASGI:
            asyncio.run(self.serve_in_loop(found))
            sys.exit(0)
        elif found.kind is Kind.SOCKETSERVER:
            found.target.serve_forever()  # on the port that `bind` gave it
        else:
            application = self._application(found)
            self._accept(lambda sock: serve(sock, application, self._servers, single=False))

    async def serve_in_loop(self, found: Found) -> None:
        self._packed.close()
        site = AsgiSite(found.target, self._servers, mounted=False)
        await site.startup()
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is _quit:
                loop.add_signal_handler(number, stopped.set)
        server = await loop.create_server(site.listen_factory(), self._address, self._port)
        await stopped.wait()
        self.stopped = True
        server.close()
        await site.shutdown(None)

    def accept_in_loop(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        """It listens on the right port."""

    def relay(self, port: int) -> None:
        """It listens on the right port."""

    def bind(self, address: Address) -> Address:
        """A program's first own server is sent to `$PORT`, whatever it asked for: of each family."""
        loopback = self._address.startswith("127.")
        anywhere = ("::1" if loopback else "::") if ":" in str(address[0]) else self._address
        if anywhere in self._bound:
            return address
        self._bound.add(anywhere)
        return (anywhere, self._port, *address[2:])

    def _application(self, found: Found) -> Application:
        if found.kind is Kind.WSGI:
            return wsgi(found.target, port=self._port, threaded=True, mounted=False)
        loop = None
        if inspect.iscoroutinefunction(found.target):
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, daemon=True).start()
        return events(found, self._load, loop)

    def _accept(self, work: Any) -> None:
        """A thread a connection, bounded; the kernel's queue holds those that wait."""
        listener = socket.create_server((self._address, self._port), backlog=256)
        while True:
            self._room.acquire()
            sock, _ = listener.accept()
            sock.settimeout(IDLE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._load.get("concurrency") == 1:
                self._work(work, sock)
            else:
                threading.Thread(target=self._work, args=(work, sock), daemon=True, name=SERVES).start()

    def _work(self, work: Any, sock: socket.socket) -> None:
        with contextlib.closing(sock):
            try:
                work(sock)
            finally:
                self._room.release()

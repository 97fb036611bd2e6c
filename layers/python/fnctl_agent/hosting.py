"""Serves what was found over the connections that the host asks for: resident, or one invocation at a time."""

from __future__ import annotations

import gc
import inspect
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from fnctl_agent import forking, logs, program
from fnctl_agent.asgi import AsgiSite, StartupFailed
from fnctl_agent.control import Control, dial
from fnctl_agent.events import events
from fnctl_agent.exchange import Application, serve
from fnctl_agent.interface import Found, Kind
from fnctl_agent.later import Later
from fnctl_agent.vendored import Servers
from fnctl_agent.wsgi import wsgi

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")


class Hosting:
    """One load, from the message to the end of the process. All methods that serve stay in there for good."""

    def __init__(
        self, control: Control, load: Mapping[str, Any], servers: Servers, writable: list[bytes] | None
    ) -> None:
        self._control = control
        self._load = load
        self._servers = servers
        self._writable = writable
        self._started = time.monotonic()
        self._single = load["model"] == "ephemeral"
        self._thresholds = gc.get_threshold()
        self._then: Callable[[], None] = lambda: None

    def when_loaded(self, then: Callable[[], None]) -> None:
        """Called once the load is over, before anything is served."""
        self._then = then

    def pause_collections(self) -> None:
        """Collect no garbage until the load is over: a fifth of an import went into looking for what is not there."""
        self._thresholds = gc.get_threshold()
        gc.set_threshold(0)

    def serve(self, found: Found) -> None:
        """From the main thread, without a running loop."""
        if self._single:
            self._serve_single(found)
        elif found.kind is Kind.ASGI:
            asyncio.run(self.serve_in_loop(found))
        else:
            self._serve_blocking(found)

    async def serve_in_loop(self, found: Found) -> None:
        """ASGI on the loop that runs."""
        site = AsgiSite(found.target, self._servers)
        await self._start(site)
        self._loaded(found, fork=False)
        if self._single:
            await (await site.connect(dial(self._control.root, "data"), single=True))
            self._leave()
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()

        def connect(count: int) -> None:
            for _ in range(count):
                tasks.add(task := loop.create_task(site.connect(dial(self._control.root, "data"))))
                task.add_done_callback(tasks.discard)

        def on_control() -> None:
            for count in self._control.dials():
                connect(count)

        loop.add_reader(self._control.socket, on_control)
        connect(1)
        await asyncio.Event().wait()

    async def _start(self, site: AsgiSite) -> None:
        try:
            await site.startup()
        except StartupFailed as error:
            self.fail(error)

    def _serve_single(self, found: Found) -> None:
        serve_one = self._one(found)
        obstacle = forking.obstacle(self._control, self._writable)
        self._loaded(found, fork=obstacle is None)
        if obstacle is None and self._writable is not None:
            forking.run(self._control, serve_one, self._writable)
        serve_one(dial(self._control.root, "data"))
        self._leave()

    def _one(self, found: Found) -> Callable[[socket.socket], None]:
        """Serves one request on a connection."""
        if found.kind is Kind.ASGI:
            return lambda sock: asyncio.run(AsgiSite(found.target, self._servers).serve_one(sock))
        if found.kind is Kind.SOCKETSERVER:
            return lambda sock: hand_over(found.target, sock)
        application = self._application(found, None)
        return lambda sock: serve(sock, application, self._servers, single=True)

    def _serve_blocking(self, found: Found) -> None:
        """A thread a connection. Coroutine handlers run on a loop of the main thread, which all of them share."""
        loop = asyncio.new_event_loop() if inspect.iscoroutinefunction(found.target) else None
        work: Callable[[socket.socket], None]
        if found.kind is Kind.SOCKETSERVER:
            work = lambda sock: hand_over(found.target, sock)  # noqa: E731
        else:
            application = self._application(found, loop)
            work = lambda sock: serve(sock, application, self._servers, single=False)  # noqa: E731
        self._loaded(found, fork=False)
        self._connect(1, work)
        if loop is None:
            self._follow(work)
        threading.Thread(target=self._follow, args=(work,), daemon=True, name="fnctl-control").start()
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def _follow(self, work: Callable[[socket.socket], None]) -> NoReturn:
        while True:
            for count in self._control.dials():
                self._connect(count, work)

    def _connect(self, count: int, work: Callable[[socket.socket], None]) -> None:
        for _ in range(count):
            sock = dial(self._control.root, "data")
            threading.Thread(target=work, args=(sock,), daemon=True, name="fnctl-connection").start()

    def _application(self, found: Found, loop: asyncio.AbstractEventLoop | None) -> Application:
        if found.kind is Kind.WSGI:
            return wsgi(found.target, port=self._load["port"], threaded=not self._single)
        return events(found.target, self._load, loop)

    def _loaded(self, found: Found, *, fork: bool) -> None:
        self._then()
        if gc.get_threshold()[0] == 0:  # else the user's code has set its own
            gc.set_threshold(*self._thresholds)
        ms = round((time.monotonic() - self._started) * 1000, 1)
        self._control.send({"op": "loaded", "ms": ms, "kind": found.word, "fork": fork})

    def _leave(self) -> NoReturn:
        logs.finish(None)
        os._exit(0)

    def fail(self, error: BaseException) -> NoReturn:
        sys.stderr.write(program.trace(error) or f"{error}\n")
        self._control.send(program.failure(error, self._load["root"]))
        logs.finish(None)
        os._exit(1)


def hand_over(server: Any, sock: socket.socket) -> None:
    """Give a connection to a `socketserver`, as if it had accepted it."""
    try:
        server.finish_request(sock, ("127.0.0.1", 0))
    except OSError:
        pass  # the host hung up
    except Exception:  # the request's root
        traceback.print_exc()
    finally:
        server.shutdown_request(sock)

"""Serves what was found over the connections that the host asks for: resident, or one invocation at a time."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time

from fnctl_agent import ending, logs, program
from fnctl_agent.capture import SERVES
from fnctl_agent.control import Control, dial
from fnctl_agent.exchange import Application, serve
from fnctl_agent.interface import Found, Kind, is_coroutine_function
from fnctl_agent.later import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import queue as queues
    import traceback
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import Any, NoReturn

    from fnctl_agent import asgi, collecting, events, forking, relay, warming, wsgi
    from fnctl_agent.listening import Address
    from fnctl_agent.vendored import Servers
else:
    asyncio, traceback = Later("asyncio"), Later("traceback")
    queues = Later("_queue")  # what `queue` has SimpleQueue from
    asgi, events, wsgi = Later("fnctl_agent.asgi"), Later("fnctl_agent.events"), Later("fnctl_agent.wsgi")
    forking, relay = Later("fnctl_agent.forking"), Later("fnctl_agent.relay")
    collecting, warming = Later("fnctl_agent.collecting"), Later("fnctl_agent.warming")

LISTENS_S = 1.0  # between looks whether anybody still listens, of a program whose main thread has ended


class AlreadyServing(Exception):
    """A second server in one program."""


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
        self._then: Callable[[], object] = lambda: None
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._taken = False  # something is served: the one thing that this process serves
        self._port: int | None = None  # where a program listens for itself
        self._relay: relay.Relay | None = None
        self._let_go: Callable[[], object] = self._ended_by_signal
        self.stopping = False  # the host needs it no more: however it ends now, it ends well
        self._watch: relay.Watch | None = None

    def when_loaded(self, then: Callable[[], object]) -> None:
        """Called once the load is over, before anything is served."""
        self._then = then

    def watch(self) -> None:
        """Look for a program that listens on `$PORT` in a way that is not captured. Until something is served."""
        self._watch = relay.Watch(self._load["port"], self.relay)

    def pause_collections(self) -> None:
        """Collect no garbage until the load is over: a fifth of an import went into looking for what is not there."""
        self._thresholds = gc.get_threshold()
        gc.set_threshold(0)

    def serve(self, found: Found) -> None:
        """From the main thread, without a running loop."""
        self._take()
        if self._single:
            self._serve_single(found)
        elif found.kind is Kind.ASGI:
            asyncio.run(self._serve_asgi(found))
            sys.exit(0)
        else:
            self._serve_blocking(found)

    async def serve_in_loop(self, found: Found) -> None:
        """ASGI on the loop that runs. Returns when the host needs it no more: the program may have more to do."""
        self._take()
        await self._serve_asgi(found)

    async def _serve_asgi(self, found: Found) -> None:
        site = asgi.AsgiSite(found.target, self._servers, mounted=True)
        await self._start(site)
        if self._is_to_warm():
            request = warming.Warmup(self._load)
            await (await site.connect(request.served, single=True))
            request.end()
        self._loaded(found.word, fork=False)
        if self._single:
            await (await site.connect(dial(self._control.root, "data"), single=True))
            self._leave()
        stopped = asyncio.Event()
        self._let_go = lambda: (ending.terminate(), stopped.set())
        self._connect_in_loop(site.connect)
        await stopped.wait()
        await site.shutdown(None)

    def _connect_in_loop(self, serve: Callable[[socket.socket], Coroutine[Any, Any, Any]]) -> None:
        """One data connection now, and more as the host asks for them, each served on the running loop."""
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[Any]] = set()

        def connect(count: int) -> None:
            for _ in range(count):
                tasks.add(task := loop.create_task(serve(dial(self._control.root, "data"))))
                task.add_done_callback(tasks.discard)

        def on_control() -> None:
            for count in self._dials():
                connect(count)

        loop.add_reader(self._control.socket, on_control)
        connect(1)

    def accept_in_loop(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        """A server of asyncio: its protocols get the data connections, as if it had accepted them.

        They do not tell when a response has ended, which an ephemeral invocation has to know: that one is relayed.
        """
        if self._single:
            self.relay(port)
        elif self._is_first():
            self._port = port
            self._loaded("web", fork=False)
            self._let_go = lambda: ending.terminate() or sys.exit(0)  # what it does on a signal may take its time
            loop = asyncio.get_running_loop()
            as_tcp = _AsTcp if isinstance(loop, asyncio.BaseEventLoop) else socket.socket  # others look at the kernel's
            self._connect_in_loop(lambda sock: loop.connect_accepted_socket(factory, as_tcp(fileno=sock.detach())))

    def relay(self, port: int) -> None:
        """A program listens: connections are copied to and from its port. Returns at once, the program goes on."""
        if not self._is_first():
            return
        self._port, self._relay = port, relay.Relay(port, single=self._single)
        self._loaded("web", fork=False)
        if self._single:
            threading.Thread(target=self._relay_one, args=(self._relay,), daemon=True, name="fnctl-relay").start()
            return
        self._connect(1, self._relay.serve)
        threading.Thread(target=self._follow, args=(self._relay.serve,), daemon=True, name="fnctl-control").start()

    def _relay_one(self, relay: relay.Relay) -> NoReturn:
        relay.serve(dial(self._control.root, "data"))
        self._leave()

    def bind(self, address: Address) -> Address:
        """In a sandbox every port is the program's own to have."""
        return address

    def _is_first(self) -> bool:
        """True for the first that is served, in this process."""
        if os.getpid() != self._pid:
            return False
        if self._watch is not None:
            self._watch.end()
        with self._lock:
            first, self._taken = not self._taken, True
        return first

    def _take(self) -> None:
        """Raises AlreadyServing. A process that the program forked may serve in its place."""
        if not self._is_first() and os.getpid() == self._pid:
            raise AlreadyServing(f"this program serves already, on port {self._port}: one function, one server")

    async def _start(self, site: asgi.AsgiSite) -> None:
        try:
            await site.startup()
        except asgi.StartupFailed as error:
            self.fail(error)

    def _serve_single(self, found: Found) -> None:
        serve_one = self._one(found)
        self._warm_up(serve_one)
        obstacle = "it ends with it" if self._load.get("once") else forking.obstacle(self._control, self._writable)
        self._loaded(found.word, fork=obstacle is None)
        if obstacle is None and self._writable is not None:
            forking.run(self._control, serve_one, self._writable)
        serve_one(dial(self._control.root, "data"))
        self._leave()

    def _one(self, found: Found) -> Callable[[socket.socket], None]:
        """Serves one request on a connection."""
        if found.kind is Kind.ASGI:
            return lambda sock: asyncio.run(asgi.AsgiSite(found.target, self._servers, mounted=True).serve_one(sock))
        if found.kind is Kind.SOCKETSERVER:
            return lambda sock: hand_over(found.target, sock)
        application = self._application(found, None)
        return lambda sock: serve(sock, application, self._servers, single=True)

    def _serve_blocking(self, found: Found) -> NoReturn:
        """The main thread serves a connection, and a thread each of those that come while it does. Coroutine handlers
        run on a loop of the main thread, which all of them share."""
        if is_coroutine_function(found.target):
            with asyncio.Runner() as runner:
                runner.run(self._serve_coroutines(found))
            sys.exit(0)
        work = self._work(found, None)
        self._warm_up(work)
        self._loaded(found.word, fork=False)
        self._serve_here(work)

    async def _serve_coroutines(self, found: Found) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        work = self._work(found, loop)
        self._let_go = lambda: (ending.terminate(), stopped.set())
        if self._load.get("warmup"):
            await asyncio.to_thread(self._warm_up, work)
        self._loaded(found.word, fork=False)
        loop.add_reader(self._control.socket, lambda: [self._connect(count, work) for count in self._dials()])
        self._connect(1, work)
        await stopped.wait()

    def _serve_here(self, work: Callable[[socket.socket], None]) -> NoReturn:
        """What is called one at a time is called in the main thread, as on the platforms that do no more: there alone
        can code set signal handlers."""
        waiting: queues.SimpleQueue[socket.socket | None] = queues.SimpleQueue()
        free = threading.Semaphore(0)  # released whenever the main thread has nothing to serve
        alone = self._load["concurrency"] == 1
        self._let_go = lambda: (ending.terminate(), waiting.put(None))

        def follow() -> None:
            while True:
                for count in self._dials():
                    here = count if alone else int(free.acquire(blocking=False))
                    for _ in range(here):
                        waiting.put(dial(self._control.root, "data"))
                    self._connect(count - here, work)

        threading.Thread(target=follow, daemon=True, name="fnctl-control").start()
        sock: socket.socket | None = dial(self._control.root, "data")
        while sock is not None:
            work(sock)
            free.release()
            sock = waiting.get()
        sys.exit(0)

    def _is_to_warm(self) -> bool:
        """Told to the host where it is: the load may run out of time in it."""
        if path := self._load.get("warmup"):
            self._control.send({"op": "waiting", "for": f"the answer to its warmup, GET {path}"})
        return bool(path)

    def _warm_up(self, serve_one: Callable[[socket.socket], object]) -> None:
        if self._is_to_warm():
            warming.warm_up(self._load, serve_one)

    def _work(self, found: Found, loop: asyncio.AbstractEventLoop | None) -> Callable[[socket.socket], None]:
        """Serves a connection until it ends."""
        if found.kind is Kind.SOCKETSERVER:
            return lambda sock: hand_over(found.target, sock)
        application = self._application(found, loop)
        return lambda sock: serve(sock, application, self._servers, single=False)

    def _follow(self, work: Callable[[socket.socket], None]) -> NoReturn:
        while True:
            for count in self._dials():
                self._connect(count, work)

    def _dials(self) -> Iterator[int]:
        """Read once what the host says: how many data connections it asks for, or that the program is to end."""
        for message in self._control.receive():
            if message["op"] == "dial":
                yield int(message["n"])
            elif message["op"] == "sleep":
                collecting.give_back()
            elif message["op"] == "stop":
                self.stopping = True
                self._let_go()

    @staticmethod
    def _ended_by_signal() -> None:
        """The program serves by itself: that a signal ends it, is its own affair."""
        if not ending.terminate():
            ending.leave(0)

    def _connect(self, count: int, work: Callable[[socket.socket], None]) -> None:
        for _ in range(count):
            sock = dial(self._control.root, "data")
            threading.Thread(target=work, args=(sock,), daemon=True, name=SERVES).start()

    def _application(self, found: Found, loop: asyncio.AbstractEventLoop | None) -> Application:
        if found.kind is Kind.WSGI:
            return wsgi.wsgi(found.target, port=self._load["port"], threaded=not self._single, mounted=True)
        return events.events(found, self._load, loop)

    def _loaded(self, kind: str, *, fork: bool) -> None:
        self._then()
        if gc.get_threshold()[0] == 0:  # else the user's code has set its own
            gc.set_threshold(*self._thresholds)
        ms = round((time.monotonic() - self._started) * 1000, 1)
        self._control.send({"op": "loaded", "ms": ms, "kind": kind, "fork": fork})

    def _leave(self) -> NoReturn:
        logs.finish(None)
        os._exit(0)

    def stay(self) -> None:
        """The main program has ended: where it had begun to listen, it lives on as long as somebody does there."""
        if self._port is None:
            return
        while relay.is_listened_on(self._port):
            time.sleep(LISTENS_S)
        ending.leave(0)

    def fail(self, error: BaseException) -> NoReturn:
        if self._taken and self._port is not None:
            self._end(error)
        sys.stderr.write(program.trace(error) or f"{error}\n")
        self._control.send(program.failure(error, self._load["root"]))
        logs.finish(None)
        os._exit(1)

    def _end(self, error: BaseException) -> NoReturn:
        """As an interpreter ends with a program that was serving by itself."""
        if isinstance(error, program.NotServing):
            self.stay()
        if not isinstance(error, SystemExit):
            sys.stderr.write(program.trace(error) or f"{error}\n")
        if self._relay is not None:
            self._relay.settle()
        code = error.code if isinstance(error, SystemExit) else 1
        ending.leave(code if isinstance(code, int) else int(code is not None))


class _AsTcp(socket.socket):
    """A dialled connection as servers of asyncio expect one: a unix socket's peer has no address."""

    family = socket.AF_INET  # type: ignore[assignment]

    def getpeername(self) -> tuple[str, int]:
        return ("127.0.0.1", 0)

    getsockname = getpeername

    def setsockopt(self, level: int, *option: Any) -> None:
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *option)


def hand_over(server: Any, sock: socket.socket) -> None:
    """Give a connection to a `socketserver`, as if it had accepted it.

    It is closed and not shut down first: so the host can tell whether a next request was read.
    """
    try:
        server.finish_request(sock, ("127.0.0.1", 0))
    except OSError:
        pass  # the host hung up
    except Exception:  # the request's root
        traceback.print_exc()
    finally:
        server.close_request(sock)

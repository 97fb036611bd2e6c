"""A stage for the gateway's contract suite: a real Gateway, and agents played in this process over real unix sockets.

The agents dial, as those in a sandbox do. In place of the scheduler there is stage_admission.py.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import os
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvloop

from fnctl.clock import VirtualClock
from fnctl.dispatch.invocation import QUEUE_S, Invocations
from fnctl.dispatch.ticker import TICK_S, Ticker
from fnctl.model import Function, Model, Queue
from fnctl.store.port import Store
from fnctl.store.sqlite import SqliteStore
from fnctl.triggers.http.auth import Gate
from fnctl.triggers.http.gateway import Gateway
from fnctl.triggers.http.limits import Limits
from fnctl.triggers.http.routes import Routes
from fnctl.triggers.http.upstream import upstream_factory
from fnctl.triggers.queue.deferred import Deferred
from fnctl.workflow.durable.api import Api
from fnctl.workflow.durable.executions import Executions
from tests.contract.shared_agent import SharedAgent
from tests.contract.stage_admission import Site, StageAdmission, StageLedger
from tests.support.turning import until

CARRIAGE = "FNCTL_TEST_CARRIAGE"  # `shared`: agents dial a connection for all requests, too

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Stage:
    """`port`, `socket` and the receipts of a running gateway. Made by `stage()`."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        queue_s: float,
        tick_s: float,
        gate: Gate | None = None,
        store: Store | None = None,
        now: float | None = None,
        hosts: frozenset[bytes] | None = None,
    ) -> None:
        self.folder = folder
        self.admission = StageAdmission()
        self.ledger = StageLedger()
        self.receipts = self.ledger.receipts
        self.routes = Routes(names=hosts)
        self.invocations = Invocations(self.admission, self.ledger, Ticker(tick_s), queue_s=queue_s)
        self.clock = VirtualClock(now)
        self.store = store or SqliteStore()
        self.queues: list[Queue] = []
        self.secret = "whsec_" + base64.b64encode(b"secret of the stage").decode()
        self.deferred = Deferred(
            self.store,
            self.clock,
            self.invocations,
            self.functions,
            Random(1),
            declared=lambda: self.queues,
            read_secret=lambda secret: self.secret,
        )
        self.executions = Executions(self.store, self.clock, self.invocations, self.functions)
        api = self.deferred.durable = Api(self.executions, self.functions, self.deferred)
        self.clock.settled += [self.deferred.rest, self.executions.rest]
        self.gateway = Gateway(self.invocations, self.routes, limits, gate, acceptor=self.deferred, durable=api)
        self.port = 0
        self.errors: list[BaseException] = []
        self._functions: list[Function] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._agents: set[asyncio.Task[None]] = set()
        self._shared: list[SharedAgent] = []
        self._shares = os.environ.get(CARRIAGE) == "shared"

    @property
    def socket(self) -> Path:
        return self.folder / "gateway.sock"

    def admit(self, function: Function) -> Site:
        """Deploy a function that nobody serves yet."""
        site = self.admission.sites[function.name] = Site(function)
        self._functions.append(function)
        self.routes.replace(self._functions)
        self.deferred.refresh()
        return site

    async def add(self, function: Function, handler: Handler, connections: int = 1) -> Site:
        """Deploy a function whose agent holds `connections` open, each served by `handler`, again when it ends."""
        site = self.admit(function)
        path = self.folder / f"{function.name}.sock"
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(lambda: upstream_factory(site), str(path)))
        if self._shares:
            site.shares = True
            _, shared = await loop.create_unix_connection(lambda: SharedAgent(self._guarded(handler)), str(path))
            self._shared.append(shared)
            await until(lambda: not site.shares)
        for _ in range(connections):
            agent = asyncio.create_task(self._agent(path, handler))
            self._agents.add(agent)
        await until(lambda: len(site.free) >= connections)
        return site

    def functions(self) -> dict[str, Function]:
        return {function.name: function for function in self._functions}

    async def _agent(self, path: Path, handler: Handler) -> None:
        while True:
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                await self._guarded(handler)(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            except Exception as error:
                self.errors.append(error)

        return guarded

    async def open(self) -> None:
        await self.store.open()
        await self.deferred.open()
        await self.executions.open()
        self.port = await self.gateway.start("127.0.0.1", 0)
        await self.gateway.start_unix(self.socket)

    async def close(self) -> None:
        await self.gateway.close()
        await self.deferred.close(cut=True)
        await self.executions.close(cut=True)
        await self.store.close()
        for agent in self._agents:
            agent.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)
        for shared in self._shared:
            await shared.close()
        for server in self._servers:
            server.close()
        assert self.gateway.in_flight == self.invocations.in_flight == 0
        assert not self.errors


def unread(writer: asyncio.StreamWriter) -> int:
    """Bytes that were written to a unix socket and that the other side has not read yet."""
    left = bytearray(4)
    fcntl.ioctl(writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, left)
    return int.from_bytes(left, sys.byteorder)


@contextlib.asynccontextmanager
async def stage(
    folder: Path,
    limits: Limits | None = None,
    queue_s: float = QUEUE_S,
    tick_s: float = TICK_S,
    gate: Gate | None = None,
    store: Store | None = None,
    now: float | None = None,
    hosts: frozenset[bytes] | None = None,
) -> AsyncIterator[Stage]:
    """`hosts`: that it answers for, as a gateway that listens on loopback alone; None: any."""
    made = Stage(folder, limits or Limits(), queue_s, tick_s, gate, store, now, hosts)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


# -- agents ------------------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """A request as the agent got it, byte for byte."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]

    def one(self, name: bytes) -> bytes:
        (value,) = self.all(name)
        return value


async def read_request(reader: asyncio.StreamReader) -> Seen:
    """One request, strictly. IncompleteReadError where the host hangs up."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *rest = head[:-4].split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (field.partition(b":") for field in rest)]
    seen = Seen(line, fields, b"")
    if seen.all(b"transfer-encoding"):
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            seen.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
            seen.fields.append((b"trailer:" + trailer.partition(b":")[0], trailer.partition(b":")[2].strip()))
    elif length := seen.all(b"content-length"):
        seen.body = await reader.readexactly(int(length[0]))
    return seen


def answering(response: bytes, seen: list[Seen] | None = None, *, close: bool = False) -> Handler:
    """Answers every request with these bytes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(response)
            await writer.drain()
            if close:
                return

    return handle


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the request's body."""
    while True:
        request = await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.body))
        writer.write(request.body)
        await writer.drain()


# -- scenes ------------------------------------------------------------------------------------------------------------

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def play(
    folder: Path,
    scene: Callable[[Stage], Awaitable[None]],
    limits: Limits | None = None,
    *,
    queue_s: float = QUEUE_S,
    tick_s: float = TICK_S,
    gate: Gate | None = None,
    hosts: frozenset[bytes] | None = None,
) -> Stage:
    async def run() -> Stage:
        async with stage(folder, limits, queue_s, tick_s, gate, hosts=hosts) as made, asyncio.timeout(30):
            await scene(made)
        return made

    return uvloop.run(run())


def app(name: str = "app", model: Model = Model.RESIDENT, timeout_s: float = 20.0) -> Function:
    return Function(name, Path("/code"), "node24", "index.js", model=model, timeout_s=timeout_s)


async def talk(made: Stage, data: bytes, *, until: bytes | None = None) -> bytes:
    """Send, then read until the gateway hangs up, or until these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
    writer.write(data)
    got = b""
    while not (until is not None and got.endswith(until)):
        piece = await reader.read(65536)
        if not piece:
            break
        got += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return got


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def split(response: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    head, _, body = response.partition(b"\r\n\r\n")
    line, *rest = head.split(b"\r\n")
    return line, {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in rest)}, body

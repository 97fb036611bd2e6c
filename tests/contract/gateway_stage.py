"""A stage for the gateway's contract suite: a real Gateway, and agents played in this process over real unix sockets.

The agents dial, as those in a sandbox do. The admission is the whole of a scheduler that these tests need: it leases
free connections, queues in bounds, and remembers what became of each lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from fnctl.errors import FnctlError, FunctionError, NotFound, QueueFull
from fnctl.gateway.app import Gateway
from fnctl.gateway.limits import Limits
from fnctl.gateway.receipts import served_receipt
from fnctl.gateway.routes import Routes
from fnctl.gateway.upstream import upstream_factory
from fnctl.model import Function, Model, Receipt, StartKind
from fnctl.runtime.lease import DataConnection, Lease, WarmCall

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(eq=False)
class StageLease:
    site: Site
    connection: DataConnection
    function: str
    instance: str = "i-1"
    version: str = "0123456789ab"
    start: StartKind = StartKind.WARM
    plain: bool = True
    queue_ms: float = 0.0
    container_ms: float = 0.0
    runtime_ms: float = 0.0
    load_ms: float = 0.0
    released: list[tuple[bool, FnctlError | None]] = field(default_factory=list)

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        assert not self.released, "a lease is released once"
        self.released.append((reusable, error))
        self.site.released(self)

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        assert not self.released
        error = FunctionError(f"{self.function} was killed: out of memory", code="oom")
        asyncio.get_running_loop().call_soon(answered, error)


@dataclass(eq=False)
class StageWaiter:
    site: Site
    ready: Callable[[Lease | FnctlError], None]

    def cancel(self) -> None:
        self.site.cancelled += 1
        self.site.waiters.remove(self)


@dataclass(eq=False)
class Site:
    """One function's connections. A `DataOwner`."""

    function: Function
    free: deque[DataConnection] = field(default_factory=deque)
    waiters: deque[StageWaiter] = field(default_factory=deque)
    leases: list[StageLease] = field(default_factory=list)
    cancelled: int = 0

    def data_connected(self, connection: DataConnection, transport: asyncio.BaseTransport) -> None:
        self.free.append(connection)
        self._serve()

    def data_lost(self, connection: DataConnection) -> None:
        with contextlib.suppress(ValueError):
            self.free.remove(connection)

    def take(self) -> StageLease | None:
        if not self.free:
            return None
        lease = StageLease(self, self.free.pop(), self.function.name)
        self.leases.append(lease)
        return lease

    def released(self, lease: StageLease) -> None:
        reusable, _ = lease.released[0]
        if reusable:
            self.free.append(lease.connection)
            self._serve()
        else:
            lease.connection.close()

    def _serve(self) -> None:
        while self.free and self.waiters:
            lease = self.take()
            assert lease is not None
            self.waiters.popleft().ready(lease)


class StageAdmission:
    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}

    def try_acquire(self, function: str) -> StageLease | None:
        return self._site(function).take()

    def enqueue(self, function: str, ready: Callable[[Lease | FnctlError], None]) -> StageWaiter:
        site = self._site(function)
        if len(site.waiters) >= site.function.queue:
            raise QueueFull(f"the queue of {function} is full", retry_after_s=1)
        waiter = StageWaiter(site, ready)
        site.waiters.append(waiter)
        return waiter

    def _site(self, function: str) -> Site:
        if function not in self.sites:
            raise NotFound(f"no function named {function}")
        return self.sites[function]


class StageLedger:
    """Keeps every receipt."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []

    def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    def warm(self, lease: Lease, call: WarmCall) -> None:
        invocation, at, handler_s, total_s, (method, target, status) = call
        times = handler_s * 1000, total_s * 1000
        asked = method.decode(), target.decode("latin-1"), None
        self.receipts.append(served_receipt(invocation, lease, status, "ok", at, *times, *asked))


class Stage:
    """`port`, `socket` and the receipts of a running gateway. Made by `stage()`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.admission = StageAdmission()
        self.ledger = StageLedger()
        self.receipts = self.ledger.receipts
        self.routes = Routes()
        self.gateway = Gateway(self.admission, self.routes, self.ledger, limits)
        self.port = 0
        self.errors: list[BaseException] = []
        self._functions: list[Function] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._agents: set[asyncio.Task[None]] = set()

    @property
    def socket(self) -> Path:
        return self.folder / "gateway.sock"

    async def add(self, function: Function, handler: Handler, connections: int = 1) -> Site:
        """Deploy a function whose agent holds `connections` open, each served by `handler`, again when it ends."""
        site = self.admission.sites[function.name] = Site(function)
        path = self.folder / f"{function.name}.sock"
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(lambda: upstream_factory(site), str(path)))
        self._functions.append(function)
        self.routes.replace(self._functions)
        for _ in range(connections):
            agent = asyncio.create_task(self._agent(path, handler))
            self._agents.add(agent)
        await until(lambda: len(site.free) >= connections)
        return site

    async def _agent(self, path: Path, handler: Handler) -> None:
        while True:
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                await handler(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            except Exception as error:
                self.errors.append(error)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def close(self) -> None:
        await self.gateway.close()
        for agent in self._agents:
            agent.cancel()
        await asyncio.gather(*self._agents, return_exceptions=True)
        for server in self._servers:
            server.close()
        assert self.gateway.in_flight == 0
        assert not self.errors


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until it is so; bounded by who awaits."""
    while not holds():  # noqa: ASYNC110  what is waited for has no event to offer
        await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def stage(folder: Path, limits: Limits | None = None) -> AsyncIterator[Stage]:
    made = Stage(folder, limits or Limits())
    made.port = await made.gateway.start("127.0.0.1", 0)
    await made.gateway.start_unix(made.socket)
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


def play(folder: Path, scene: Callable[[Stage], Awaitable[None]], limits: Limits | None = None) -> Stage:
    async def run() -> Stage:
        async with stage(folder, limits) as made, asyncio.timeout(30):
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

"""fnctl's own load generator, a process of its own: reads a job as JSON on stdin, writes what came of it on stdout.

Closed loop: each connection sends its next request when its last is answered; tells throughput. Open loop: requests are
due at a fixed rate whatever comes back, and each is timed from when it was due, so that a stall counts against every
request it delays (coordinated omission).
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import uvloop

CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Job:
    """`host`+`port`, `unix`, or `fds` of sockets already connected, are where to; `rate` makes it open loop."""

    request: str
    connections: int
    duration_s: float
    host: str = ""
    port: int = 0
    unix: str = ""
    fds: tuple[int, ...] = ()
    rate: float | None = None
    drain_s: float = 5.0  # (open loop) after the end of sending, answers may still come for as long


@dataclass(slots=True)
class Tally:
    """What was counted. `latencies_ms` is of the successes alone; `late` were due and never sent."""

    latencies_ms: list[float] = field(default_factory=list)
    failed: int = 0
    late: int = 0
    took_s: float = 0.0
    cpu_s: float = 0.0


class Client(asyncio.Protocol):
    """One connection, one request at a time. `freed(self, due, status)` is called after each answer or break."""

    def __init__(self, freed: Callable[[Client, float, int], None]) -> None:
        self._freed = freed
        self._due = 0.0
        self.busy = False
        self.usable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._parser = httptools.HttpResponseParser(self)
        self.usable = True

    def send(self, request: bytes, due: float) -> None:
        self._due, self.busy = due, True
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_message_complete(self) -> None:
        # The parser is done with this message only after this call: what follows must not write into it.
        status, keep = self._parser.get_status_code(), self._parser.should_keep_alive()
        self.busy = False
        if not keep:
            self.usable = False
            self._transport.close()
        self._freed(self, self._due, status)

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self.busy:
            self.busy = False
            self._freed(self, self._due, 0)

    def close(self) -> None:
        self._transport.abort()


class Run:
    """One job under way. Connections that end are dialled again, where they can be."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._request = job.request.encode("latin-1")
        self._loop = asyncio.get_running_loop()
        self._clients: set[Client] = set()
        self._idle: deque[Client] = deque()
        self._waiting: deque[float] = deque()  # open loop: when each request not yet sent was due
        self._dialling: set[asyncio.Task[None]] = set()
        self._end = 0.0
        self._over = False  # what ends from now on is our own doing
        self._broken: BaseException | None = None
        self.tally = Tally()

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A fault in a callback would otherwise pass for a server that does not answer."""
        self._broken = self._broken or context.get("exception") or RuntimeError(context["message"])

    async def go(self) -> Tally:
        """Run the job to its end. A fault of the generator's own is raised, never counted."""
        self._loop.set_exception_handler(self._note)
        for index in range(len(self._job.fds) or self._job.connections):
            await asyncio.wait_for(self._dial(index), CONNECT_S)
        cpu, began = time.process_time(), time.perf_counter()
        self._end = began + self._job.duration_s
        if self._job.rate is None:
            await self._closed()
        else:
            await self._open(self._job.rate, began)
        self.tally.took_s = time.perf_counter() - began
        self.tally.cpu_s = time.process_time() - cpu
        self._over = True
        for task in self._dialling:
            task.cancel()
        for client in self._clients:
            client.close()
        if self._broken is not None:
            raise self._broken
        return self.tally

    async def _dial(self, index: int = 0) -> None:
        job = self._job
        if job.fds:
            sock = socket.socket(fileno=job.fds[index])
            sock.setblocking(False)
            _, client = await self._loop.create_connection(lambda: Client(self._freed), sock=sock)
        elif job.unix:
            _, client = await self._loop.create_unix_connection(lambda: Client(self._freed), job.unix)
        else:
            _, client = await self._loop.create_connection(lambda: Client(self._freed), job.host, job.port)
        self._clients.add(client)
        self._idle.append(client)

    def _freed(self, client: Client, due: float, status: int) -> None:
        now = time.perf_counter()
        if self._over or (now > self._end and self._job.rate is None):
            return
        if 200 <= status < 400:
            self.tally.latencies_ms.append((now - due) * 1000)
        else:
            self.tally.failed += 1
        if client.usable:
            # not from within the parser's callback
            self._loop.call_soon(self._next, client)
        else:
            self._clients.discard(client)
            self._redial()

    def _redial(self) -> None:
        if self._job.fds or time.perf_counter() > self._end:
            return
        task = self._loop.create_task(self._redialled())
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _redialled(self) -> None:
        try:
            await asyncio.wait_for(self._dial(), CONNECT_S)
        except OSError:
            self.tally.failed += not self._over
            return
        self._next(self._idle.pop())

    def _next(self, client: Client) -> None:
        """The client is free: closed loop sends at once; open loop sends what has been due longest, if anything is."""
        if not client.usable:
            self._clients.discard(client)
            self._redial()
        elif self._job.rate is None:
            if (now := time.perf_counter()) < self._end:
                client.send(self._request, now)
        elif self._waiting:
            client.send(self._request, self._waiting.popleft())
        else:
            self._idle.append(client)

    async def _closed(self) -> None:
        while self._idle:
            self._next(self._idle.popleft())
        await asyncio.sleep(self._end - time.perf_counter())

    async def _open(self, rate: float, began: float) -> None:
        """Request k is due at began + k/rate. A tick sends all that have come due since the last."""
        total = int(rate * self._job.duration_s)
        for k in range(total):
            due = began + k / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            self._waiting.append(due)
            while self._idle and self._waiting:
                self._next(self._idle.popleft())
        deadline = time.perf_counter() + self._job.drain_s
        await self._answered(deadline)
        self.tally.late = len(self._waiting) + sum(client.busy for client in self._clients)

    async def _answered(self, deadline: float) -> None:
        """Until every request that was due is sent and answered, or the deadline."""
        while self._waiting or any(client.busy for client in self._clients):
            if time.perf_counter() > deadline:
                return
            await asyncio.sleep(0.005)


def job_of(data: dict[str, Any]) -> Job:
    return Job(**{**data, "fds": tuple(data.get("fds", ()))})


def main() -> int:
    job = job_of(json.load(sys.stdin))

    async def go() -> Tally:
        return await Run(job).go()

    json.dump(asdict(uvloop.run(go())), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An agent, played in this process, that takes requests on a shared connection. For what serves one, it is as if it had
come on a connection of its own."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

from fnctl.triggers.http.frames import CANCEL, CREDIT, DATA, HEADERS, METHODS, REQUEST, WINDOW

CLOSE = 6
HEAD = struct.Struct("<IHIB")
FIXED = struct.Struct("<26sdHBH")
NAMES = {number: name for name, number in METHODS.items()}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frame(kind: int, slot: int, number: int, payload: bytes = b"") -> bytes:
    return HEAD.pack(len(payload), slot, number, kind) + payload


class Asking:
    """Reads what the host sends: (kind, slot, number, what), where `what` of a request is the request as HTTP/1.1."""

    def __init__(self) -> None:
        self._rest = b""
        self._headers: dict[int, bytes] = {}

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        self._rest += data
        found = []
        while len(self._rest) >= HEAD.size:
            length, slot, number, kind = HEAD.unpack_from(self._rest)
            end = HEAD.size + length
            if len(self._rest) < end:
                break
            payload, self._rest = self._rest[HEAD.size : end], self._rest[end:]
            if kind == HEADERS:
                self._headers[number] = payload
            else:
                found.append((kind, slot, number, self._http(payload) if kind == REQUEST else payload))
        return found

    def _http(self, payload: bytes) -> bytes:
        invocation, deadline_ms, known, method, length = FIXED.unpack_from(payload)
        target, body = payload[FIXED.size : FIXED.size + length], payload[FIXED.size + length :]
        counted = b"Content-Length: %d\r\n" % len(body) if method & 0x80 else b""
        return b"%b %b HTTP/1.1\r\n%b%bX-Fnctl-Invocation-Id: %b\r\nX-Fnctl-Deadline-Ms: %d\r\n\r\n%b" % (
            NAMES[method & 0x7F],
            target,
            self._headers[known],
            counted,
            invocation,
            deadline_ms,
            body,
        )


class Line:
    """One slot's request after request. What a handler needs of a StreamWriter."""

    def __init__(self, agent: SharedAgent, slot: int) -> None:
        self.reader = asyncio.StreamReader()
        self.number = 0
        self.open = True
        self._agent = agent
        self._slot = slot
        self._window = 0
        self._held = b""
        self._credit = asyncio.Event()

    def begin(self, number: int, request: bytes) -> None:
        self.number, self._window = number, WINDOW
        self.reader.feed_data(request)

    def credit(self, size: int) -> None:
        self._window += size
        self._send()

    def cancel(self) -> None:
        self.open, self._held = False, b""
        self._credit.set()
        self.reader.feed_eof()

    @property
    def transport(self) -> Line:
        return self

    def get_extra_info(self, name: str) -> Any:
        return self._agent.get_extra_info(name)

    def write(self, data: bytes) -> None:
        if self.open:
            self._held += data
            self._send()

    def _send(self) -> None:
        while self._held and self._window:
            part = self._held[: self._window]
            self._held = self._held[len(part) :]
            self._window -= len(part)
            self._agent.send(frame(DATA, self._slot, self.number, part))
        if self._held:
            self._credit.clear()
        else:
            self._credit.set()

    async def drain(self) -> None:
        await self._credit.wait()
        if not self.open:
            raise ConnectionResetError

    def close(self) -> None:
        if self.open:
            self.cancel()
            self._agent.send(frame(CLOSE, self._slot, self.number))

    abort = close

    async def wait_closed(self) -> None: ...


class SharedAgent(asyncio.Protocol):
    def __init__(self, handler: Callable[[Any, Any], Awaitable[None]]) -> None:
        self._handler = handler
        self._asking = Asking()
        self._lines: dict[int, Line] = {}
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for kind, slot, number, payload in self._asking.feed(data):
            line = self._lines.get(slot)
            if kind == REQUEST:
                if line is None or not line.open:
                    line = self._lines[slot] = Line(self, slot)
                    task = asyncio.create_task(self._serve(line))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                line.begin(number, payload)
            elif line is not None and line.number == number:
                if kind == CREDIT:
                    line.credit(int.from_bytes(payload, "little"))
                elif kind == CANCEL:
                    line.close()

    async def _serve(self, line: Line) -> None:
        try:
            await self._handler(line.reader, line)
        finally:
            line.close()

    def get_extra_info(self, name: str) -> Any:
        return self._transport.get_extra_info(name) if self._transport is not None else None

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for line in self._lines.values():
            line.cancel()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._transport is not None:
            self._transport.abort()

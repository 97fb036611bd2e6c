"""The connection that the requests of one instance share: its slots, its numbers, what its agent knows. One frame goes
to the upstream that has its slot; what that does with it is upstream.py."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from fnctl.errors import FnctlError, ProtocolError
from fnctl.triggers.http import frames
from fnctl.triggers.http.frames import Asked, Decoder, Frame
from fnctl.triggers.http.tap import Tap

HEADERS_KNOWN = 256  # blocks of header lines that an agent keeps: few clients make many requests each
NUMBERS = 0xFFFF_FFFF  # then they begin anew


class Line(Protocol):
    """Who has a slot (Upstream)."""

    number: int  # of its request; 0: none is on its way here

    def line_read(self, data: bytes) -> None:
        """A part of the answer."""
        ...

    def line_lost(self, unread: bool) -> None:
        """No more comes of the answer. `unread`: the function's side took not a byte of the request."""
        ...

    def line_broke(self, error: FnctlError) -> None: ...


class SharedConnection(asyncio.Protocol):
    """Numbers are never used twice: a late frame is of a request that is over, and is dropped.

    A request may cost WINDOW bytes that nobody reads any more, and no more than that.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport: asyncio.Transport | None = transport
        self._tap = Tap(transport, self._go_on)
        self._decoder = Decoder()
        self._lines: list[Line | None] = []
        self._free: list[int] = []
        self._asked = 0
        self._known: dict[bytes, int] = {}
        self._oldest: deque[bytes] = deque()
        self._dropped = 0
        self._last = 0  # the number of what was written last, where that is a request
        self._answers = False  # it has, once
        self._unsent = False  # it was closed while bytes of ours were still to be written
        transport.set_protocol(self)

    def enter(self, line: Line) -> int:
        """A slot, until `leave`."""
        if self._free:
            slot = self._free.pop()
            self._lines[slot] = line
            return slot
        self._lines.append(line)
        return len(self._lines) - 1

    def leave(self, slot: int) -> None:
        self._lines[slot] = None
        self._free.append(slot)

    def request(self, slot: int, asked: Asked, invocation: bytes, deadline_ms: float, body: bytes) -> int:
        """Send it; its number. 0: the connection is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0
        known = self._known.get(asked.headers)
        if known is None:
            known = self._introduce(transport, asked.headers)
        number = self._asked % NUMBERS + 1
        self._asked += 1
        self._last = number
        transport.write(frames.request(slot, number, asked, known, invocation, deadline_ms, body))
        return number

    def _introduce(self, transport: asyncio.Transport, headers: bytes) -> int:
        known = len(self._known)
        if known == HEADERS_KNOWN:
            known = self._known.pop(self._oldest.popleft())
        self._known[headers] = known
        self._oldest.append(headers)
        transport.write(frames.headers(known, headers))
        return known

    def cancel(self, slot: int, number: int) -> None:
        self._write(frames.cancel(slot, number))

    def credit(self, slot: int, number: int, size: int) -> None:
        self._write(frames.credit(slot, number, size))

    def _write(self, data: bytes) -> None:
        self._last = 0
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                self._deliver(frame)
        except ProtocolError as error:
            self._break(error)
            return
        if self._decoder.behind:
            self._tap.rest()

    def _go_on(self) -> None:
        self.data_received(b"")

    def _deliver(self, frame: Frame) -> None:
        kind, slot, number, payload = frame
        line = self._lines[slot] if slot < len(self._lines) else None
        if line is None or line.number != number:
            self._dropped += len(payload) + 1
            if self._dropped > frames.WINDOW * self._asked:
                raise ProtocolError("the agent answers what was not asked", code="protocol")
        elif kind == frames.DATA:
            self._answers = True
            line.line_read(payload)
        else:
            line.line_lost(False)

    def _break(self, error: ProtocolError) -> None:
        for line in self._lines:
            if line is not None and line.number:
                line.line_broke(error)
        self.close()

    def eof_received(self) -> None:
        assert self._transport is not None
        self._unsent = self._transport.get_write_buffer_size() > 0

    def connection_lost(self, exc: Exception | None) -> None:
        """What nobody read is the end of what was written (upstream.py): of the last request that is certain."""
        self._transport = None
        unread = self._answers and (self._unsent or isinstance(exc, ConnectionError))
        for line in list(self._lines):
            if line is not None and line.number:
                line.line_lost(unread and line.number == self._last)

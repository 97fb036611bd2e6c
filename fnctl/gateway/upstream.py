"""A data connection: HTTP/1.1 that an agent dialled, on which the host is the client. Knows nothing of our clients."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from fnctl.errors import FnctlError, ProtocolError
from fnctl.gateway.body import Body, body_of
from fnctl.gateway.head import UNTIL_CLOSE, ResponseHead, ResponseParser, bad_response
from fnctl.runtime.lease import DataOwner

HEAD_BYTES = 32 * 1024
_BODYLESS = frozenset((204, 304))


class Reader(Protocol):
    """Who sent the request and is told the response, in this order: `interim`*, `head`, `payload`*, and one of `end`,
    `broken`, `lost`, after which nothing more comes."""

    bodyless: bool  # the request was HEAD: its response has no body whatever it announces
    tunnels: bool  # the request asked for a WebSocket

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response."""
        ...

    def complete(self, head: ResponseHead, payload: bytes, reusable: bool) -> None:
        """A response that came in one piece: head, payload and end at once."""
        ...

    def head(self, head: ResponseHead, payload: bytes) -> None: ...

    def payload(self, data: bytes) -> None: ...

    def end(self, data: bytes, trailer: bytes, reusable: bool) -> None: ...

    def broken(self, error: FnctlError) -> None:
        """What came is no valid response, or more than one. The connection is of no further use."""
        ...

    def lost(self) -> None:
        """The connection ended before the response did."""
        ...

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """101: from now on, `payload` is raw."""
        ...

    def pause(self) -> None:
        """The connection takes no more bytes for now."""
        ...

    def resume(self) -> None: ...


class Upstream(asyncio.Protocol):
    """A `DataConnection` (runtime/lease.py): one request at a time; a byte from the agent in between is a breach."""

    __slots__ = ("_body", "_buffer", "_head", "_owner", "_parser", "_reader", "transport")

    def __init__(self, owner: DataOwner) -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None
        self._parser = ResponseParser()
        self._reader: Reader | None = None
        self._buffer = b""
        self._head: ResponseHead | None = None  # of the response whose body is being read
        self._body: Body | None = None

    # -- for who holds the lease -----------------------------------------------------------------------------------

    def send(self, reader: Reader, data: bytes) -> bool:
        """Send a request's head, and what there is of its body. False: the connection is gone and no byte was sent."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        self._reader = reader
        transport.write(data)
        return True

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def pause_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def forget(self) -> None:
        """Tell the reader nothing more: it has given up the response."""
        self._reader = None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._owner.data_connected(self, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        reader, self._reader = self._reader, None
        if reader is not None:
            if exc is None and self._head is not None and self._head.fields.length == UNTIL_CLOSE:
                reader.end(b"", b"", False)
            else:
                reader.lost()
        self._owner.data_lost(self)

    def pause_writing(self) -> None:
        if self._reader is not None:
            self._reader.pause()

    def resume_writing(self) -> None:
        if self._reader is not None:
            self._reader.resume()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            self.close()
            return
        try:
            if self._body is not None:
                self._read_body(reader, self._body, data)
            elif self._head is not None:
                reader.payload(data)  # a tunnel
            else:
                self._read_head(reader, data)
        except FnctlError as error:
            self._break(reader, error)
        except ValueError as error:
            self._break(reader, bad_response(str(error)))

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read_head(self, reader: Reader, data: bytes) -> None:
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        end = data.find(b"\r\n\r\n") + 4
        while end > 3:
            if end > HEAD_BYTES:
                break
            head = self._parser.parse(data, end)
            data = data[end:]
            if head.status >= 200:
                self._begin(reader, head, data)
                return
            if head.status == 101:
                self._upgrade(reader, head, data)
                return
            reader.interim(head)
            end = data.find(b"\r\n\r\n") + 4
        if len(data) > HEAD_BYTES or end > HEAD_BYTES:
            raise bad_response(f"its head is larger than {HEAD_BYTES} bytes")
        self._buffer = data

    def _begin(self, reader: Reader, head: ResponseHead, data: bytes) -> None:
        fields = head.fields
        length = 0 if reader.bodyless or head.status in _BODYLESS else fields.length
        if length == len(data):  # the common case: all of it in one read
            self._reader = None
            reader.complete(head, data, head.http_1_1 and not fields.close)
            return
        if 0 <= length < len(data):
            raise ProtocolError("the agent sent more than one response")
        self._head = head
        self._body = body = body_of(length)
        payload, rest = body.feed(data) if data else (b"", None)
        reader.head(head, payload)
        if rest is not None and self._reader is reader:
            self._end(reader, b"", rest)

    def _read_body(self, reader: Reader, body: Body, data: bytes) -> None:
        payload, rest = body.feed(data)
        if rest is None:
            if payload:
                reader.payload(payload)
        else:
            self._end(reader, payload, rest)

    def _end(self, reader: Reader, payload: bytes, rest: bytes) -> None:
        if rest:
            raise ProtocolError("the agent sent more than one response")
        assert self._head is not None and self._body is not None
        head, trailer = self._head, self._body.trailer
        self._reader = self._head = self._body = None
        reader.end(payload, trailer, head.http_1_1 and not head.fields.close)

    def _upgrade(self, reader: Reader, head: ResponseHead, data: bytes) -> None:
        if not (reader.tunnels and head.fields.websocket):
            raise bad_response("it switches protocols unasked")
        self._head = head
        reader.upgraded(head, data)

    def _break(self, reader: Reader, error: FnctlError) -> None:
        self._reader = None
        reader.broken(error)
        self.close()


def upstream_factory(owner: DataOwner) -> asyncio.Protocol:
    """For `create_unix_server` on a slot's data socket."""
    return Upstream(owner)

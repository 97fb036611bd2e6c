"""A data connection: HTTP/1.1 that an agent dialled, on which the host is the client. Knows nothing of our clients."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from fnctl.errors import FnctlError, ProtocolError
from fnctl.sandbox.connection import DataOwner
from fnctl.triggers.http.body import Body, body_of
from fnctl.triggers.http.head import UNTIL_CLOSE, ResponseHead, ResponseParser, bad_response
from fnctl.triggers.http.tap import Tap

HEAD_BYTES = 32 * 1024
# Bytes of a request that any server reads at once, or not at all.
WHOLE = 4096
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

    def lost(self, unread: bool) -> None:
        """The connection ended before the response did. `unread`: the function's side, which had served on it before,
        took not a byte of the request."""
        ...

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """101: from now on, `payload` is raw."""
        ...

    def pause(self) -> None:
        """The connection takes no more bytes for now."""
        ...

    def resume(self) -> None: ...


class Upstream(asyncio.Protocol):
    """A `DataConnection`: one request at a time; a byte from the agent in between is a breach.

    The function's side may end a connection after any answer, also while the next request is on its way to it. Then the
    kernel tells who was first: what is written to a connection that was closed fails, and who closes one with bytes
    unread resets it. A request that was written whole, at once, and met one of these was not begun.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_head",
        "_owner",
        "_parser",
        "_reader",
        "_served",
        "_tap",
        "_unsent",
        "_whole",
        "transport",
    )

    def __init__(self, owner: DataOwner) -> None:
        self._owner = owner
        self.transport: asyncio.Transport | None = None
        self._tap: Tap | None = None
        self._parser = ResponseParser()
        self._reader: Reader | None = None
        self._served = False  # a request before this one
        self._unsent = False  # the function's side closed while bytes of ours were still to be written
        self._whole = False  # all that was sent of the request was written at once, and none of the answer has come
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
        self._whole = self._served and len(data) <= WHOLE
        transport.write(data)
        return True

    def write(self, data: bytes) -> None:
        self._whole = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def pause_reading(self) -> None:
        if self._tap is not None:
            self._tap.close()

    def resume_reading(self) -> None:
        if self._tap is not None:
            self._tap.open()

    def forget(self) -> None:
        """Tell the reader nothing more: it has given up the response."""
        self._reader = None

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._tap = Tap(self.transport, self._go_on)
        self._owner.data_connected(self, transport)

    def eof_received(self) -> None:
        """It was closed. What the kernel has not taken of ours by now, nobody will read."""
        assert self.transport is not None
        self._unsent = self.transport.get_write_buffer_size() > 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = self._tap = None
        reader, self._reader = self._reader, None
        if reader is None:
            self._owner.data_lost(self)
        elif self._whole and (self._unsent or isinstance(exc, ConnectionError)):
            self._owner.data_lost(self)  # first: its place can be dialled for anew
            reader.lost(True)
        else:
            if exc is None and self._head is not None and self._head.fields.length == UNTIL_CLOSE:
                self._tell_end(reader)
            else:
                reader.lost(False)
            self._owner.data_lost(self)

    def _tell_end(self, reader: Reader) -> None:
        try:
            reader.end(b"", b"", False)
        except Exception as error:
            reader.broken(_as_told(error))

    def pause_writing(self) -> None:
        if self._reader is not None:
            self._reader.pause()

    def resume_writing(self) -> None:
        if self._reader is not None:
            self._reader.resume()

    def data_received(self, data: bytes) -> None:
        reader, self._whole = self._reader, False
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
        except Exception as error:
            self._break(reader, _as_told(error))

    def _go_on(self) -> None:
        """With what was too much for one turn."""
        if self._reader is not None:
            self.data_received(b"")

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
            raise bad_response(f"its header fields are larger than {HEAD_BYTES} bytes")
        self._buffer = data

    def _begin(self, reader: Reader, head: ResponseHead, data: bytes) -> None:
        fields = head.fields
        length = 0 if reader.bodyless or head.status in _BODYLESS else fields.length
        self._served = True
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
        elif body.behind and self._tap is not None:
            self._tap.rest()

    def _read_body(self, reader: Reader, body: Body, data: bytes) -> None:
        payload, rest = body.feed(data)
        if rest is None:
            if payload:
                reader.payload(payload)
            if body.behind and self._tap is not None:
                self._tap.rest()
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
            raise bad_response("it switches protocols without being asked")
        self._head = head
        reader.upgraded(head, data)

    def _break(self, reader: Reader, error: FnctlError) -> None:
        self._reader = None
        reader.broken(error)
        self.close()


def _as_told(error: Exception) -> FnctlError:
    """What went wrong with an answer. What we had not thought of is the agent's breach, and not the client's wait."""
    if isinstance(error, FnctlError):
        return error
    if isinstance(error, ValueError):
        return bad_response(str(error))
    return ProtocolError(f"the agent's answer cannot be read ({type(error).__name__})")


def upstream_factory(owner: DataOwner) -> asyncio.Protocol:
    """For `create_unix_server` on a slot's data socket."""
    return Upstream(owner)

"""A data connection: HTTP/1.1 that an agent dialled, on which the host is the client. Knows nothing of our clients.

Where the agent has dialled a connection for all requests too (shared.py), a request that fits a frame goes there, and
this connection stays idle for as long. The answer is read in the same way: it comes as it would on a connection.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from fnctl.errors import FnctlError, ProtocolError
from fnctl.sandbox import connection
from fnctl.sandbox.connection import DataOwner
from fnctl.triggers.http import frames
from fnctl.triggers.http.body import Body, body_of
from fnctl.triggers.http.frames import Asked
from fnctl.triggers.http.head import UNTIL_CLOSE, ResponseHead, ResponseParser, bad_response
from fnctl.triggers.http.shared import SharedConnection
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
        "_shared",
        "_shut",
        "_slot",
        "_spent",
        "_tap",
        "_unsent",
        "_whole",
        "number",
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
        self._shared: SharedConnection | None = None
        self._slot = 0
        self.number = 0  # of the request that is on its way on the shared connection; 0: none is
        self._spent = 0  # of its answer, for which there was no credit yet
        self._shut = False  # and there is to be none

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

    def submit(self, reader: Reader, asked: Asked, invocation: bytes, deadline_ms: float, body: bytes) -> bool:
        """Send a request in a frame. False: there is no connection for that."""
        if self._shared is None:
            return False
        self._reader = reader
        self._whole = self._shut = False
        self._spent = 0
        self.number = self._shared.request(self._slot, asked, invocation, deadline_ms, body)
        return self.number != 0

    def write(self, data: bytes) -> None:
        self._whole = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def pause_reading(self) -> None:
        if self.number:
            self._shut = True
        elif self._tap is not None:
            self._tap.close()

    def resume_reading(self) -> None:
        if self.number:
            self._shut = False
            self._grant()
        elif self._tap is not None:
            self._tap.open()

    def forget(self) -> None:
        """Tell the reader nothing more: it has given up the response."""
        self._reader = None

    def close(self) -> None:
        if self.number and self._shared is not None:
            self._shared.cancel(self._slot, self.number)
            self.number = 0
        if self.transport is not None:
            self.transport.abort()
        else:
            self._leave()

    # -- for its instance --------------------------------------------------------------------------------------------

    def share(self) -> SharedConnection:
        """Be the connection that all others send on, from now on; and no data connection any more."""
        assert self.transport is not None
        transport, self.transport, self._tap = self.transport, None, None
        return SharedConnection(transport)

    def join(self, shared: connection.SharedConnection) -> None:
        self._shared = cast(SharedConnection, shared)  # what `share` gave
        self._slot = self._shared.enter(self)

    def _leave(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.leave(self._slot)

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
        if self.number:  # an app may end idle connections while it answers
            self._owner.data_lost(self)
            return
        self._leave()
        reader, self._reader = self._reader, None
        if reader is None:
            self._owner.data_lost(self)
        elif self._whole and (self._unsent or isinstance(exc, ConnectionError)):
            self._owner.data_lost(self)  # first: its place can be dialled for anew
            reader.lost(True)
        else:
            _tell_lost(reader, self._head if exc is None else None)
            self._owner.data_lost(self)

    def pause_writing(self) -> None:
        if self._reader is not None:
            self._reader.pause()

    def resume_writing(self) -> None:
        if self._reader is not None:
            self._reader.resume()

    def data_received(self, data: bytes) -> None:
        reader, self._whole = self._reader, False
        if reader is None or self.number:
            self.close()
            return
        self._read(reader, data)

    # -- shared.Line -----------------------------------------------------------------------------------------------

    def line_read(self, data: bytes) -> None:
        reader, number = self._reader, self.number
        if reader is None:
            self.close()
            return
        self._read(reader, data)
        if self.number == number:
            self._spent += len(data)
            if self._spent > frames.WINDOW:
                self._break(reader, ProtocolError("the agent sends more of an answer than it was asked for"))
            elif not self._shut:
                self._grant()

    def _grant(self) -> None:
        if self._spent >= frames.WINDOW // 2 and self._shared is not None:
            self._shared.credit(self._slot, self.number, self._spent)
            self._spent = 0

    def line_lost(self, unread: bool) -> None:
        self.number = 0
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if unread:
            reader.lost(True)
        else:
            _tell_lost(reader, self._head)

    def line_broke(self, error: FnctlError) -> None:
        reader, self._reader = self._reader, None
        self.number = 0
        if reader is not None:
            reader.broken(error)
        self.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, reader: Reader, data: bytes) -> None:
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
            self._read(self._reader, b"")

    def _rest(self) -> None:
        """Until the loop's next turn: there is more to do than this one has time for."""
        if self.number:
            asyncio.get_running_loop().call_soon(self._go_on)
        elif self._tap is not None:
            self._tap.rest()

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
            reusable = _reusable(head, self.number)
            self._reader, self.number = None, 0
            reader.complete(head, data, reusable)
            return
        if 0 <= length < len(data):
            raise ProtocolError("the agent sent more than one response")
        self._head = head
        self._body = body = body_of(length)
        payload, rest = body.feed(data) if data else (b"", None)
        reader.head(head, payload)
        if rest is not None and self._reader is reader:
            self._end(reader, b"", rest)
        elif body.behind:
            self._rest()

    def _read_body(self, reader: Reader, body: Body, data: bytes) -> None:
        payload, rest = body.feed(data)
        if rest is None:
            if payload:
                reader.payload(payload)
            if body.behind:
                self._rest()
        else:
            self._end(reader, payload, rest)

    def _end(self, reader: Reader, payload: bytes, rest: bytes) -> None:
        if rest:
            raise ProtocolError("the agent sent more than one response")
        assert self._head is not None and self._body is not None
        reusable, trailer = _reusable(self._head, self.number), self._body.trailer
        self._reader = self._head = self._body = None
        self.number = 0
        reader.end(payload, trailer, reusable)

    def _upgrade(self, reader: Reader, head: ResponseHead, data: bytes) -> None:
        if not (reader.tunnels and head.fields.websocket):
            raise bad_response("it switches protocols without being asked")
        self._head = head
        reader.upgraded(head, data)

    def _break(self, reader: Reader, error: FnctlError) -> None:
        self._reader = None
        reader.broken(error)
        self.close()


def _reusable(head: ResponseHead, number: int) -> bool:
    """Whether another request can be sent. A function that ends its connection means the one that it sees: with a
    `number`, that is not this one."""
    return head.http_1_1 and (number != 0 or not head.fields.close)


def _tell_lost(reader: Reader, head: ResponseHead | None) -> None:
    """No more of an answer comes. `head`: what came of it before a clean end, which some answers end with."""
    if head is None or head.fields.length != UNTIL_CLOSE:
        reader.lost(False)
        return
    try:
        reader.end(b"", b"", False)
    except Exception as error:
        reader.broken(_as_told(error))


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

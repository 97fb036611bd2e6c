"""HTTP/1.1 on a blocking data connection: requests in, responses out, one after the other. Knows no application."""

from __future__ import annotations

import io
import re
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from fnctl_agent.vendored import Servers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

READ = 64 << 10
MAX_HEAD = 1 << 20  # bytes of a request's head before the connection is given up
ID_HEADER = b"x-fnctl-invocation-id"

Headers = list[tuple[bytes, bytes]]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BODILESS = (204, 304)


class BadResponse(Exception):
    """What the function returned cannot be sent as a response."""


class Gone(Exception):
    """The peer hung up, or sent what is not HTTP: nobody to answer."""


class Request(io.RawIOBase):
    """One request; as a stream it is its body, read from the connection as it is asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pending = bytearray()
        self._complete = False
        self._response: Response | None = None
        self._continue = False
        self.target = b""
        self.headers: Headers = []

    def begin(self, method: str, version: str, *, keep_alive: bool) -> None:
        """The head is whole."""
        self.method, self.version, self.keep_alive = method, version, keep_alive
        self._continue = (self.header(b"expect") or b"").lower() == b"100-continue"

    def add(self, data: bytes) -> None:
        self._pending += data

    def complete(self) -> None:
        self._complete = True

    def _more(self) -> bool:
        """Have something pending; False at the end of the body."""
        while not self._pending and not self._complete:
            if self._continue:
                self._continue = False
                if self._response is None or not self._response.begun:
                    self._connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not self._connection.read():
                raise Gone
        return bool(self._pending)

    def readable(self) -> bool:
        return True

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        if not self._more():
            return 0
        count = min(len(into), len(self._pending))
        into[:count] = self._pending[:count]
        del self._pending[:count]
        return count

    def body(self) -> bytes:
        """All of what was not read yet."""
        parts = bytearray()
        while self._more():
            parts += self._pending
            self._pending.clear()
        return bytes(parts)

    def drain(self) -> None:
        """Leave the connection at the start of the next request."""
        if self._continue:
            raise Gone  # the peer waits for a word that will not come; its body may follow or not
        while self._more():
            self._pending.clear()

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def invocation(self) -> str | None:
        found = self.header(ID_HEADER)
        return found.decode("ascii", "replace") if found is not None else None

    def bind(self, response: Response) -> None:
        self._response = response


class Response:
    """The response to one request: a head, then data with the framing that the head announces."""

    def __init__(self, sock: socket.socket, request: Request, *, last: bool) -> None:
        self._sock = sock
        self._bodiless = request.method == "HEAD"
        self._modern = request.version == "1.1"
        self._keep = request.keep_alive and not last
        self._head = b""
        self._chunked = False
        self._left: int | None = None  # bytes that the announced length still allows
        self.begun = False
        self.ended = False
        self.taken = False  # the application has answered on the connection itself

    def connection(self) -> Taken:
        """The connection, for an application that switches protocols by itself. The caller closes it."""
        return Taken(self, self._sock)

    def start(self, status: int, reason: str, headers: Iterable[tuple[str, str]], length: int | None = None) -> None:
        """Prepare the head; it is sent with the first data. `length`: of the whole body, where it is known.

        Raises BadResponse for a head that would break the protocol.
        """
        self._left, self._chunked = None, False  # of a head that was prepared before, and not sent
        lines = [f"HTTP/1.1 {status} {_clean(reason, 'reason')}"]
        seen = set()
        for name, value in headers:
            lines.append(f"{_token(name)}: {_clean(str(value), name)}")
            seen.add(name.lower())
            if name.lower() == "content-length":
                length = self._left = int(value)
        self._bodiless = self._bodiless or status in _BODILESS
        if "date" not in seen:
            lines.append(f"Date: {_date(time.time())}")
        if "content-length" not in seen and "transfer-encoding" not in seen:
            lines += self._framing(status, length)
        if not self._keep:
            lines.append("Connection: close")
        self._head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _framing(self, status: int, length: int | None) -> list[str]:
        if status in _BODILESS:
            return []
        if length is not None:
            return [f"Content-Length: {length}"]
        if self._bodiless:
            return []
        if self._modern:
            self._chunked = True
            return ["Transfer-Encoding: chunked"]
        self._keep = False
        return []

    def send(self, data: bytes) -> None:
        """Send now: a stream's parts leave one by one."""
        if self._bodiless:
            data = b""
        elif self._left is not None:
            if len(data) > self._left:
                raise BadResponse(f"the body is longer than its content-length by {len(data) - self._left} bytes")
            self._left -= len(data)
        if self._chunked and data:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._push(data)

    def end(self) -> bool:
        """Finish, if that was not done; True where the connection may carry another request."""
        if not self.ended:
            self.ended = True
            self._push(b"0\r\n\r\n" if self._chunked else b"")
        return self._keep and (self._bodiless or not self._left) and not self.taken

    def _push(self, data: bytes) -> None:
        if self.taken:
            return
        head, self._head = self._head, b""
        self.begun = self.begun or bool(head)
        if head or data:
            try:
                self._sock.sendall(head + data)
            except OSError as error:
                raise Gone from error


class Taken(socket.socket):
    """A data connection in the hands of an application. Once it has sent anything, there is no other response."""

    def __init__(self, response: Response, sock: socket.socket) -> None:
        super().__init__(fileno=sock.dup().detach())
        self._response = response

    def send(self, *data: Any) -> int:
        self._response.taken = True
        return super().send(*data)

    def sendall(self, *data: Any) -> None:
        self._response.taken = True
        super().sendall(*data)


class Connection:
    """The requests of one connection, in order, and the parser that all of them come through.

    One parser for all: where a body is left unread, what is read on to its end may hold the next request's head.
    """

    def __init__(self, sock: socket.socket, servers: Servers) -> None:
        self.sock = sock
        self._parser = servers.HttpRequestParser(self)
        self._errors = (servers.HttpParserError,)
        self._upgrade = servers.HttpParserUpgrade
        self._heads: deque[Request] = deque()  # whole heads that nobody took yet
        self._reading: Request | None = None

    # --- the parser's callbacks ---

    def on_message_begin(self) -> None:
        self._reading = Request(self)

    def on_url(self, url: bytes) -> None:
        self._current.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._current.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        method = self._parser.get_method().decode("ascii")
        keep_alive = self._parser.should_keep_alive()
        self._current.begin(method, self._parser.get_http_version(), keep_alive=keep_alive)
        self._heads.append(self._current)

    def on_body(self, data: bytes) -> None:
        self._current.add(data)

    def on_message_complete(self) -> None:
        self._current.complete()

    @property
    def _current(self) -> Request:
        assert self._reading is not None, "the parser begins each message"
        return self._reading

    # --- reading ---

    def read(self) -> int:
        """Read once and parse it; the number of bytes, 0 where the peer has hung up."""
        try:
            data = self.sock.recv(READ)
        except OSError as error:
            raise Gone from error
        try:
            self._parser.feed_data(data)
        except self._upgrade:
            self._current.complete()  # an upgrade that is not taken up: a request without a body
        except self._errors as error:
            raise Gone from error
        return len(data)

    def next(self) -> Request | None:
        """The next request, its head whole; None where the peer closed between requests."""
        size = 0
        while not self._heads:
            count = self.read()
            size += count
            if not count and not size:
                return None
            if not count or size > MAX_HEAD:
                raise Gone
        return self._heads.popleft()


def requests(sock: socket.socket, servers: Servers) -> Iterator[Request]:
    """The requests of a connection, until its peer closes it. The caller reads or drains each before the next."""
    connection = Connection(sock, servers)
    while (request := connection.next()) is not None:
        yield request


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _date(now: float) -> str:
    """IMF-fixdate (RFC 9110, 5.6.7). `email.utils` has it too, behind 4 ms of imports."""
    at = time.gmtime(now)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def _token(name: str) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadResponse(f"{name!r} is not a header's name")
    return name


def _clean(value: str, name: str) -> str:
    if _BAD_VALUE.search(value):
        raise BadResponse(f"header {name!r} holds a control character")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise BadResponse(f"header {name!r} holds a character beyond latin-1") from None
    return value

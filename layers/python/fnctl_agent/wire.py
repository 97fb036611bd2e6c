"""HTTP/1.1 on a blocking data connection: requests in, responses out, one after the other. Knows no application."""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus

from fnctl_agent.vendored import Servers

READ = 64 << 10
MAX_HEAD = 1 << 20  # bytes of a request's head before the connection is given up
ID_HEADER = b"x-fnctl-invocation-id"

Headers = list[tuple[bytes, bytes]]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODILESS = (204, 304)


class BadResponse(Exception):
    """What the function returned cannot be sent as a response."""


class Gone(Exception):
    """The peer hung up, or sent what is not HTTP: nobody to answer."""


class Request(io.RawIOBase):
    """One request; as a stream it is its body, read from the connection as it is asked for."""

    def __init__(self, sock: socket.socket, servers: Servers) -> None:
        self._sock = sock
        self._parser = servers.HttpRequestParser(self)
        self._errors = (servers.HttpParserError,)
        self._upgrade = servers.HttpParserUpgrade
        self._pending = bytearray()
        self._complete = False
        self._head = False
        self._response: Response | None = None
        self._continue = False
        self.target = b""
        self.headers: Headers = []

    # --- the parser's callbacks ---

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head = True
        self.method: str = self._parser.get_method().decode("ascii")
        self.version: str = self._parser.get_http_version()
        self.keep_alive: bool = self._parser.should_keep_alive()
        self._continue = (self.header(b"expect") or b"").lower() == b"100-continue"

    def on_body(self, data: bytes) -> None:
        self._pending += data

    def on_message_complete(self) -> None:
        self._complete = True

    # --- reading ---

    def read_head(self) -> bool:
        """False where the peer closed between requests."""
        size = 0
        while not self._head:
            data = self._receive()
            size += len(data)
            if not data and not size:
                return False
            if not data or size > MAX_HEAD:
                raise Gone
            self._feed(data)
        return True

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(READ)
        except OSError as error:
            raise Gone from error

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except self._upgrade:
            self._complete = True  # an upgrade that is not taken up: a request without a body
        except self._errors as error:
            raise Gone from error

    def _more(self) -> bool:
        """Have something pending; False at the end of the body."""
        while not self._pending and not self._complete:
            if self._continue:
                self._continue = False
                if self._response is None or not self._response.begun:
                    self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            data = self._receive()
            if not data:
                raise Gone
            self._feed(data)
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
            lines.append(f"Date: {formatdate(usegmt=True)}")
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
        """Finish; True where the connection may carry another request."""
        self._push(b"0\r\n\r\n" if self._chunked else b"")
        return self._keep and (self._bodiless or not self._left)

    def _push(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.begun = self.begun or bool(head)
        if head or data:
            try:
                self._sock.sendall(head + data)
            except OSError as error:
                raise Gone from error


def requests(sock: socket.socket, servers: Servers) -> Iterator[Request]:
    """The requests of a connection, until its peer closes it. The caller reads or drains each before the next."""
    while True:
        request = Request(sock, servers)
        if not request.read_head():
            return
        yield request


def reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


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

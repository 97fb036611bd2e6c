"""One HTTP/1.1 connection to one address, blocking: for single calls that are timed, and for the admin API.

A blocking socket and a C parser add some 30 µs to a call, less than any event loop would.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools

CHUNK = 65536
CALL_S = 60.0  # past any start that counts as one
POLL_S = 0.001  # between tries to reach what is coming up: the resolution of a time to the first answer

Address = tuple[str, int] | Path


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: an address, and what the request says."""

    address: Address
    host: str
    path: str = "/"
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()

    def request(self, method: str | None = None) -> bytes:
        """`method`: in place of its own."""
        method = method or self.method
        head = f"{method} {self.path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: fnctl-bench\r\nAccept: */*\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.fields)
        if method != "GET" and all(name != "Content-Length" for name, _ in self.fields):
            head += "Content-Length: 0\r\n"
        return f"{head}\r\n".encode()


@dataclass(slots=True)
class Response:
    """A response as it builds up; whole when `complete`. Header names are lower case, the last of a name wins."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False

    # what httptools calls
    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 400

    def json(self) -> Any:
        return json.loads(self.body)


def connect(address: Address, timeout_s: float = CALL_S) -> socket.socket:
    """OSError where nobody listens."""
    if isinstance(address, Path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(address))
        except OSError:
            sock.close()
            raise
        return sock
    sock = socket.create_connection(address, timeout=timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def exchange(sock: socket.socket, request: bytes) -> Response:
    """Send one request and read its whole response. OSError where the connection breaks or times out first."""
    sock.sendall(request)
    response = Response()
    parser = httptools.HttpResponseParser(response)
    while not response.complete:
        data = sock.recv(CHUNK)
        if not data:
            if _ends_by_close(response, parser):
                break
            raise ConnectionError("the connection ended before the response did")
        parser.feed_data(data)
    response.status = parser.get_status_code()
    return response


def _ends_by_close(response: Response, parser: Any) -> bool:
    """A response without a length is whole when the connection ends (RFC 9112, 6.3)."""
    unframed = "content-length" not in response.headers and "transfer-encoding" not in response.headers
    return bool(response.headers) and unframed


def call(target: Target, method: str | None = None, timeout_s: float = CALL_S) -> Response:
    """One call on a connection of its own."""
    with connect(target.address, timeout_s) as sock:
        return exchange(sock, target.request(method))


def timed_call(target: Target, timeout_s: float = CALL_S) -> tuple[float, Response]:
    """Milliseconds from before the connection is opened to the last byte of the answer, and the answer."""
    began = time.perf_counter()
    response = call(target, timeout_s=timeout_s)
    return (time.perf_counter() - began) * 1000, response


def first_success(
    target: Target, deadline: float, alive: Callable[[], bool] = lambda: True, patience_s: float = CALL_S
) -> Response | None:
    """Try until there is a successful answer; None at `deadline` (time.perf_counter) or once not `alive()`.

    What is coming up refuses, resets, or accepts and says nothing: each is "not yet". A try ends after `patience_s`,
    and the next may take twice as long, so that an answer which takes its time is not asked for in vain for ever.
    """
    while (left := deadline - time.perf_counter()) > 0 and alive():
        try:
            response = call(target, timeout_s=min(patience_s, left))
            if response.ok:
                return response
        except TimeoutError:
            patience_s *= 2
        except (OSError, httptools.HttpParserError):
            pass
        time.sleep(POLL_S)
    return None


def server_timing(headers: Mapping[str, str]) -> dict[str, str]:
    """`Server-Timing` as metric → its `desc`, else its `dur`: {"start": "warm", "queue": "0.0", …}."""
    metrics = {}
    for metric in headers.get("server-timing", "").split(","):
        name, *parameters = (part.strip() for part in metric.split(";"))
        values = dict(parameter.partition("=")[::2] for parameter in parameters)
        if name:
            metrics[name] = values.get("desc", values.get("dur", "")).strip('"')
    return metrics


def free_port() -> int:
    """A TCP port of the loopback address that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

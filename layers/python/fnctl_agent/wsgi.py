"""WSGI (PEP 3333) on the agent's wire. One thread a connection: the host sends one request at a time on each."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from urllib.parse import unquote_to_bytes
from wsgiref.util import FileWrapper

from fnctl_agent.exchange import Application
from fnctl_agent.wire import BadResponse, Request, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WsgiApp = Callable[[dict[str, "Any"], Callable[..., "Any"]], Iterable[bytes]]


def wsgi(app: WsgiApp, *, port: int, threaded: bool, mounted: bool) -> Application:
    """The application that calls `app`. `mounted`: X-Forwarded-Prefix is the host's word, and says where the app is."""
    constant: dict[str, Any] = {
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(port),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_HOST": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": threaded,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }

    def call(request: Request, response: Response) -> None:
        environ = {**constant, **_of(request)}
        if mounted and (prefix := environ.get("HTTP_X_FORWARDED_PREFIX")):
            environ["SCRIPT_NAME"] = prefix
            environ["REQUEST_URI"] = prefix + environ["REQUEST_URI"]
        if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
            with response.connection() as connection:  # where simple-websocket looks for it: flask-sock, Flask-SocketIO
                _run(app, {**environ, "werkzeug.socket": connection}, response)
        else:
            _run(app, environ, response)

    return call


def _of(request: Request) -> dict[str, Any]:
    raw_path, _, query = request.target.partition(b"?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote_to_bytes(raw_path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "REQUEST_URI": request.target.decode("latin-1"),
        "RAW_URI": request.target.decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "wsgi.input": io.BufferedReader(request),
    }
    for name, value in request.headers:
        if b"_" in name:
            continue  # would be taken for the header of the same name with a dash
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{text}"
        environ[key] = text
    return environ


class _Start:
    """`start_response`: keeps the head until the first data, so that an application may still replace it."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._head: tuple[str, list[tuple[str, str]]] | None = None
        self._sent = False

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._head and not exc_info:
            raise BadResponse("start_response was called twice without exc_info")
        self._head = (status, list(headers))
        return self.write

    def write(self, data: bytes, length: int | None = None) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise BadResponse(f"a part of the body is {type(data).__name__}, not bytes")
        self.send_head(length)
        self._response.send(bytes(data))

    def send_head(self, length: int | None) -> None:
        if self._sent:
            return
        if self._head is None:
            raise BadResponse("the application did not call start_response")
        status, headers = self._head
        code, _, reason = status.partition(" ")
        if not (len(code) == 3 and code.isdigit() and 200 <= int(code) <= 599):
            raise BadResponse(f"status {status!r} is not one")
        self._response.start(int(code), reason, headers, length=length)
        self._sent = True


def _run(app: WsgiApp, environ: dict[str, Any], response: Response) -> None:
    start = _Start(response)
    result = app(environ, start)
    try:
        # A body of one part has a known length; others go out part by part as they come.
        whole = len(result[0]) if isinstance(result, list | tuple) and len(result) == 1 else None
        for part in result:
            if part:
                start.write(part, whole)
        start.send_head(0)
        response.end()  # what the application does when it is closed comes after its answer
    finally:
        if close := getattr(result, "close", None):
            close()

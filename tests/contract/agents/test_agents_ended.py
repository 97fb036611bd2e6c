"""Connections that a function's own server ends after an answer: the host can tell whether a next request was read."""

from __future__ import annotations

import socket
import textwrap

import pytest

from tests.contract.agents.conftest import Start
from tests.contract.agents.sandbox_host import SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60, func_only=True)]

NODE = """
    const http = require('http');
    const ends = {
      '/destroy': (socket) => socket.destroy(),
      '/end': (socket) => socket.end(),
      '/later': (socket) => setImmediate(() => socket.end()),
      '/soon': (socket) => socket.destroySoon(),
      '/reset': (socket) => socket.resetAndDestroy(),
    };
    const server = http.createServer((request, response) => {
      console.log(`got ${request.url}`);
      response.end('answer');
      ends[request.url]?.(request.socket);
      if (request.url === '/idle') response.once('finish', () => setImmediate(() => server.closeIdleConnections()));
      if (request.url === '/all') response.once('finish', () => server.closeAllConnections());
    }).listen(process.env.PORT);
    """
PYTHON_HTTP_SERVER = """
    import http.server, os

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            print("got", self.path, flush=True)
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"answer")
            self.close_connection = True  # and says nothing of it

    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
    """
PYTHON_SOCKETS = """
    import os, socket

    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    while True:
        sock, _ = listener.accept()
        print("got", sock.recv(65536).split()[1].decode(), flush=True)
        sock.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nanswer")
        sock.close()
    """
PYTHON_ASYNCIO = """
    import asyncio, os

    async def serve(reader, writer):
        print("got", (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1].decode(), flush=True)
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nanswer")
        writer.close()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
        await server.serve_forever()

    asyncio.run(main())
    """
ENDING = {
    **{
        f"node {path}": ("node24", "index.js", NODE, path)
        for path in ("/destroy", "/end", "/later", "/soon", "/reset", "/idle", "/all")
    },
    "http.server": ("python3.13", "main.py", PYTHON_HTTP_SERVER, "/x"),
    "sockets": ("python3.13", "main.py", PYTHON_SOCKETS, "/x"),
    "asyncio": ("python3.13", "main.py", PYTHON_ASYNCIO, "/x"),
}
ROUNDS = 20


def after(host: SandboxHost, connection: socket.socket, request: bytes) -> bytes | None:
    """What comes in answer to a request on a connection that is about to end; None: nobody read it."""
    try:
        connection.sendall(request)
        return connection.recv(65536)
    except (BrokenPipeError, ConnectionResetError):
        return None


@pytest.mark.parametrize(("runtime", "handler", "code", "path"), ENDING.values(), ids=ENDING)
def test_a_request_behind_the_end_is_seen_to_be_unread(
    start: Start, runtime: str, handler: str, code: str, path: str
) -> None:
    host = start(runtime, {handler: textwrap.dedent(code)})
    host.load(handler, contract="web")
    connection = host.connection
    for _ in range(ROUNDS):
        assert host.request("GET", path, on=connection).body == b"answer"
        assert after(host, connection, b"GET /next HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") is None
        (connection,) = host.dial(1)
    assert not [line for _, line in host.logs.lines if "/next" in line]


PYTHON_ASGI = """
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            return
        print("got", scope["path"])
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"6")]})
        await send({"type": "http.response.body", "body": b"answer"})
        raise RuntimeError("after the answer")
    """
PYTHON_WSGI = """
    class Body(list):
        def close(self):
            raise RuntimeError("after the answer")

    def app(environ, start_response):
        start_response("500 Oh", [])
        return Body([b"ans", b"wer"])
    """


@pytest.mark.parametrize("code", [PYTHON_ASGI, PYTHON_WSGI], ids=["asgi", "wsgi"])
def test_an_application_that_raises_after_its_answer_keeps_the_connection(start: Start, code: str) -> None:
    host = start("python3.13", {"main.py": textwrap.dedent(code)})
    host.load("main.app", contract="web")
    for _ in range(ROUNDS):
        answer = host.request("GET", "/")
        assert (answer.status, answer.body) == (500, b"answer")
    host.logs.wait_for("RuntimeError: after the answer")

"""The Python agent under plain `docker run`: contracts, and programs that listen for themselves."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl import catalog
from tests.support.command import docker
from tests.support.container import Container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60)]


@contextlib.contextmanager
def shipped(image: str, folder: Path, text: str, handler: str, **fields: str) -> Iterator[Container]:
    """A container that serves `text` as main.py, with nothing but what an image has."""
    (folder / "main.py").write_text(text)
    folder.chmod(0o755)
    load = {"function": "f", "version": "v", "handler": handler, "root": "/fn/app", "model": "resident", "env": {},
            "concurrency": 8, "timeout_ms": 1000, "memory_mb": 64, "port": 3000, **fields}  # fmt: skip
    name = f"fnctl-test-{uuid.uuid4().hex[:12]}"
    docker(
        "run", "-d", "--name", name, "-p", "127.0.0.1::9000", "-e", "PORT=9000", "-e", f"FNCTL_LOAD={json.dumps(load)}",
        "--label", "dev.fnctl=1", "-v", f"{folder}:/fn/app:ro", image,
        *catalog.runtimes()["python3.13"].agent, "--serve",
    )  # fmt: skip
    try:
        yield Container(name)
    finally:
        docker("rm", "-f", name)


def test_a_contract_and_its_initializer(sandbox_image: str, tmp_path: Path) -> None:
    code = """
made = []

def init(context):
    made.append(context.function.name)

def handler(event, context):
    return {"event": event.decode(), "made": made, "id": len(context.request_id) > 0}
"""
    with shipped(
        sandbox_image, tmp_path, code, "main.handler", contract="fc-event", initializer="main.init"
    ) as container:
        status, body = container.request("POST", "/", b"x")
        assert (status, json.loads(body)) == (200, {"event": "x", "made": ["f"], "id": True})
        assert container.stop() == 0


PROGRAMS = {
    "socketserver": """
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

HTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
""",
    "asyncio": """
import asyncio

async def answer(reader, writer):
    path = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1]
    writer.write(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\n\\r\\n" + path)
    await writer.drain()
    writer.close()

async def main():
    async with await asyncio.start_server(answer, "localhost", 8888) as server:
        await server.serve_forever()

asyncio.run(main())
""",
    "socket": """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
while True:
    client, _ = listener.accept()
    head = client.recv(65536)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + head.split()[1])
    client.close()
""",
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_program_listens_where_the_container_is_asked(sandbox_image: str, tmp_path: Path, how: str) -> None:
    with shipped(sandbox_image, tmp_path, PROGRAMS[how], "main.py") as container:
        assert container.request("GET", "/x") == (200, b"/x")

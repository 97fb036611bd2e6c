"""What the code in one sandbox can have of the gateway, by the address inside: so much, and nothing of the others'."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from fnctl.model import Function
from fnctl.triggers.http.limits import Limits, inside_within
from fnctl.triggers.http.local_address import CONNECTIONS, OWN
from tests.contract.gateway_stage import HELLO, Stage, answering, app, closing, play, split, talk
from tests.support.turning import until

GET = b"GET /app/ HTTP/1.1\r\nHost: fnctl.internal\r\n\r\n"


@dataclass
class Code:
    """(Sandboxed) Code in a sandbox of its own, and the connections that it makes."""

    id: str
    function: Function
    path: Path
    made: list[socket.socket] = field(default_factory=list)

    async def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        self.made.append(client)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, str(self.path))
        if data:
            await loop.sock_sendall(client, data)
        return client


@contextlib.asynccontextmanager
async def sandbox(made: Stage, name: str) -> AsyncIterator[Code]:
    code = Code(name, app(name), made.folder / f"inside-{name}.sock")
    server = await asyncio.get_running_loop().create_unix_server(made.gateway.inside(code), str(code.path), backlog=512)
    try:
        yield code
    finally:
        for client in code.made:
            client.close()
        server.close()


async def told(client: socket.socket) -> bytes:
    """b"" where it was hung up on."""
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 65536), 20)
    return b""


def test_connections_of_one_are_bounded_and_its_neighbour_has_its_own(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        async with sandbox(made, "greedy") as greedy, sandbox(made, "good") as good:
            for _ in range(CONNECTIONS):
                await greedy.connect()
            await until(lambda: made.gateway.connections == CONNECTIONS)
            assert await told(await greedy.connect(GET)) == b""
            assert (await told(await good.connect(GET))).endswith(b"hello")
            greedy.made.pop(0).close()
            await until(lambda: made.gateway.connections == CONNECTIONS)
            assert (await told(await greedy.connect(GET))).endswith(b"hello")

    play(folder, scene)


def test_of_all_together_too_and_some_are_left_for_each(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO), connections=2)
        async with sandbox(made, "greedy") as greedy, sandbox(made, "good") as good:
            for _ in range(40):
                await greedy.connect()
            await until(lambda: made.gateway.connections == 40)
            assert await told(await greedy.connect(GET)) == b""
            for _ in range(OWN):
                assert (await told(await good.connect(GET))).endswith(b"hello")
            assert await told(await good.connect(GET)) == b""
            assert (await talk(made, closing(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))).endswith(b"hello")

    play(folder, scene, Limits(inside=40))


def test_bodies_of_one_are_held_within_a_bound_and_are_not_taken_from_the_others(folder: Path) -> None:
    head = b"POST /app/ HTTP/1.1\r\nHost: fnctl.internal\r\nPrefer: respond-async\r\nContent-Length: 90000\r\n\r\n"

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        async with sandbox(made, "greedy") as greedy, sandbox(made, "good") as good:
            await greedy.connect(head + b"x" * 89_999)
            await until(lambda: made.gateway.held == 89_999)
            line, _, body = split(await told(await greedy.connect(head + b"x" * 89_999)))
            assert (line, b"too_many_bodies" in body) == (b"HTTP/1.1 503 Service Unavailable", True)
            whole = await good.connect(head + b"x" * 90_000)
            assert (await told(whole)).startswith(b"HTTP/1.1 202 ")
            outside = head.replace(b"/app/", b"/").replace(b"fnctl.internal", b"a") + b"x" * 90_000
            assert (await talk(made, closing(outside))).startswith(b"HTTP/1.1 202 ")

    play(folder, scene, Limits(held_bytes=180_000, held_inside_bytes=100_000))


def test_room_for_code_is_what_clients_leave() -> None:
    assert (inside_within(20_000), inside_within(1024), inside_within(256)) == (2048, 128, 64)

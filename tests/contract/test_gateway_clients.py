"""Clients as people use them: curl, ab, wrk, a WebSocket library; and the admin API, asked by curl."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from fnctl.control.admin import AdminServer, admin_app
from fnctl.control.changes import Applied
from fnctl.errors import NotFound
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, echo, play


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@needs("curl")
def test_curl_by_host_name_with_an_upload(folder: Path) -> None:
    data = bytes(range(256)) * 4096
    (folder / "up").write_bytes(data)

    async def scene(made: Stage) -> None:
        await made.add(app("one"), answering(HELLO))
        await made.add(app("two"), echo)
        base = ("curl", "-sS", "--noproxy", "*", "--max-time", "20")
        assert await run(*base, f"http://one.localhost:{made.port}/") == "hello"
        upload = ("--data-binary", f"@{folder}/up", "-o", f"{folder}/down")
        for extra in ((), ("-H", "Transfer-Encoding: chunked"), ("-0",), ("-H", "Expect: 100-continue")):
            await run(*base, *upload, *extra, f"http://127.0.0.1:{made.port}/two/")
            assert (folder / "down").read_bytes() == data
        assert await run(*base, "-L", f"http://127.0.0.1:{made.port}/one") == "hello"
        headers = await run(*base, "-I", f"http://127.0.0.1:{made.port}/nobody/")
        assert headers.startswith("HTTP/1.1 404 ")

    play(folder, scene)


@needs("ab")
@pytest.mark.parametrize("keep_alive", [(), ("-k",)])
def test_ab(folder: Path, keep_alive: tuple[str, ...]) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO), connections=4)
        told = await run("ab", "-q", "-n", "1000", "-c", "200", *keep_alive, f"http://127.0.0.1:{made.port}/")
        assert re.search(r"Complete requests: +1000\n", told)
        assert re.search(r"Failed requests: +0\n", told)

    assert len(play(folder, scene).receipts) >= 1000


@needs("wrk")
def test_wrk(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO), connections=4)
        told = await run("wrk", "-t1", "-c8", "-d1s", f"http://127.0.0.1:{made.port}/")
        assert "Non-2xx" not in told
        assert "Socket errors" not in told

    assert {receipt.verdict for receipt in play(folder, scene).receipts} <= {"ok", "client_gone"}


async def websocket_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    protocol = ServerProtocol()
    while data := await reader.read(65536):
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode.name == "TEXT":
                protocol.send_text(event.data)
        for piece in protocol.data_to_send():
            writer.write(piece)
        if protocol.close_expected():  # the server ends the connection first
            return


def test_a_websocket_library(folder: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(app(), websocket_echo)
        async with connect(f"ws://127.0.0.1:{made.port}/", proxy=None, compression=None) as socket:
            for text in ("hello", "ü" * 50_000):
                await socket.send(text)
                assert await socket.recv() == text

    assert play(folder, scene).receipts[0].status == 101


def test_many_clients_lose_nothing(folder: Path) -> None:
    """300 at once over 3 connections: each gets its own answer, and the counts agree."""
    seen: list[Seen] = []

    async def scene(made: Stage) -> None:
        await made.add(app(), echo, connections=3)

        async def one(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
            for turn in range(3):
                body = b"%d/%d" % (number, turn)
                writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(len(body)) == body
            writer.close()

        await asyncio.gather(*(one(number) for number in range(300)))

    made = play(folder, scene)
    assert len(made.receipts) == len({receipt.id for receipt in made.receipts}) == 900
    assert seen == []


@needs("curl")
def test_the_admin_api(folder: Path) -> None:
    stopped: list[bool] = []

    async def reap(function: str) -> int:
        if function != "app":
            raise NotFound(f"no function named {function}", hint="`fnctl ps` lists the running functions")
        return 2

    async def reload(*, code: bool) -> Applied:
        return Applied(added=("app",))

    async def scene() -> None:
        path = folder / "admin.sock"
        server = AdminServer(
            admin_app(lambda: {"functions": []}, stopped.append, reap, lambda name: 0, lambda: 0, reload), path
        )
        await server.start()
        try:
            assert path.stat().st_mode & 0o777 == 0o600
            ask = ("curl", "-sS", "--max-time", "10", "--unix-socket", str(path))
            assert json.loads(await run(*ask, "http://fnctl/v1/status")) == {"functions": []}
            await run(*ask, "-X", "POST", "http://fnctl/v1/stop?now=1")
            await run(*ask, "-X", "POST", "http://fnctl/v1/stop")
            assert json.loads(await run(*ask, "-X", "POST", "http://fnctl/v1/reap?function=app")) == {"reaped": 2}
            applied = json.loads(await run(*ask, "-X", "POST", "http://fnctl/v1/reload"))
            assert applied == {"added": ["app"], "changed": [], "removed": [], "notes": []}
            told = json.loads(await run(*ask, "-X", "POST", "http://fnctl/v1/reap?function=x"))
            assert told["error"]["code"] == "not_found"
        finally:
            await server.stop()
        assert not path.exists()

    uvloop.run(scene())
    assert stopped == [True, False]

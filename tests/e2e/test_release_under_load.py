"""Versions change places under load, forth and back: no call fails, each is answered by a whole version.

FNCTL_RELEASE_CALLS (3000), FNCTL_RELEASE_RATE a second (500) and FNCTL_RELEASE_TURNS (10) say how much of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from fnctl.control import compose
from fnctl.control.compose import Stack
from fnctl.engine.port import Engine
from tests.support.releases import candidate, serving
from tests.support.turning import until

CALLS, RATE, TURNS = (
    int(os.environ.get(f"FNCTL_RELEASE_{name}") or otherwise)
    for name, otherwise in (("CALLS", 3000), ("RATE", 500), ("TURNS", 10))
)
CLIENTS = 8

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300 + CALLS / RATE * 10)]

PROJECT = "functions:\n  shop: {runtime: node24, handler: index.handler, health: /ok, idle_timeout: 1h}\n"
CODE = "exports.handler = async () => 'version %s';\n"
ASKED = b"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Short enough for the sockets below it, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("FNCTL_HOME", f"{short}/home")
        yield Path(short) / "place"


class Load:
    """Clients on connections that stay, which together call so often a second. `said`: how often which answer came."""

    def __init__(self, stack: Stack) -> None:
        self._socket = str(stack.run.paths.gateway_socket)
        self._begun = 0
        self.said = Counter[str]()

    async def client(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_unix_connection(self._socket)
        first = loop.time() + number / RATE
        for call in range(CALLS // CLIENTS):
            due = first + call * CLIENTS / RATE
            turn = loop.create_future()
            loop.call_at(due, turn.set_result, None)
            await turn
            writer.write(ASKED)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length:")[2].split()[0])
            body = (await reader.readexactly(length)).decode()
            self.said[body if head.startswith("http/1.1 200 ") else head.split("\r\n")[0] + " " + body] += 1
        writer.close()


async def story(place: Path, engine: Engine) -> None:
    one, two = (candidate(place, engine, {"fnctl.yaml": PROJECT, "index.js": CODE % word}, word) for word in ("1", "2"))
    async with serving(place, engine, one) as stack:
        await stack.deploy(lambda there: two)
        load = Load(stack)
        clients = asyncio.gather(*(load.client(number) for number in range(CLIENTS)))
        for turn in range(1, TURNS + 1):
            enough = CALLS * turn // (TURNS + 1)
            await until(lambda enough=enough: load.said.total() >= enough, CALLS / RATE * 10 + 60)  # type: ignore[misc]
            await stack.rollback(None)
        await clients
        sys.stderr.write(f"{load.said.total()} calls, {TURNS} turns: {dict(load.said)}\n")
        assert set(load.said) == {"version 1", "version 2"}
        assert load.said.total() == CALLS // CLIENTS * CLIENTS


def test_no_call_fails_while_versions_change_places(place: Path) -> None:
    uvloop.run(story(place, compose.connect()))

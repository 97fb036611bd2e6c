"""Services stand still for as long as the one who asked for it is connected, over the admin API's real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from fnctl.control import client
from fnctl.control.admin import AdminServer, admin_app
from fnctl.control.changes import Applied
from fnctl.control.holding import HELD, Holding
from fnctl.errors import EngineError, FnctlError
from tests.support.turning import until

ASKED = b"POST /v1/hold HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


class Stage:
    """Services that are held and released, and an admin API."""

    def __init__(self, path: Path, refuses: bool) -> None:
        self.path = path
        self.told: list[str] = []
        self._refuses = refuses
        holding = Holding(self._hold, self._release)
        self.server = AdminServer(
            admin_app(dict, lambda now: None, self._reap, lambda name: 0, lambda: 0, self._reload, holding=holding),
            path,
        )

    async def _hold(self) -> None:
        if self._refuses:
            raise EngineError("the service data is starting: it cannot be held")
        self.told.append("held")

    async def _release(self) -> None:
        self.told.append("released")

    async def _reap(self, function: str) -> int:
        return 0

    async def _reload(self, *, code: bool) -> Applied:
        raise AssertionError("not asked")


def ask(path: Path) -> None:
    with client.held(path, 10):
        pass


def play(folder: Path, *, refuses: bool = False) -> Stage:
    """One client asks, and leaves without a word; meanwhile another asks."""

    async def scene() -> Stage:
        made = Stage(folder / "admin.sock", refuses)
        await made.server.start()
        try:
            if refuses:
                with pytest.raises(FnctlError, match="cannot be held"):
                    await asyncio.to_thread(ask, made.path)
                return made
            reader, writer = await asyncio.open_unix_connection(str(made.path))
            writer.write(ASKED)
            await reader.readuntil(HELD)
            assert made.told == ["held"]
            with pytest.raises(FnctlError, match="being made already"):
                await asyncio.to_thread(ask, made.path)
            writer.transport.abort()
            await until(lambda: made.told == ["held", "released"])
            await asyncio.to_thread(ask, made.path)
            await until(lambda: made.told == ["held", "released"] * 2)
        finally:
            await made.server.stop()
        return made

    return uvloop.run(scene())


def test_services_go_on_when_the_client_is_gone(folder: Path) -> None:
    play(folder)


def test_services_that_cannot_be_held_are_told(folder: Path) -> None:
    assert play(folder, refuses=True).told == []

"""The admin API of a running service, on a unix socket that only its user can open. JSON over HTTP; no function's door.

    GET  /v1/status        what `status()` gives
    POST /v1/stop[?now=1]  begin the orderly end, or (now) the forced one; 202 at once
    POST /v1/reap?function=NAME    end its idle instances now; 200 when the pool is full again, with how many there were

It runs in the gateway's loop: `status` must be quick, `reap` is awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fnctl.errors import FnctlError

_TRUE = frozenset({"1", "true", "yes"})
_STOP_S = 2


def admin_app(
    status: Callable[[], Mapping[str, Any]],
    stop: Callable[[bool], None],
    reap: Callable[[str], Awaitable[int]],
) -> Starlette:
    """`stop(now)` only begins the end and returns."""

    async def get_status(request: Request) -> JSONResponse:
        return JSONResponse(status())

    async def post_stop(request: Request) -> JSONResponse:
        now = request.query_params.get("now", "").lower() in _TRUE
        stop(now)
        return JSONResponse({"stopping": "now" if now else "drain"}, status_code=202)

    async def post_reap(request: Request) -> JSONResponse:
        return JSONResponse({"reaped": await reap(request.query_params.get("function", ""))})

    routes = [
        Route("/v1/status", get_status, methods=["GET"]),
        Route("/v1/stop", post_stop, methods=["POST"]),
        Route("/v1/reap", post_reap, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={FnctlError: _told})


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FnctlError)
    told = {"code": error.code, "message": error.message}
    if error.hint:
        told["hint"] = error.hint
    return JSONResponse({"error": told}, status_code=error.http_status)


class _Server(uvicorn.Server):
    """Signals are the command's, not the admin server's."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class AdminServer:
    """start/stop of an admin app on a unix socket of mode 0600. The caller holds the project's lock."""

    def __init__(self, app: Starlette, path: Path) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=_STOP_S
        )
        self._path = path
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when it listens."""
        listener = _listen(self._path)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="admin")

    async def stop(self) -> None:
        """Ends within seconds, whatever clients do; the socket is gone."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._server.should_exit = True
        _, pending = await asyncio.wait([task], timeout=_STOP_S + 1)
        for late in pending:
            late.cancel()
        _unlink(self._path)


def _listen(path: Path) -> socket.socket:
    _unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)

"""The admin API of a running service, on a unix socket that only its user can open. JSON over HTTP.

    GET  /v1/status        what `status()` gives
    POST /v1/stop[?now=1]  begin the orderly end, or (now) the forced one; 202 at once
    POST /v1/keys          read the keys of callers anew
    POST /v1/reload        read the project anew and apply what has changed; 200 when it serves, with what that was
    POST /v1/restart       {"program": […]} takes over, once all that it serves is made ready; 202 when this run ends
    POST /v1/hold          services stand still until the client leaves; "held" when they do
    POST /v1/reap?function=NAME    end its idle instances now; 200 when the pool is full again, with how many there were
    POST /v1/sleep?function=NAME   put its idle instances to sleep now; 200 with how many there were
    …    /v1/deploy, /v1/rollback, /v1/alias, /v1/promote     release_routes.py
    GET  /v1/queues        deferred calls and messages in numbers: one row a function, one a named queue
    GET  /v1/queues/NAME?state=&limit=         the calls of a function, or the messages of a queue, the oldest first
    POST /v1/queues/NAME/purge?state=          forget them; those that waited are cancelled
    POST /v1/queues/NAME/redrive               what is dead gets all its attempts again
    GET  /v1/clock         the time that timers go by, and their next times
    …    /v1/workflows, /v1/runs             run_routes.py
    POST /v1/clock?advance=SECONDS             move a virtual clock on; answers when all that was due on the way is done

It runs in the gateway's loop: `status` must be quick, `reap` and `reload` are awaited.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fnctl.control import release_routes, run_routes
from fnctl.control.changes import Applied
from fnctl.control.holding import Holding
from fnctl.control.later import Later
from fnctl.control.prepare import Selection
from fnctl.errors import FnctlError, UsageError
from fnctl.private_socket import private_socket

_TRUE = frozenset({"1", "true", "yes"})
_STOP_S = 2
_BACKLOG = 16


class Reload(Protocol):
    async def __call__(self, *, code: bool) -> Applied: ...


def admin_app(
    status: Callable[[], Mapping[str, Any]],
    stop: Callable[[bool], None],
    reap: Callable[[str], Awaitable[int]],
    sleep: Callable[[str], int],
    reload_keys: Callable[[], int],
    reload: Reload,
    later: Later | None = None,
    releases: release_routes.Releases | None = None,
    selected: Callable[[], Awaitable[Selection]] | None = None,
    restart: Callable[[Sequence[str]], Awaitable[None]] | None = None,
    holding: Holding | None = None,
) -> Starlette:
    """`stop(now)` only begins the end and returns. `selected`: the project as the disk has it now."""

    async def get_status(request: Request) -> JSONResponse:
        return JSONResponse(status())

    async def post_stop(request: Request) -> JSONResponse:
        now = request.query_params.get("now", "").lower() in _TRUE
        stop(now)
        return JSONResponse({"stopping": "now" if now else "drain"}, status_code=202)

    async def post_reap(request: Request) -> JSONResponse:
        return JSONResponse({"reaped": await reap(request.query_params.get("function", ""))})

    async def post_sleep(request: Request) -> JSONResponse:
        return JSONResponse({"asleep": sleep(request.query_params.get("function", ""))})

    async def post_reload(request: Request) -> JSONResponse:
        return JSONResponse(asdict(await reload(code=True)))

    async def post_restart(request: Request) -> JSONResponse:
        assert restart is not None
        told = json.loads(await request.body() or b"{}")
        if not (program := told.get("program")):
            raise UsageError("no program was named that takes over")
        await restart([str(word) for word in program])
        return JSONResponse({"restarting": True}, status_code=202)

    async def post_keys(request: Request) -> JSONResponse:
        return JSONResponse({"keys": reload_keys()})

    routes = [
        Route("/v1/status", get_status, methods=["GET"]),
        Route("/v1/stop", post_stop, methods=["POST"]),
        Route("/v1/reap", post_reap, methods=["POST"]),
        Route("/v1/sleep", post_sleep, methods=["POST"]),
        Route("/v1/keys", post_keys, methods=["POST"]),
        Route("/v1/reload", post_reload, methods=["POST"]),
    ]
    routes += [Route("/v1/restart", post_restart, methods=["POST"])] if restart is not None else []
    routes += [holding.route] if holding is not None else []
    routes += _later_routes(later) if later is not None else []
    routes += release_routes.routes(releases) if releases is not None else []
    routes += (
        run_routes.routes(later.workflows, later.views, selected) if later is not None and selected is not None else []
    )
    return Starlette(routes=routes, exception_handlers={FnctlError: _told})


def _later_routes(later: Later) -> list[Route]:
    async def get_queues(request: Request) -> JSONResponse:
        return JSONResponse({"queues": await later.queues()})

    async def get_calls(request: Request) -> JSONResponse:
        asked = request.query_params
        limit = asked.get("limit", "20")
        if not (limit.isascii() and limit.isdigit()):
            raise UsageError(f"limit cannot be `{limit[:20]}`", hint="a number of calls")
        calls = await later.peek(request.path_params["name"], asked.get("state", "waiting"), int(limit[:9]))
        return JSONResponse(calls)

    async def post_purge(request: Request) -> JSONResponse:
        return JSONResponse(
            {"purged": await later.purge(request.path_params["name"], request.query_params.get("state", "dead"))}
        )

    async def post_redrive(request: Request) -> JSONResponse:
        return JSONResponse({"redriven": await later.redrive(request.path_params["name"])})

    async def get_clock(request: Request) -> JSONResponse:
        return JSONResponse(later.times())

    async def post_clock(request: Request) -> JSONResponse:
        asked = request.query_params.get("advance", "")
        try:
            seconds = float(asked)
        except ValueError as error:
            raise UsageError(f"advance cannot be `{asked[:20]}`", hint="a number of seconds") from error
        return JSONResponse(await later.advance(seconds))

    return [
        Route("/v1/queues", get_queues, methods=["GET"]),
        Route("/v1/queues/{name:path}/purge", post_purge, methods=["POST"]),
        Route("/v1/queues/{name:path}/redrive", post_redrive, methods=["POST"]),
        Route("/v1/queues/{name:path}", get_calls, methods=["GET"]),
        Route("/v1/clock", get_clock, methods=["GET"]),
        Route("/v1/clock", post_clock, methods=["POST"]),
    ]


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FnctlError)
    told: dict[str, Any] = {"code": error.code, "message": error.message, "exit": error.exit_code}
    told |= {key: text for key, text in (("hint", error.hint), ("detail", error.detail)) if text}
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
        listener = private_socket(self._path)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
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
        self._path.unlink(missing_ok=True)

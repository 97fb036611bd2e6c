"""Takes the calls by which main programs serve (`app.run()`), in place of a port. Not the serving of it."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fnctl_agent.interface import Found, Kind


@dataclass(frozen=True, slots=True)
class Taker:
    """Who serves what was captured. Neither returns while the process lives."""

    serve: Callable[[Found], None]
    serve_in_loop: Callable[[Found], Awaitable[None]]


def capture(taker: Taker) -> None:
    """From now on, serving calls of the main thread go to `taker`: in modules as they are imported."""
    sys.meta_path.insert(0, _Hook(taker))  # type: ignore[arg-type]
    if (present := sys.modules.get("socketserver")) is not None:  # where the standard library was loaded ahead
        _patch_socketserver(present, taker)


class _Hook:
    """Finds nothing itself: lets the other finders find, and patches the few modules that serve after they ran."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._patches = {
            "socketserver": _patch_socketserver,
            "flask.app": _patch_flask,
            "werkzeug.serving": _patch_werkzeug,
            "uvicorn.main": _patch_uvicorn_main,
            "uvicorn.server": _patch_uvicorn_server,
            "waitress": _patch_waitress,
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = self._patches.pop(fullname, None)
        if patch is None:
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found), None)
        if spec and spec.loader:
            self._patch_after(spec.loader, patch)
        return spec

    def _patch_after(self, loader: Any, patch: Callable[[Any, Taker], None]) -> None:
        exec_module = loader.exec_module

        def exec_and_patch(module: ModuleType) -> None:
            exec_module(module)
            patch(module, self._taker)

        loader.exec_module = exec_and_patch


def _from_main_thread() -> bool:
    """A server in a thread of its own is a side business of the program, such as its metrics."""
    return threading.current_thread() is threading.main_thread()


def _patch_flask(module: Any, taker: Taker) -> None:
    def run(self: Any, host: Any = None, port: Any = None, debug: bool | None = None, *_: Any, **__: Any) -> None:
        if debug is not None:
            self.debug = bool(debug)
        taker.serve(Found(Kind.WSGI, self))

    module.Flask.run = run


def _patch_werkzeug(module: Any, taker: Taker) -> None:
    def run_simple(hostname: str, port: int, application: Any, *_: Any, **__: Any) -> None:
        taker.serve(Found(Kind.WSGI, application))

    module.run_simple = run_simple


def _patch_waitress(module: Any, taker: Taker) -> None:
    def serve(app: Any, **_: Any) -> None:
        taker.serve(Found(Kind.WSGI, app))

    module.serve = serve


def _patch_uvicorn_main(module: Any, taker: Taker) -> None:
    """`uvicorn.run`: its options shape the app (factory, app_dir, root_path); those about processes do not matter."""

    def run(app: Any, **options: Any) -> None:
        if app_dir := options.pop("app_dir", None):
            sys.path.insert(0, app_dir)
        known = inspect.signature(module.Config).parameters
        left_out = ("reload", "workers", "log_config", "uds", "fd")
        config = module.Config(app, **{k: v for k, v in options.items() if k in known and k not in left_out})
        taker.serve(_uvicorn_app(config))

    module.run = run


def _patch_uvicorn_server(module: Any, taker: Taker) -> None:
    def run(self: Any, sockets: Any = None) -> None:
        taker.serve(_uvicorn_app(self.config))

    async def serve(self: Any, sockets: Any = None) -> None:
        await taker.serve_in_loop(_uvicorn_app(self.config))

    module.Server.run = run
    module.Server.serve = serve


def _uvicorn_app(config: Any) -> Found:
    if not config.loaded:
        config.load()
    return Found(Kind.ASGI, config.loaded_app)


def _patch_socketserver(module: Any, taker: Taker) -> None:
    """`http.server` and `wsgiref`: the server object has bound a port by now, which nobody can reach; it stays idle."""
    serve_forever = module.BaseServer.serve_forever

    def captured(self: Any, *args: Any, **options: Any) -> None:
        if not isinstance(self, module.TCPServer) or not _from_main_thread():
            serve_forever(self, *args, **options)
            return
        module.BaseServer.serve_forever = serve_forever
        taker.serve(Found(Kind.SOCKETSERVER, self))

    module.BaseServer.serve_forever = captured

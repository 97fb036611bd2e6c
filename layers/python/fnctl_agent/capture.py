"""Takes the calls by which main programs serve (`app.run()`), in place of a port. Not the serving of it."""

from __future__ import annotations

import sys
import threading

from fnctl_agent.interface import Found, Kind, classify
from fnctl_agent.later import Later
from fnctl_agent.listening import Address, Listening

MAIN_FIRST_S = 0.3  # how long a server in a thread waits for the main thread to have one
SERVES = "fnctl-connection"  # a thread that serves a connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import inspect
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Protocol
else:
    inspect = Later("inspect")
    Protocol = object


class Taker(Protocol):
    """Who serves what was captured."""

    def serve(self, found: Found) -> None:
        """Does not return while the process lives."""

    async def serve_in_loop(self, found: Found) -> None:
        """Does not return while the process lives."""

    def accept_in_loop(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        """A server of asyncio listens on `port`: its protocols are to be given connections, on the running loop."""

    def relay(self, port: int) -> None:
        """Something listens on `port`."""

    def bind(self, address: Address) -> Address:
        """Where a program is to listen, that asked for `address`."""


def capture(taker: Taker) -> None:
    """From now on, serving calls of the main thread go to `taker`: in modules as they are imported."""
    sys.meta_path.insert(0, _Hook(taker))  # type: ignore[arg-type]
    if (present := sys.modules.get("socketserver")) is not None:  # where the standard library was loaded ahead
        _patch_socketserver(present, taker)
    if (present := sys.modules.get("asyncio.base_events")) is not None:
        _patch_loop(present.BaseEventLoop, taker)
    if (present := sys.modules.get("asyncio.events")) is not None:
        _patch_policy(present, taker)
    Listening(taker.bind, taker.relay).watch()


class _Hook:
    """Finds nothing itself: lets the other finders find, and patches the few modules that serve after they ran."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self._patches = {
            "socketserver": _patch_socketserver,
            "asyncio.events": _patch_policy,
            "asyncio.base_events": lambda module, taker: _patch_loop(module.BaseEventLoop, taker),
            "flask.app": _patch_flask,
            "werkzeug.serving": _patch_werkzeug,
            "uvicorn.main": _patch_uvicorn_main,
            "uvicorn.server": _patch_uvicorn_server,
            "waitress": _patch_waitress,
            "quart.app": _patch_quart,
            "gunicorn.app.base": _patch_gunicorn,
            "django.core.servers.basehttp": _patch_django_server,
            "django.core.management.commands.runserver": _patch_django_command,
            "uvloop": lambda module, taker: _patch_loop(module.Loop, taker),
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


def _patch_quart(module: Any, taker: Taker) -> None:
    """`Quart.run` serves by Hypercorn, in a process of its own unless it is told not to reload."""
    run = module.Quart.run
    signature = inspect.signature(run)

    def captured(self: Any, *args: Any, **options: Any) -> None:
        given = signature.bind(self, *args, **options)
        given.arguments["use_reloader"] = False
        run(*given.args, **given.kwargs)

    module.Quart.run = captured


def _patch_gunicorn(module: Any, taker: Taker) -> None:
    """An `Application` that a program runs by itself; its workers and their class do not matter."""

    def run(self: Any) -> None:
        taker.serve(classify(self.wsgi(), "the application"))

    module.BaseApplication.run = run


def _patch_django_server(module: Any, taker: Taker) -> None:
    """`manage.py runserver`."""

    def run(addr: Any, port: Any, wsgi_handler: Any, *_: Any, **__: Any) -> None:
        taker.serve(Found(Kind.WSGI, wsgi_handler))

    module.run = run


def _patch_django_command(module: Any, taker: Taker) -> None:
    """Whether migrations are due is said on the developer's own console; to look, it opens the database."""
    module.Command.check_migrations = lambda self: None


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
    """In a thread of its own it serves as it does anywhere, on its port, and is the program's server unless the main
    thread has another."""
    own_run, own_serve, own_startup = module.Server.run, module.Server.serve, module.Server.startup

    def run(self: Any, sockets: Any = None) -> None:
        if _from_main_thread():
            taker.serve(_uvicorn_app(self.config))
        else:
            own_run(self, sockets)

    async def serve(self: Any, sockets: Any = None) -> None:
        if _from_main_thread():
            await taker.serve_in_loop(_uvicorn_app(self.config))
        else:
            await own_serve(self, sockets)

    async def startup(self: Any, sockets: Any = None) -> None:
        await own_startup(self, sockets)
        if self.started and self.servers:
            port = self.servers[0].sockets[0].getsockname()[1]
            waits = threading.Timer(MAIN_FIRST_S, taker.relay, [port])
            waits.daemon = True
            waits.start()

    module.Server.run = run
    module.Server.serve = serve
    module.Server.startup = startup


def _uvicorn_app(config: Any) -> Found:
    if not config.loaded:
        config.load()
    return Found(Kind.ASGI, config.loaded_app)


def _patch_policy(module: Any, taker: Taker) -> None:
    """A thread that serves is to its function what the main thread is elsewhere: it finds an event loop."""
    policy = module.BaseDefaultEventLoopPolicy
    get_event_loop = policy.get_event_loop

    def captured(self: Any) -> Any:
        local = self._local
        if local._loop is None and not local._set_called and threading.current_thread().name == SERVES:
            self.set_event_loop(self.new_event_loop())
        return get_event_loop(self)

    policy.get_event_loop = captured


def _patch_loop(loop: Any, taker: Taker) -> None:
    """asyncio's servers (aiohttp, Hypercorn, Quart): the real one listens, where nobody comes; its protocols serve."""
    create_server = loop.create_server

    async def captured(self: Any, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        server = await create_server(self, factory, host, port, **options)
        named = port or options.get("sock")
        if named and not options.get("ssl") and _from_main_thread():
            taker.accept_in_loop(factory, server.sockets[0].getsockname()[1])
        return server

    loop.create_server = captured


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

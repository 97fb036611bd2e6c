"""The servers that come with the agent, imported so that the user's code neither sees nor meets them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "vendor"


class Servers:
    """What the agent uses of them, by name. The ASGI server takes 90 ms to import: it waits until somebody asks.

    Where no request waits, `preload` asks. The modules live on in here, under no name: the user's own uvicorn, h11 or
    click of another version is another import, made before or after.
    """

    def __init__(self) -> None:
        self._asgi: dict[str, Any] | None = None
        self._parser = _import(_parser)

    def preload(self) -> None:
        if self._asgi is None:
            self._asgi = _import(_asgi)

    def __getattr__(self, name: str) -> Any:
        if name in self._parser:
            return self._parser[name]
        self.preload()
        assert self._asgi is not None
        try:
            return self._asgi[name]
        except KeyError:
            raise AttributeError(name) from None


def load() -> Servers:
    return Servers()


def _import(names: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with _alone():
        return names()


def _parser() -> dict[str, Any]:
    import httptools

    return {name: getattr(httptools, name) for name in ("HttpRequestParser", "HttpParserError", "HttpParserUpgrade")}


def _asgi() -> dict[str, Any]:
    """None of what is used here imports its own package again later on."""
    import uvicorn.lifespan.on
    import uvicorn.middleware.proxy_headers
    import uvicorn.protocols.http.httptools_impl
    import uvicorn.protocols.websockets.websockets_sansio_impl as websockets_impl
    import uvicorn.server

    return {
        "Config": uvicorn.Config,
        "ServerState": uvicorn.server.ServerState,
        "LifespanOn": uvicorn.lifespan.on.LifespanOn,
        "ProxyHeadersMiddleware": uvicorn.middleware.proxy_headers.ProxyHeadersMiddleware,
        "HttpProtocol": uvicorn.protocols.http.httptools_impl.HttpToolsProtocol,
        "WebSocketProtocol": websockets_impl.WebSocketsSansIOProtocol,
    }


@contextmanager
def _alone() -> Iterator[None]:
    """While inside, our packages are the ones that are found; before and after, as if they were not there."""
    ours = {entry.name.split(".")[0] for entry in VENDOR.iterdir()}
    users = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ours}
    for name in users:
        del sys.modules[name]
    sys.path.insert(0, str(VENDOR))
    try:
        yield
    finally:
        sys.path.remove(str(VENDOR))
        for name in [name for name in sys.modules if name.split(".")[0] in ours]:
            del sys.modules[name]
        sys.modules.update(users)

"""The servers that come with the agent, imported so that the user's code neither sees nor meets them."""

# on the way to every load: strings will do for paths:
# ruff: noqa: PTH208
from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from fnctl_agent.pack import HERE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any

VENDOR = f"{HERE}/vendor"


class Servers:
    """What the agent uses of them, by name. The ASGI server takes 90 ms to import: it waits until somebody asks.

    Where no request waits, `preload` asks. The modules live on in here, under no name: the user's own uvicorn, h11 or
    click of another version is another import, made before or after.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}  # an extension module is made once a process, and must be met again
        self._asgi: dict[str, Any] | None = None
        with _alone(self._modules):
            self._parser = _parser()

    def preload(self) -> None:
        if self._asgi is None:
            with _alone(self._modules):
                self._asgi = _asgi()

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
def _alone(modules: dict[str, ModuleType]) -> Iterator[None]:
    """While inside, our packages are the ones that are found; before and after, as if they were not there.

    `modules`: those of ours that were imported before; after, also those that were imported inside.
    """
    ours = {name.split(".")[0] for name in os.listdir(VENDOR)}
    users = _of(ours)
    for name in users:
        del sys.modules[name]
    sys.modules.update(modules)
    sys.path.insert(0, VENDOR)
    try:
        yield
    finally:
        sys.path.remove(VENDOR)
        modules.update(_of(ours))
        for name in modules:
            del sys.modules[name]
        sys.modules.update(users)


def _of(packages: set[str]) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] in packages}

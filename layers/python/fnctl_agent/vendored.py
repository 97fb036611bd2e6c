"""The servers that come with the agent, imported so that the user's code neither sees nor meets them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

VENDOR = Path(__file__).resolve().parent.parent / "vendor"


def load() -> SimpleNamespace:
    """Import them, then forget their names: the user's own uvicorn, h11 or click of another version is a new import.

    The modules live on in what is returned. None of what is used here imports its own package again later on.
    """
    sys.path.insert(0, str(VENDOR))
    before = set(sys.modules)
    import httptools
    import uvicorn.lifespan.on
    import uvicorn.middleware.proxy_headers
    import uvicorn.protocols.http.httptools_impl
    import uvicorn.protocols.websockets.websockets_sansio_impl as websockets_impl
    import uvicorn.server

    names = SimpleNamespace(
        HttpRequestParser=httptools.HttpRequestParser,
        HttpParserError=httptools.HttpParserError,
        HttpParserUpgrade=httptools.HttpParserUpgrade,
        Config=uvicorn.Config,
        ServerState=uvicorn.server.ServerState,
        LifespanOn=uvicorn.lifespan.on.LifespanOn,
        ProxyHeadersMiddleware=uvicorn.middleware.proxy_headers.ProxyHeadersMiddleware,
        HttpProtocol=uvicorn.protocols.http.httptools_impl.HttpToolsProtocol,
        WebSocketProtocol=websockets_impl.WebSocketsSansIOProtocol,
    )
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(VENDOR)):
            del sys.modules[name]
    sys.path.remove(str(VENDOR))
    return names

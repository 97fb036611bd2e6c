"""ASGI on dialled connections, by uvicorn's protocol classes on an asyncio loop."""

from __future__ import annotations

import socket
from collections.abc import Callable

from fnctl_agent import logs, mounting
from fnctl_agent.exchange import error_body
from fnctl_agent.later import Later
from fnctl_agent.vendored import Servers
from fnctl_agent.wire import ID_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import traceback
    from typing import Any
else:
    asyncio, traceback = Later("asyncio"), Later("traceback")

NEVER_S = 10 * 365 * 86400.0  # idle connections belong to the host: it closes them
SHUTDOWN_S = 2.0  # for the lifespan's end after an ephemeral invocation


class StartupFailed(Exception):
    """The app's lifespan said that it cannot start."""


class AsgiSite:
    """One app and the connections to it. Made and used on the loop that serves."""

    def __init__(self, app: Any, servers: Servers, *, mounted: bool) -> None:
        """`mounted`: X-Forwarded-Prefix is the host's word, and says where the app is."""
        proxied = servers.ProxyHeadersMiddleware(app, trusted_hosts="127.0.0.1")
        self._config = config = servers.Config(app, interface="asgi3", log_config=None, access_log=False)
        # What Config.load does, without its imports by name: the names are the user's by now.
        config.loaded_app = _Attributed(proxied, mounting.mount(app) if mounted else None)
        config.http_protocol_class = _ending(servers.HttpProtocol)
        config.ws_protocol_class = _ending(servers.WebSocketProtocol)
        config.lifespan_class = servers.LifespanOn
        config.encoded_headers = []
        config.timeout_keep_alive = NEVER_S
        config.loaded = True
        self._state = servers.ServerState()
        self._lifespan = servers.LifespanOn(config)
        self._lifespan.logger.setLevel("WARNING")

    async def startup(self) -> None:
        """Run the lifespan's start; an app without lifespan is as good as started. Raises StartupFailed."""
        await self._lifespan.startup()
        if self._lifespan.should_exit:
            raise StartupFailed("the app's lifespan failed to start; see the log")

    async def shutdown(self, timeout_s: float | None = SHUTDOWN_S) -> None:
        """Run the lifespan's end; None: whoever asked for it sets the bound."""
        try:
            await asyncio.wait_for(self._lifespan.shutdown(), timeout_s)
        except TimeoutError:
            return

    async def connect(self, sock: socket.socket, *, single: bool = False) -> asyncio.Future[None]:
        """Serve a connection; the future is done when it has ended, and its request's task too."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        protocol = self._config.http_protocol_class(self._config, self._state, self._lifespan.state)
        sock.setblocking(False)
        # The transport is the same for HTTP and an upgraded WebSocket; its protocols tell when it is lost.
        protocol.fnctl_ended, protocol.fnctl_single = ended, single
        await loop.connect_accepted_socket(lambda: protocol, sock)
        return ended

    async def serve_one(self, sock: socket.socket) -> None:
        """Start, answer one request, finish: the life of an ephemeral process."""
        await self.startup()
        await (await self.connect(sock, single=True))
        while self._state.tasks:
            await asyncio.wait(list(self._state.tasks))
        await self.shutdown()

    def listen_factory(self) -> Callable[[], asyncio.Protocol]:
        """For a server with a port of its own."""
        return lambda: self._config.http_protocol_class(self._config, self._state, self._lifespan.state)


def _ending(protocol: Any) -> Any:
    """The protocol class that also tells when its connection is lost, and closes after one response if asked to."""

    class Ending(protocol):  # type: ignore[misc]
        fnctl_ended: asyncio.Future[None] | None = None
        fnctl_single = False

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.fnctl_single:
                self.transport.close()

        def handle_websocket_upgrade(self) -> None:
            super().handle_websocket_upgrade()
            self.transport.get_protocol().fnctl_ended = self.fnctl_ended

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.fnctl_ended is not None and not self.fnctl_ended.done():
                self.fnctl_ended.set_result(None)

    return Ending


class _Attributed:
    """Marks what runs for a request with its invocation, names a peer, and answers for an app that raised."""

    def __init__(self, app: Any, mount: Callable[[dict[str, Any], bytes], None] | None) -> None:
        self._app = app
        self._mount = mount

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        # A unix socket's peer has no address; apps that ask for one see a proxy on loopback.
        scope["client"] = scope["client"] or ("127.0.0.1", 0)
        scope["server"] = scope["server"] or ("127.0.0.1", 80)
        mark = None
        for name, value in scope["headers"]:
            if name == ID_HEADER:
                mark = value.decode("latin-1")
            elif name == mounting.HEADER and self._mount is not None:
                self._mount(scope, value)
        with logs.during(mark):
            await self._run(scope, receive, send)

    async def _run(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        begun = answered = False

        async def watched(message: dict[str, Any]) -> None:
            nonlocal begun, answered
            begun = True
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # the request's root
            traceback.print_exc()
            if answered:  # Starlette answers 500 and raises; the connection may carry the next request by now
                return
            if begun or scope["type"] != "http":
                raise _Reported from error
            await _send_error(send, error)


class _Reported(Exception):
    """Lets the server break the connection off; the stack was printed."""


async def _send_error(send: Any, error: Exception) -> None:
    body = error_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-fnctl-error", b"crash"),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})

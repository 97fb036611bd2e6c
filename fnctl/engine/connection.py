"""The connection to Docker: which engine, a client a thread, one place for its errors. Not what is asked of it.

Docker's own library gives the transport (unix, TLS, ssh), the contexts and the credentials. Requests are written here
by path, since its methods neither bound a stream nor let one be cut short.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import requests
from docker import APIClient, TLSConfig
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError

from fnctl.errors import EngineError, EngineUnavailable

Params = Mapping[str, str | Sequence[str]]
CALL_S = 30.0  # the slowest plain call, a start on a busy disk, stays far below it
PIECE_BYTES = 64 * 1024
DEFAULT_HOST = "unix:///var/run/docker.sock"


class Refused(EngineError):
    """The engine answered, and the answer is no: what was asked for did not happen."""

    code = "engine_refused"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unanswered(EngineError):
    """No whole answer came: what was asked for may have happened."""

    code = "engine_timeout"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the engine is. `context`: the name that `docker --context` takes for it."""

    host: str
    tls: TLSConfig | None
    context: str

    @property
    def local(self) -> bool:
        return self.host.startswith("unix://")


def endpoint(environ: Mapping[str, str]) -> Endpoint:
    """As the docker command decides: DOCKER_HOST, DOCKER_CONTEXT, the configuration's current context, the default."""
    if environ.get("DOCKER_HOST"):
        settings = kwargs_from_env(environment=dict(environ))
        return Endpoint(environ["DOCKER_HOST"], settings.get("tls") or None, "default")
    name = environ.get("DOCKER_CONTEXT") or None
    if name == "default":
        return Endpoint(DEFAULT_HOST, None, "default")
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the library raises bare Exception for a file it cannot read
        raise EngineUnavailable(f"the Docker context {name or ''} cannot be read: {error}") from error
    if context is None:
        raise EngineUnavailable(
            f"there is no Docker context {name or '(the current one)'}", hint="`docker context ls` lists them"
        )
    host = str(context.Host or DEFAULT_HOST).replace("http+unix://", "unix://")
    return Endpoint(host, context.TLSConfig or None, str(context.name))


class Wire:
    """Requests to one engine from any thread. Every wait on it is bounded by the call's own timeout."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, timeout_s: float = CALL_S) -> None:
        self.endpoint = endpoint(os.environ if environ is None else environ)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._version: str | None = None
        self._of_thread = threading.local()
        self._clients: list[APIClient] = []

    def client(self) -> APIClient:
        """This thread's client: the library's sessions are not for sharing. The API version is agreed on once."""
        client: APIClient | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = self._of_thread.client = self._connect()
        return client

    def _connect(self) -> APIClient:
        with self._lock:
            try:
                client = APIClient(
                    base_url=self.endpoint.host,
                    tls=self.endpoint.tls or False,
                    version=self._version or "auto",
                    timeout=math.ceil(self._timeout_s),
                    use_ssh_client=self.endpoint.host.startswith("ssh://"),
                )
            except (DockerException, requests.RequestException) as error:
                raise unavailable(self.endpoint.host, error) from error
            if self.endpoint.local:
                client.trust_env = False  # no proxy and no netrc on the way to a local socket; looking costs each call
            self._version = client.api_version
            self._clients.append(client)
            return client

    @property
    def api_version(self) -> str:
        return self.client().api_version

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Any = None,
        timeout_s: float | None = None,
    ) -> Any:
        """One request, its JSON answer (None where it is empty). `Refused`, `Unanswered` or `EngineUnavailable`."""
        data = None if body is None else json.dumps(body).encode()
        with self.stream(method, path, params=params, data=data, timeout_s=timeout_s) as response:
            content = response.content
        try:
            return json.loads(content) if content.strip() else None
        except ValueError as error:
            raise Unanswered(f"{method} {path}: the engine answered {content[:80]!r}, which is not JSON") from error

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        data: bytes | IO[bytes] | Iterator[bytes] | None = None,
        timeout_s: float | None = None,
        content_type: str = "application/json",
    ) -> Iterator[requests.Response]:
        """A request whose answer is read as it comes; leaving the block ends it. `timeout_s` bounds each silence."""
        client = self.client()
        wait_s = timeout_s or self._timeout_s
        response: requests.Response | None = None
        try:
            response = client.request(
                method,
                f"{client.base_url}/v{client.api_version}{path}",
                params=params,
                data=data,
                headers={"Content-Type": content_type} if data is not None else None,
                timeout=(min(wait_s, self._timeout_s), wait_s),
                stream=True,
            )
            if response.status_code >= 400:
                raise Refused(response.status_code, _reason(response))
            yield response
        except (requests.RequestException, HTTPError) as error:
            raise self._failed(f"{method} {path}", wait_s, error) from error
        finally:
            if response is not None:
                response.close()

    def _failed(self, what: str, wait_s: float, error: Exception) -> EngineError:
        if isinstance(error, requests.ConnectionError) and _never_sent(error):
            return unavailable(self.endpoint.host, error)
        if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
            return Unanswered(
                f"{what}: the engine did not answer within {wait_s:g} s",
                hint="is it busy, or hanging? see `docker info`",
            )
        return Unanswered(f"{what}: the engine's answer was cut off ({error})", code="engine_lost")

    def close(self) -> None:
        """End the connections of every thread. The wire may be used again; it connects anew."""
        with self._lock:
            clients, self._clients = self._clients, []
            self._of_thread = threading.local()
        for client in clients:
            client.close()


def pieces(response: requests.Response) -> Iterator[bytes]:
    """What a stream brings, as soon as it is there. (Read plainly, a stream that is not chunked comes at its end.)"""
    if response.raw.chunked:
        yield from response.iter_content(None)
    else:
        while piece := response.raw.read1(PIECE_BYTES):
            yield piece


def unavailable(host: str, error: Exception) -> EngineUnavailable:
    """Why nobody answers at `host`, with what to do about it."""
    cause = _os_error(error)
    if isinstance(cause, PermissionError):
        return EngineUnavailable(
            f"no permission to use Docker at {host}", hint="add yourself to the `docker` group, then log in again"
        )
    found = (cause.strerror if cause is not None else None) or str(error)
    return EngineUnavailable(
        f"cannot reach Docker at {host}: {found}",
        hint="start Docker, or set DOCKER_HOST (or DOCKER_CONTEXT) to the engine to use",
    )


def _never_sent(error: BaseException) -> bool:
    """Did the connection itself fail, so that the engine has seen nothing of the request?"""
    cause = _os_error(error)
    if isinstance(cause, FileNotFoundError | PermissionError | ConnectionRefusedError):
        return True
    inner = error.args[0] if error.args else None
    return isinstance(inner, MaxRetryError) and not isinstance(inner.reason, ProtocolError)


def _os_error(error: BaseException) -> OSError | None:
    """The system's own error under the library's layers, which keep it in `args`, `__cause__` or `__context__`."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        item = pending.pop(0)
        if not isinstance(item, BaseException) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, OSError) and item.errno and not isinstance(item, requests.RequestException):
            return item
        pending += [*item.args, item.__cause__, item.__context__]
    return None


def _reason(response: requests.Response) -> str:
    """The engine's own words: `{"message": …}`, or whatever stands there instead."""
    text = response.content.decode(errors="replace").strip()
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:300] or f"HTTP {response.status_code}"

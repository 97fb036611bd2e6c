"""HTTP to the running service over its unix sockets: its gateway's and that of its admin API. Standard library only."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnctl.errors import DeadlineExceeded, FnctlError, ProtocolError

MAX_SOCKET_PATH = 107  # bytes: sun_path of unix(7), less its end mark
ADMIN_TIMEOUT_S = 5.0
CHUNK = 64 << 10


class NotListening(FnctlError):
    """Nobody answers at the socket: no service runs, or it was killed and left the socket behind."""

    code = "not_running"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with _reachable(self._path) as address:
            self.sock.connect(address)


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address of the socket that fits: a long path is reached through an open folder."""
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


@dataclass(frozen=True, slots=True)
class Response:
    """A response whose body is still on its way; read it before the block of `send` ends."""

    status: int
    reason: str
    headers: Mapping[str, str]  # names in lower case
    raw: http.client.HTTPResponse
    asked: str  # "GET /path", for errors

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises as `send` does."""
        while True:
            with _told(self.asked):
                chunk = self.raw.read1(CHUNK)
            if not chunk:
                return
            yield chunk


@contextmanager
def send(
    path: Path,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float | None = None,
) -> Iterator[Response]:
    """One request over the socket at `path`; the connection is closed when the block ends.

    Raises NotListening where nobody answers, DeadlineExceeded where nothing comes for `timeout_s`, and ProtocolError
    where the connection ends before the answer does.
    """
    asked = f"{method} {target}"
    with closing(_UnixConnection(path, timeout_s)) as connection:
        with _told(asked):
            try:
                connection.connect()
            except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
                raise NotListening(f"nobody listens at {path}", hint="`fnctl run` starts the service") from error
            connection.request(method, target, body=body, headers=dict(headers or {}))
            raw = connection.getresponse()
        names = {name.lower(): value for name, value in raw.getheaders()}
        yield Response(raw.status, raw.reason, names, raw, asked)


@contextmanager
def _told(asked: str) -> Iterator[None]:
    """Failures of the connection as ours. Around calls on the connection only, never around the caller's own work."""
    try:
        yield
    except TimeoutError as error:
        raise DeadlineExceeded(f"no response to {asked} in time", hint="wait longer with --timeout") from error
    except (http.client.HTTPException, OSError) as error:
        raise ProtocolError(f"the connection closed before the end of the response to {asked}: {error!r}") from error


def admin(
    path: Path, method: str, target: str, timeout_s: float | None = ADMIN_TIMEOUT_S, told: Any = None
) -> dict[str, Any]:
    """One call to the service's admin API, with `told` as JSON; its JSON answer. Raises what `send` does, and
    FnctlError for a refusal."""
    body = None if told is None else json.dumps(told).encode()
    with send(path, method, target, body=body, timeout_s=timeout_s) as response:
        answered = b"".join(response.chunks())
    try:
        answer = json.loads(answered)
    except ValueError as error:
        said = answered.decode(errors="replace")
        raise ProtocolError(f"fnctl run answered {method} {target} with {response.status}: {said}") from error
    if not isinstance(answer, dict):
        raise ProtocolError(f"fnctl run answered {method} {target} with something that is not an object")
    if response.status >= 300:
        raise _refusal(answer.get("error"), f"fnctl run answered {method} {target} with {response.status}")
    return answer


@contextmanager
def held(path: Path, timeout_s: float) -> Iterator[None]:
    """The services of the running project stand still within (holding.py). Raises as `admin` does."""
    with send(path, "POST", "/v1/hold", timeout_s=timeout_s) as response:
        if response.status >= 300:
            with suppress(ValueError):
                told = json.loads(b"".join(response.chunks()))
                raise _refusal(told.get("error"), f"fnctl run answered {response.asked} with {response.status}")
            raise ProtocolError(f"fnctl run answered {response.asked} with {response.status}: is it of this version?")
        next(response.chunks(), b"")  # which comes when they do
        yield


def _refusal(told: Any, otherwise: str) -> FnctlError:
    """The error that the service told of, as it was raised there."""
    if not isinstance(told, dict):
        return FnctlError(otherwise)
    error = FnctlError(
        str(told.get("message", otherwise)), hint=told.get("hint"), detail=told.get("detail"), code=told.get("code")
    )
    if isinstance(code := told.get("exit"), int):
        error.exit_code = code
    return error

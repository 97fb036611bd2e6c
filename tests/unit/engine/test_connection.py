"""An engine that hangs, refuses, answers nonsense or is not there: which error, and that it is bounded."""

from __future__ import annotations

import gc
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fnctl.engine.connection import Refused, Unanswered, Wire, endpoint
from fnctl.engine.docker import DockerEngine
from fnctl.errors import EngineError, EngineUnavailable
from fnctl.model import SandboxSpec

VERSION = json.dumps({"ApiVersion": "1.41", "Version": "20.10"}).encode()
SHORT_S = 0.2
# Docker's library leaves a socket that could not connect to the collector: it must be told in this test, not the next.
UNCONNECTED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SPEC = SandboxSpec(name="box", image="base", command=("/x",), labels=(), uid=7, mounts=())


class Daemon:
    """Speaks as much HTTP as is needed: agrees on the version, and gives every other request one fixed answer."""

    def __init__(self, path: Path) -> None:
        self.answer: bytes | None = b""  # None: never answers
        self.requests: list[bytes] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # `close` may come at any moment
            while request := connection.recv(65536):
                self.requests.append(request.split(b"\r\n")[0])
                if b" /version" in self.requests[-1]:
                    connection.sendall(reply(200, VERSION))
                elif self.answer is not None:
                    connection.sendall(self.answer)
                    return

    def close(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()


def reply(status: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (status, size, body)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "d.sock")
    yield daemon
    daemon.close()


@pytest.fixture
def wire(daemon: Daemon, tmp_path: Path) -> Iterator[Wire]:
    wire = Wire({"DOCKER_HOST": f"unix://{tmp_path}/d.sock"}, timeout_s=SHORT_S)
    wire.client()
    yield wire
    wire.close()


def test_a_hanging_engine_is_given_up(wire: Wire, daemon: Daemon) -> None:
    daemon.answer = None
    with pytest.raises(Unanswered) as caught:
        wire.call("GET", "/info")

    assert "GET /info" in caught.value.message and "0.2 s" in caught.value.message


def test_a_refusal_carries_the_engines_own_words(wire: Wire, daemon: Daemon) -> None:
    daemon.answer = reply(500, b'{"message": "no space left on device"}')
    with pytest.raises(Refused, match="no space left on device") as caught:
        wire.call("GET", "/info")

    assert caught.value.status == 500


@pytest.mark.parametrize(
    "answer",
    [
        b"",  # closed without a word
        b"\x00\xff garbage\r\n\r\n",
        reply(200, b"<html>"),
        reply(200, b'{"a"', length=99),  # broken off
    ],
)
def test_a_broken_answer_is_no_answer(wire: Wire, daemon: Daemon, answer: bytes) -> None:
    daemon.answer = answer
    with pytest.raises(Unanswered):
        wire.call("GET", "/info")


@UNCONNECTED
def test_nobody_there_is_told_with_a_hint(tmp_path: Path) -> None:
    engine = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    with pytest.raises(EngineUnavailable) as caught:
        engine.facts()

    assert "No such file" in caught.value.message
    assert "DOCKER_HOST" in (caught.value.hint or "")
    del caught
    gc.collect()


@UNCONNECTED
def test_an_engine_that_has_gone_away_is_unavailable(wire: Wire, daemon: Daemon, tmp_path: Path) -> None:
    daemon.close()
    (tmp_path / "d.sock").unlink()
    wire.close()
    with pytest.raises(EngineUnavailable):
        wire.call("GET", "/info")
    gc.collect()


def test_a_sandbox_that_was_refused_is_not_looked_for(wire: Wire, daemon: Daemon, tmp_path: Path) -> None:
    """A conflict names somebody else's container: it must not be removed."""
    engine = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/d.sock"}, timeout_s=SHORT_S)
    daemon.answer = reply(409, b'{"message": "name in use"}')
    with pytest.raises(EngineError, match="name in use"):
        engine.create(SPEC)
    engine.close()

    assert not [request for request in daemon.requests if request.startswith(b"DELETE")]


def test_the_host_variable_is_before_any_context() -> None:
    found = endpoint({"DOCKER_HOST": "tcp://box:2375", "DOCKER_CONTEXT": "other"})

    assert (found.host, found.tls, found.local) == ("tcp://box:2375", None, False)


def test_a_context_is_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docker.context.config import get_context_id

    folder = tmp_path / "contexts" / "meta" / get_context_id("box")
    folder.mkdir(parents=True)
    docker = {"Host": "unix:///box.sock", "SkipTLSVerify": False}
    (folder / "meta.json").write_text(json.dumps({"Name": "box", "Metadata": {}, "Endpoints": {"docker": docker}}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "box"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    assert endpoint({}) == endpoint({"DOCKER_CONTEXT": "box"})
    assert (endpoint({}).host, endpoint({}).context, endpoint({}).local) == ("unix:///box.sock", "box", True)
    assert endpoint({"DOCKER_CONTEXT": "default"}).host == "unix:///var/run/docker.sock"


def test_a_context_that_is_not_there_is_an_error_not_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineUnavailable, match="nowhere"):
        endpoint({"DOCKER_CONTEXT": "nowhere"})

"""Docker behind a line that fails: answers lost, calls that hang, streams cut. Nothing may be left behind."""

from __future__ import annotations

import os
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fnctl.engine.base import LABEL, LABEL_ROLE
from fnctl.engine.docker import DockerEngine
from fnctl.engine.wire import endpoint
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
WAIT_S = 20.0
SHORT_S = 1.0


@dataclass(slots=True)
class Fault:
    """For the next request whose first line holds `needle`: its answer is dropped, or it hangs."""

    needle: bytes
    kind: str  # "drop": passed on, the answer is not; "hang": swallowed
    met: threading.Event = field(default_factory=threading.Event)


class Line:
    """A unix socket that passes everything on to the engine, but for what is programmed."""

    def __init__(self, path: Path, engine: str) -> None:
        self.faults: list[Fault] = []
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self._engine = engine
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(self._engine)
                self.pairs.append((client, engine))
                threading.Thread(target=self._requests, args=(client, engine), daemon=True).start()
                threading.Thread(target=_copy, args=(engine, client), daemon=True).start()

    def _requests(self, client: socket.socket, engine: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                fault = self._fault(data.split(b"\r\n")[0])
                if fault is None:
                    engine.sendall(data)
                    continue
                if fault.kind == "drop":
                    _shut(client, socket.SHUT_WR)  # no answer can pass any more
                    engine.sendall(data + _rest(client))
                fault.met.set()

    def _fault(self, head: bytes) -> Fault | None:
        found = next((fault for fault in self.faults if fault.needle in head), None)
        if found is not None:
            self.faults.remove(found)
        return found

    def cut(self) -> None:
        """Every connection breaks; new ones pass."""
        for pair in tuple(self.pairs):
            for end in pair:
                _shut(end)

    def close(self) -> None:
        _shut(self._listener)
        self._listener.close()
        for pair in self.pairs:
            for end in pair:
                _shut(end)
                end.close()


def _rest(client: socket.socket) -> bytes:
    """What the client had sent of the request after its first piece: the body, in a piece of its own."""
    client.settimeout(0.2)
    parts = []
    with suppress(OSError):
        while data := client.recv(65536):
            parts.append(data)
    return b"".join(parts)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _shut(target, socket.SHUT_WR)


def _shut(end: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with suppress(OSError):
        end.shutdown(how)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "e.sock", endpoint(os.environ).host.removeprefix("unix://"))
    yield line
    line.close()


@pytest.fixture
def engine(line: Line, tmp_path: Path) -> Iterator[DockerEngine]:
    engine = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/e.sock"}, timeout_s=SHORT_S)
    yield engine
    engine.close()


@pytest.fixture
def direct() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def spec(direct: DockerEngine) -> Iterator[SandboxSpec]:
    spec = SandboxSpec(
        name=f"fnctl-test-{secrets.token_hex(4)}",
        image=IMAGE,
        command=("/bin/sleep", "300"),
        labels=((LABEL, "1"), (LABEL_ROLE, "test")),
        uid=61005,
        mounts=(),
    )
    yield spec
    direct.destroy(spec.name)


@pytest.mark.parametrize(("call", "kind"), [("/containers/create", "drop"), ("/start", "drop"), ("/start", "hang")])
def test_a_sandbox_whose_answer_is_lost_is_removed(
    engine: DockerEngine, direct: DockerEngine, line: Line, spec: SandboxSpec, call: str, kind: str
) -> None:
    fault = Fault(call.encode(), kind)
    line.faults.append(fault)
    with pytest.raises(EngineError):
        engine.create(spec)

    assert fault.met.is_set()
    assert direct.inspect(spec.name) is None


def test_a_hanging_call_harms_no_later_one(engine: DockerEngine, line: Line, spec: SandboxSpec) -> None:
    line.faults.append(Fault(b"/containers/create", "hang"))
    with pytest.raises(EngineError, match="within 1 s"):
        engine.create(spec)

    info = engine.inspect(engine.create(spec))
    assert info is not None and info.running


def test_a_cut_event_stream_says_so_and_goes_on(
    engine: DockerEngine, direct: DockerEngine, line: Line, spec: SandboxSpec
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    with closing(engine.events(lambda event: heard.put(event.sandbox), lambda: heard.put("gap"))):
        assert heard.get(timeout=WAIT_S) == "gap"
        line.cut()
        while heard.get(timeout=WAIT_S) != "gap":
            pass

        sandbox = direct.create(spec)
        direct.destroy(sandbox)
        while heard.get(timeout=WAIT_S) != sandbox:
            pass

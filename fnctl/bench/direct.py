"""Requests straight to an instance, with no gateway between: the bench itself plays the host of one sandbox.

It starts a container of the sandbox image as fnctl does in essence (no network, read-only root, no capabilities),
speaks the host's side of layers/PROTOCOL.md to it, and hands out the data connections that the agent dials. For
measuring only: it checks nothing of what a host must check.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fnctl import assets
from fnctl.bench import containers, wire
from fnctl.bench.containers import LABELS, docker
from fnctl.bench.measure import NotMeasured
from fnctl.bench.subject import Subject
from fnctl.bench.wire import Response
from fnctl.model import Function, Model, RuntimeSpec

STEP_S = 30.0
UID = 69_999  # below those of fnctl's own slots
SUPERVISOR, AGENT, DATA, LOG = "supervisor.sock", "agent.sock", "data.sock", "log.sock"


class Direct:
    """One loaded instance whose data connections are ours. Made by `instance`."""

    def __init__(self, supervisor: Control, agent: Control, data: socket.socket) -> None:
        self._supervisor = supervisor  # kept: its end is the sandbox's end
        self._agent = agent
        self._listener = data
        self.connections = [_accepted(data)]

    def more(self, n: int) -> list[socket.socket]:
        """At least `n` open data connections."""
        missing = n - len(self.connections)
        if missing > 0:
            self._agent.send({"op": "dial", "n": missing})
            self.connections += [_accepted(self._listener) for _ in range(missing)]
        return self.connections[:n]

    def call(self, request: bytes) -> Response:
        return wire.exchange(self.connections[0], request)


class Control:
    """A control connection: a line of JSON each way."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("rb")

    def send(self, message: dict[str, Any]) -> None:
        self._sock.sendall(json.dumps(message).encode() + b"\n")

    def expect(self, op: str) -> dict[str, Any]:
        """The next message, which has to be this. NotMeasured with what it was instead."""
        line = self._lines.readline()
        message: dict[str, Any] = json.loads(line) if line else {"op": "end of file"}
        if message["op"] != op:
            raise NotMeasured(f"the sandbox said {message} where {op} was expected")
        return message


@contextmanager
def instance(subject: Subject) -> Iterator[Direct]:
    """An instance of the subject, loaded; its container is gone afterwards. NotMeasured where it does not come up."""
    if subject.function.model is not Model.RESIDENT:
        raise NotMeasured("an ephemeral instance answers one request: there is no connection to keep")
    name = f"fnctl-bench-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        # a short path: the address of a unix socket is at most 107 bytes
        slot = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fnctl-")))
        slot.chmod(0o755)
        shutil.copytree(subject.bundle, slot / "app", symlinks=True)
        sockets = {file: stack.enter_context(_listener(slot / file)) for file in (SUPERVISOR, AGENT, DATA, LOG)}
        stack.callback(containers.remove, name)
        _start(name, subject.image, subject.supervisor, slot)
        try:
            yield _loaded(subject, sockets)
        except (TimeoutError, OSError) as failed:
            raise NotMeasured(f"the instance for direct requests did not come up: {failed}") from failed


def _start(name: str, image: str, command: Sequence[str], slot: Path) -> None:
    docker(
        *("run", "-d", "--name", name, *LABELS, "--network", "none", "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--user", f"{UID}:{UID}", "--log-driver", "none"),
        *("--tmpfs", f"/tmp:uid={UID},mode=700", "-v", f"{slot}:/fn:ro"),
        *("--entrypoint", command[0], image, *command[1:]),
    )


def _loaded(subject: Subject, sockets: dict[str, socket.socket]) -> Direct:
    spec = assets.runtimes()[subject.function.runtime]
    supervisor = Control(_accepted(sockets[SUPERVISOR]))
    supervisor.expect("hello")
    supervisor.send({"op": "boot", "argv": list(spec.agent), "env": dict(spec.environment)})
    supervisor.expect("started")
    agent = Control(_accepted(sockets[AGENT]))
    agent.expect("hello")
    agent.send(_load(subject.function, spec))
    agent.expect("loaded")
    return Direct(supervisor, agent, sockets[DATA])


def _load(function: Function, spec: RuntimeSpec) -> dict[str, Any]:
    return {
        "op": "load",
        "function": function.name,
        "version": "bench",
        "handler": function.handler,
        "root": "/fn/app",
        "model": str(function.model),
        "env": dict(function.environment),
        "concurrency": function.concurrency,
        "timeout_ms": int(function.timeout_s * 1000),
        "memory_mb": function.memory_mb,
        "port": 3000,
    }


@contextmanager
def _listener(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(path))
        path.chmod(0o666)
        sock.listen(128)
        sock.settimeout(STEP_S)
        yield sock


def _accepted(listener: socket.socket) -> socket.socket:
    sock, _ = listener.accept()
    sock.settimeout(STEP_S)
    return sock

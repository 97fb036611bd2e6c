"""Requests straight to an instance, with no gateway between: the bench itself plays the host of one sandbox.

It starts a container of the sandbox image as fnctl does in essence (no network, read-only root, no capabilities),
speaks the host's side of layers/PROTOCOL.md to it, and hands out the data connections that the agent dials. For
measuring only: it checks nothing of what a host must check.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fnctl import catalog
from fnctl.bench import calls, containers
from fnctl.bench.calls import Response
from fnctl.bench.containers import LABELS, docker
from fnctl.bench.measure import NotMeasured
from fnctl.bench.subject import Subject
from fnctl.errors import ProtocolError
from fnctl.model import Model
from fnctl.protocol import messages
from fnctl.protocol.blocking import Channel, accepted, listen

STEP_S = 30.0
UID = 69_999  # below those of fnctl's own slots
PORT = 3000  # that a program which listens is given
SUPERVISOR, AGENT, DATA, LOG = "supervisor.sock", "agent.sock", "data.sock", "log.sock"


class Direct:
    """One loaded instance whose data connections are ours. Made by `instance`."""

    def __init__(self, supervisor: Channel, agent: Channel, data: socket.socket) -> None:
        self._supervisor = supervisor  # kept: its end is the sandbox's end
        self._agent = agent
        self._listener = data
        self.connections = [accepted(data)]

    def more(self, n: int) -> list[socket.socket]:
        """At least `n` open data connections."""
        missing = n - len(self.connections)
        if missing > 0:
            self._agent.send(messages.dial(missing))
            self.connections += [accepted(self._listener) for _ in range(missing)]
        return self.connections[:n]

    def call(self, request: bytes) -> Response:
        return calls.exchange(self.connections[0], request)


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
        sockets = {file: stack.enter_context(listen(slot / file, STEP_S)) for file in (SUPERVISOR, AGENT, DATA, LOG)}
        stack.callback(containers.remove, name)
        _start(name, subject.image, subject.supervisor, slot)
        try:
            yield _loaded(subject, sockets)
        except (ProtocolError, OSError) as failed:
            raise NotMeasured(f"the instance for direct requests did not come up: {failed}") from failed


def _start(name: str, image: str, command: Sequence[str], slot: Path) -> None:
    docker(
        *("run", "-d", "--name", name, *LABELS, "--network", "none", "--read-only", "--cap-drop", "ALL"),
        *("--security-opt", "no-new-privileges", "--user", f"{UID}:{UID}", "--log-driver", "none"),
        *("--tmpfs", f"/tmp:uid={UID},mode=700", "-v", f"{slot}:/fn:ro"),
        *("--entrypoint", command[0], image, *command[1:]),
    )


def _loaded(subject: Subject, sockets: dict[str, socket.socket]) -> Direct:
    spec = catalog.runtimes()[subject.function.runtime]
    supervisor = Channel(accepted(sockets[SUPERVISOR]))
    supervisor.expect("hello")
    supervisor.send(messages.boot(spec.agent, dict(spec.environment)))
    supervisor.expect("started")
    agent = Channel(accepted(sockets[AGENT]))
    agent.expect("hello")
    function = subject.function
    agent.send(messages.load(function, "bench", dict(function.environment), PORT))
    agent.expect("loaded")
    return Direct(supervisor, agent, sockets[DATA])

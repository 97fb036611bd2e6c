"""The host's side of layers/PROTOCOL.md, blocking and simple, for the tests of what runs inside a sandbox."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_ROLE
from fnctl.errors import ProtocolError
from fnctl.model import Function, RuntimeSpec, SandboxSpec
from fnctl.protocol import messages
from fnctl.protocol.blocking import Channel, accepted, listen
from fnctl.protocol.messages import Message
from tests.contract.agents.shared_host import Asking, SharedHost
from tests.support.printing import printing_to

UID = 70_900
WAIT_S = 45.0  # for anything that must come, on a machine however busy; nothing here waits for time to pass
SUPERVISOR = ("/usr/bin/perl", "/opt/fnctl/supervisor.pl")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Logs:
    """Everything that was printed to the pipes that came over log connections, as (invocation or None, line)."""

    def __init__(self) -> None:
        self._lines: list[tuple[str | None, str]] = []
        self._changed = threading.Condition()
        self._paused = False

    def pause(self) -> None:
        """Take the pipes, but read no more."""
        self._paused = True

    @property
    def is_paused(self) -> bool:
        return self._paused

    def read(self, sock: socket.socket) -> None:
        with sock:
            _, ends, *_ = socket.recv_fds(sock, 1, 1)
        if not ends:  # who was to print was killed before it sent its pipe
            return
        with os.fdopen(ends[0], "rb") as stream:
            if self._paused:
                threading.Event().wait()
            for raw in stream:
                line = raw.decode("utf-8", "replace").rstrip("\n")
                mark, found, text = line.partition("\x1f")
                entry = (mark[1:], text) if found and mark.startswith("\x1e") else (None, line)
                with self._changed:
                    self._lines.append(entry)
                    self._changed.notify_all()

    def wait_for(self, text: str) -> tuple[str | None, str]:
        """The first entry whose line holds `text`, once it is there."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._find(text), WAIT_S)
        assert found, f"no log line with {text!r}, but: {self._lines}"
        return found

    def _find(self, text: str) -> tuple[str | None, str] | None:
        return next((entry for entry in self._lines if text in entry[1]), None)

    @property
    def lines(self) -> list[tuple[str | None, str]]:
        with self._changed:
            return list(self._lines)


class Supervisor(Channel):
    """Knows whether an agent runs, as far as it was listened to."""

    runs = False

    def receive(self) -> Message | None:
        message = super().receive()
        if message is not None and message["op"] in ("started", "exited"):
            self.runs = message["op"] == "started"
        return message


class SandboxHost:
    """One slot and the sandbox on it."""

    def __init__(self, engine: DockerEngine, image: str, runtime: RuntimeSpec) -> None:
        self._engine = engine
        self._image = image
        self.runtime = runtime
        self.folder = Path(tempfile.mkdtemp(prefix="fnctl-"))  # short: the path of a unix socket is bounded
        self.folder.chmod(0o755)
        self.sandbox = ""
        self.logs = Logs()
        self._listeners = {
            name: listen(self.folder / f"{name}.sock", WAIT_S) for name in ("supervisor", "agent", "data")
        }
        self._log = listen(self.folder / "log.sock", WAIT_S)
        self._log.settimeout(None)  # may never come
        self._log_thread = threading.Thread(target=self._accept_logs, daemon=True)
        self._log_thread.start()
        self.supervisor: Supervisor = None  # type: ignore[assignment]  # from start()
        self.agent: Channel = None  # type: ignore[assignment]  # from boot()
        self._connection: socket.socket | None = None
        self.shared: SharedHost | None = None
        self.offers = False  # a shared connection, to agents that serve on one
        self._accepted: list[socket.socket] = []

    def _accept_logs(self) -> None:
        while True:
            try:
                sock, _ = self._log.accept()
            except OSError:
                return
            threading.Thread(target=self.logs.read, args=(sock,), daemon=True).start()

    def start(self) -> SandboxHost:
        spec = SandboxSpec(
            name=f"fnctl-test-{uuid.uuid4().hex[:12]}",
            image=self._image,
            command=SUPERVISOR,
            labels=((LABEL, "1"), (LABEL_ROLE, "sandbox")),
            uid=UID,
            mounts=((str(self.folder), "/fn", True),),
        )
        self.sandbox = self._engine.create(spec)
        self.supervisor = Supervisor(accepted(self._listeners["supervisor"]))
        self.supervisor.expect("hello")
        return self

    def place(self, files: Mapping[str, str], extra: Path | None = None) -> None:
        """Make `app` of these files, and of links to what is in `extra`, as fnctl itself does."""
        app = self.folder / "app"
        shutil.rmtree(app, ignore_errors=True)
        if extra:
            shutil.copytree(extra, app, symlinks=True, copy_function=os.link)
        for name, text in files.items():
            path = app / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # never write into what is linked
            path.write_text(text)

    def boot(self, *, template: bool = False) -> Message:
        """`template`: one that may be forked for each invocation, where the runtime starts it in another way."""
        argv = self.runtime.template if template else self.runtime.agent
        environment = {**dict(self.runtime.environment), "FNCTL_PRELOAD": "0" if template else "1"}
        self.supervisor.send(messages.boot(argv, environment))
        self.supervisor.expect("started")
        if self.agent:
            self.agent.close()
        self.agent = Channel(accepted(self._listeners["agent"]))
        return self.agent.expect("hello")

    def reboot(self, files: Mapping[str, str], extra: Path | None = None) -> None:
        """Another agent in the same sandbox, for other code: a tenth of what another sandbox costs."""
        if self.agent:
            self.supervisor.send(
                messages.kill()
            )  # of one that has ended by itself there is no answer, but that it ended
            self.supervisor.expect("exited")
            self._turn_away()
        self.logs = Logs()
        self.place(files, extra)
        self.boot()

    def clear(self) -> None:
        """As it was before its first agent, for a test of other code. Raises where it cannot be made so."""
        if self.supervisor.runs:
            self.supervisor.send(messages.kill())
        while self.supervisor.runs:
            if self.supervisor.receive() is None:
                raise ProtocolError("the sandbox has ended")
        if self.agent:
            self.agent.close()
        self.agent = None  # type: ignore[assignment]  # from boot()
        if self.shared:
            self.shared.close()
        self._connection = self.shared = None
        while self._accepted:
            self._accepted.pop().close()
        self._turn_away()
        self._end_logs()
        for left in ("app", "ahead"):
            shutil.rmtree(self.folder / left, ignore_errors=True)

    def _end_logs(self) -> None:
        """What was printed by now is in the logs so far, not in those to come: connections are taken in their order."""
        if self.logs.is_paused:
            raise ProtocolError("nobody reads its logs")
        with os.fdopen(printing_to(self.folder / "log.sock"), "wb") as last:
            last.write(b"the end of these logs\n")
        self.logs.wait_for("the end of these logs")
        self.logs = Logs()

    def _turn_away(self) -> None:
        """Connections that the last agent dialled and nobody took."""
        for role in ("data", "agent"):
            listener = self._listeners[role]
            listener.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
            listener.settimeout(WAIT_S)

    def send_load(self, handler: str, **fields: Any) -> None:
        function = Function("tested", Path("/"), self.runtime.name, handler, concurrency=8)
        message = messages.load(
            function, "0123456789ab", {"GREETING": "hëllo"}, port=3000, share=self.offers and "once" not in fields
        )
        self.agent.send({**message, **fields})

    def load(self, handler: str, **fields: Any) -> Message:
        self.send_load(handler, **fields)
        loaded = self.agent.receive()
        while loaded is not None and loaded["op"] == "waiting":
            loaded = self.agent.receive()
        assert loaded is not None and loaded["op"] == "loaded", loaded
        self.shared = SharedHost(self.accept_data()) if loaded.get("shares") else None
        self._connection = self.accept_data()
        return loaded

    def accept_data(self) -> socket.socket:
        sock = accepted(self._listeners["data"])
        self._accepted.append(sock)
        return sock

    def dial(self, count: int) -> list[socket.socket]:
        self.agent.send(messages.dial(count))
        return [self.accept_data() for _ in range(count)]

    @property
    def connection(self) -> socket.socket:
        """The connection that the agent dialled by itself."""
        assert self._connection is not None, "nothing is loaded"
        return self._connection

    def next_connection(self) -> None:
        """Take the connection that a forking agent dialled for its next invocation."""
        self._connection = self.accept_data()

    def request(
        self,
        method: str = "GET",
        path: str = "/",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        on: socket.socket | None = None,
        invocation: str | None = None,
    ) -> Answer:
        response = self.open(method, path, body, headers, on=on, invocation=invocation)
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def open(
        self,
        method: str = "GET",
        path: str = "/",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        on: socket.socket | None = None,
        invocation: str | None = None,
    ) -> http.client.HTTPResponse:
        """Send a request and read the head of its response; the body is the caller's to read."""
        client = http.client.HTTPConnection("function.localhost")
        client.sock = on or (Asking(self.shared, self.connection) if self.shared else self.connection)
        client.auto_open = 0
        marked = {"X-Fnctl-Invocation-Id": invocation or uuid.uuid4().hex[:26], **(headers or {})}
        client.request(method, path, body=body, headers=marked, encode_chunked=hasattr(body, "__next__"))
        return client.getresponse()

    def stop(self) -> None:
        for channel in (self.supervisor, self.agent):
            if channel:
                channel.close()
        for listener in (*self._listeners.values(), self._log):
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in self._accepted:
            sock.close()
        if self.sandbox:
            self._engine.destroy(self.sandbox)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running(engine: DockerEngine, image: str, runtime: RuntimeSpec) -> Iterator[SandboxHost]:
    host = SandboxHost(engine, image, runtime)
    try:
        yield host.start()
    finally:
        host.stop()


class Sandboxes:
    """Sandboxes for one test after another: another agent in one costs a tenth of what another sandbox does."""

    def __init__(self, engine: DockerEngine, image: str) -> None:
        self._engine = engine
        self._image = image
        self._free: list[SandboxHost] = []

    @contextlib.contextmanager
    def one(self, runtime: RuntimeSpec) -> Iterator[SandboxHost]:
        """One that nobody uses, without an agent. It is used again, where it has not ended by then."""
        host = self._free.pop() if self._free else self._new(runtime)
        host.runtime = runtime
        yield host
        try:
            host.clear()
        except (OSError, ProtocolError, AssertionError):
            host.stop()
        else:
            self._free.append(host)

    def _new(self, runtime: RuntimeSpec) -> SandboxHost:
        host = SandboxHost(self._engine, self._image, runtime)
        try:
            return host.start()
        except BaseException:
            host.stop()
            raise

    def stop(self) -> None:
        for host in self._free:
            host.stop()

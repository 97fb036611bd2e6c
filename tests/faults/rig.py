"""A running fnctl to do harm to: started as its user starts it, called over HTTP, looked at from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.utils import kwargs_from_env

from fnctl.records.reader import read
from tests.support import homes
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "tests" / "fixtures" / "functions"
API = "1.41"  # of the engine; every one that fnctl runs on has it
UP_S = 600.0  # images and dependencies may have to be made


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The gateway's own error: code, message, the invocation's id."""
        told: dict[str, Any] = self.json["error"]
        return told

    @property
    def id(self) -> str:
        return self.headers["X-Fnctl-Invocation-Id"] or ""


class _Unix(http.client.HTTPConnection):
    """HTTP to a socket in a folder that may have a long name."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        folder = os.open(self._path.parent, os.O_PATH)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(30)
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        finally:
            os.close(folder)


def labelled(label: str, host: str | None = None) -> dict[str, str]:
    """The containers that an engine has with this label: short id → role, whether they run or not.

    Asked again and again by whoever waits, and so over the API: a `docker` command takes ten times as long.
    """
    at = {"base_url": host} if host else kwargs_from_env()
    with contextlib.closing(APIClient(version=API, timeout=30, **at)) as engine:
        found = engine.containers(all=True, filters={"label": [label]})
        return {each["Id"][:12]: each["Labels"].get("dev.fnctl.role", "") for each in found}


@dataclass(slots=True)
class Desk:
    """A user at a shell: a project's folder, and fnctl with a home of its own."""

    project: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str) -> dict[str, Any]:
        return {
            "args": [sys.executable, "-P", "-m", "fnctl.cli.main", *words],
            "cwd": self.project,
            "env": {**os.environ, "FNCTL_HOME": str(self.home), "PYTHONPATH": str(ROOT), **self.environment},
            "stdin": subprocess.DEVNULL,
            "text": True,
        }

    def fnctl(self, *words: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself; its exit code is the caller's to judge."""
        return subprocess.run(**self.command(*words), capture_output=True, timeout=timeout_s)

    @property
    def state(self) -> Path:
        """The folder of the project's state, once there is one: of the home's only one, or of this folder."""
        there = list((self.home / "projects").iterdir())
        if len(there) > 1:
            records = {each: json.loads((each / "project.json").read_text()) for each in there}
            there = [each for each, said in records.items() if said["folder"] == str(self.project)]
        (found,) = there
        return found

    def containers(self) -> dict[str, str]:
        """What the engine has of this home's one project: short id → role, whether it runs or not."""
        if not (self.home / "id").exists():
            return {}
        ours = f"dev.fnctl.home={(self.home / 'id').read_text()}"
        return labelled(ours, self.environment.get("DOCKER_HOST"))

    def lines(self, function: str) -> list[dict[str, Any]]:
        """What the log store has of a function, in order."""
        return list(read(self.state / "logs", function))

    def nothing_left(self) -> None:
        """No container and no slot; logs and bundles stay."""
        until(lambda: not self.containers(), "no container to be left")
        left = [str(path) for path in (self.state / "slots").rglob("*")]
        assert not left, left


@dataclass(slots=True)
class Running:
    """A `fnctl run` in the foreground, and the audit of what was asked of it."""

    desk: Desk
    process: subprocess.Popen[str]
    said: Path  # its stderr
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # (function, invocation id), not audited yet

    def wait_up(self) -> Running:
        def serves() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"fnctl run ended with {self.process.returncode}:\n{self.said.read_text()}")
            with contextlib.suppress(OSError, ValueError):
                self.port = self.status()["port"]
            return self.port != 0

        until(serves, "fnctl run to serve", UP_S)
        return self

    def status(self) -> dict[str, Any]:
        return dict(self._admin("GET", "/v1/status"))

    def reap(self, function: str) -> None:
        self._admin("POST", f"/v1/reap?function={function}")

    def _admin(self, method: str, target: str) -> Any:
        with contextlib.closing(_Unix(self.desk.state / "admin.sock")) as connection:
            connection.request(method, target)
            return json.loads(connection.getresponse().read())

    def instances(self, function: str | None) -> list[dict[str, Any]]:
        return [row for row in self.status()["instances"] if row["function"] == function]

    def call(
        self,
        function: str,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60,
    ) -> Answer:
        """One request on a connection of its own. What the gateway counted is audited later."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        with contextlib.closing(connection):
            connection.request(method, f"/{function}{path}", body, dict(headers or {}))
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        if answer.id:
            self.asked.append((function, answer.id))
        return answer

    def balanced(self) -> bool:
        """Nothing runs, and the engine's containers are those of the registry, with the services beside them."""
        status = self.status()
        known = {row["sandbox"] for row in status["instances"]}
        there = {name for name, role in self.desk.containers().items() if role == "sandbox"}
        return status["in_flight"] == 0 and known == there and self.pool_full(status)

    @staticmethod
    def pool_full(status: Mapping[str, Any]) -> bool:
        pool = status["pool"]
        return bool(pool["base"] + pool["runtime"] == pool["target"])

    def audit(self) -> None:
        """The oracle: nothing in flight, containers == registry, the pool full, one receipt an invocation."""
        until(self.balanced, f"containers and registry to agree; {self.status()}, {self.desk.containers()}")
        asked, self.asked = self.asked, []
        for function in {name for name, _ in asked}:
            ids = sorted(invocation for name, invocation in asked if name == function)

            def receipts(function: str = function, ids: list[str] = ids) -> bool:
                lines = self.desk.lines(function)
                return sorted(row["id"] for row in lines if row["kind"] == "receipt" and row["id"] in set(ids)) == ids

            until(receipts, f"one receipt for each of {len(ids)} invocations of {function}")

    def stop(self) -> None:
        """As its user does; afterwards nothing may be left."""
        ended = self.desk.fnctl("stop")
        assert ended.returncode == 0, ended.stderr
        assert self.process.wait(30) == 0, self.said.read_text()
        self.desk.nothing_left()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextlib.contextmanager
def desk(source: Path = FUNCTIONS, *, apart: bool = False, **environment: str) -> Iterator[Desk]:
    """A copy of a project and a home, both gone afterwards. Short names: paths of sockets are bounded.

    The home has what other tests installed, unless it is to be `apart`.
    """
    with tempfile.TemporaryDirectory(prefix="fnctl-") as folder:
        project = Path(folder) / "project"
        shutil.copytree(source, project)
        home = Path(folder) / "home"
        made = Desk(project, home if apart else homes.made(home), environment)
        try:
            yield made
        finally:
            for slots in made.home.glob("projects/*/slots"):  # what a killed run has left outside of its home
                shutil.rmtree(slots.resolve(), ignore_errors=True)


@contextlib.contextmanager
def starting(at: Desk, *words: str, warm: int = 3, **environment: str) -> Iterator[Running]:
    """`fnctl run` on any free port, not awaited. Whatever the test did, it is gone afterwards."""
    said = at.project.parent / "said"
    command = at.command("run", "--port", "0", "--warm", str(warm), *words)
    command["env"] |= environment  # of this process alone: the desk looks at the engine from outside
    with said.open("w") as out:
        process = subprocess.Popen(**command, stdout=out, stderr=out)
    try:
        yield Running(at, process, said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()


@contextlib.contextmanager
def running(at: Desk, *words: str, warm: int = 3, **environment: str) -> Iterator[Running]:
    """The same, serving. How it ends is the test's to say."""
    with starting(at, *words, warm=warm, **environment) as started:
        yield started.wait_up()

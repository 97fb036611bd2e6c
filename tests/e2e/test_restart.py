"""A running service is replaced, in place or by systemd, while clients call it: none is refused, or sees an error."""

from __future__ import annotations

import contextlib
import http.client
import json
import shlex
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.faults.rig import Desk, Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  quick: {path: node, runtime: node24, handler: harmless.handler}
"""
CLIENTS = 4  # of each kind


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with rig.desk() as made:
        (made.project / "fnctl.yaml").write_text(PROJECT)
        yield made


class Load:
    """Clients that call until told to stop: half on a new connection for each call, half on one that they keep."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self.seen: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._call, args=(keeps,)) for keeps in (True, False) for _ in range(CLIENTS)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def more(self) -> None:
        """Wait until every kind has been served many times more."""
        kept, fresh = self.seen["kept 200"], self.seen["fresh 200"]
        until(lambda: self.seen["kept 200"] > kept + 50 and self.seen["fresh 200"] > fresh + 50, f"calls: {self.seen}")

    def _call(self, keeps: bool) -> None:
        kind = "kept" if keeps else "fresh"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._ended.is_set():
            try:
                connection.request("GET", "/quick/?ms=5")  # connects where it has to
                response = connection.getresponse()
                response.read()
                self.seen[f"{kind} {response.status}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.seen[f"{kind} {error!r}"] += 1
                connection.close()
            if not keeps:
                connection.close()
        connection.close()


def test_it_is_restarted_in_place_and_no_client_is_refused(desk: Desk) -> None:
    with rig.running(desk, warm=1) as running:
        accepted = desk.fnctl("invoke", "quick", "--async", "--delay", "1h").stdout.strip()
        before = running.status()
        with Load(running.port) as load:
            (desk.project / "fnctl.yaml").write_text("functions: none")
            refused = desk.fnctl("restart")
            assert refused.returncode == 1 and "the service runs on as before" in refused.stderr, refused.stderr
            assert "fnctl.yaml:1" in refused.stderr, "it says why"
            (desk.project / "fnctl.yaml").write_text(PROJECT)
            done = desk.fnctl("restart", "-o", "json")
            assert done.returncode == 0, done.stderr + running.said.read_text()
            load.more()
        assert set(load.seen) == {"kept 200", "fresh 200"}, load.seen
        now = running.status()
        assert (now["pid"], now["port"], now["version"]) == (before["pid"], before["port"], before["version"])
        assert now["started"] > before["started"] and json.loads(done.stdout)["pid"] == now["pid"]
        assert json.loads(desk.fnctl("queue", "show", accepted).stdout)["state"] == "waiting"
        second = desk.fnctl("run")
        assert second.returncode == 1 and "already running" in second.stderr, "the lock has gone over"
        running.asked.clear()
        running.audit()
        running.stop()


@contextlib.contextmanager
def started_with(desk: Desk, listener: socket.socket, *words: str) -> Iterator[Running]:
    """`fnctl run`, with this socket as systemd gives it: descriptor 3, named in the environment."""
    said = desk.project.parent / "said"
    command = desk.command("run", "--warm", "1", *words)
    number = listener.fileno()
    line = f"exec 3<&{number} {number}<&-; LISTEN_FDS=1 LISTEN_PID=$$ exec {shlex.join(command['args'])}"
    command["args"] = ["bash", "-c", line]
    with said.open("w") as out:
        process = subprocess.Popen(**command, stdout=out, stderr=out, pass_fds=(number,))
    try:
        yield Running(desk, process, said)
    finally:
        process.kill()
        process.wait()


def test_systemd_keeps_the_socket_while_the_service_is_stopped_and_started(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, contextlib.ExitStack() as services:
        port = listener.getsockname()[1]
        first = services.enter_context(started_with(desk, listener, "--port", "1")).wait_up()
        assert first.port == port
        assert f"socket that systemd has opened, 127.0.0.1:{port}" in first.said.read_text()
        with Load(port) as load:
            first.signal(signal.SIGTERM)
            assert first.process.wait(60) == 0, first.said.read_text()
            second = services.enter_context(started_with(desk, listener)).wait_up()
            load.more()
            done = desk.fnctl("restart")
            assert done.returncode == 0, done.stderr
            load.more()
        assert set(load.seen) == {"kept 200", "fresh 200"}, load.seen
        second.stop()


def test_a_socket_that_cannot_be_listened_on_is_refused(desk: Desk) -> None:
    with socket.socket() as unbound, started_with(desk, unbound) as running:
        assert running.process.wait(60) == 2
        assert "is not a listening TCP socket" in running.said.read_text()

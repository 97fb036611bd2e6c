"""The verbs that speak to a running service, against one that answers over the real sockets and holds the real lock."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fnctl import config
from fnctl.cli.main import main
from fnctl.control import client
from fnctl.control.holder import holder
from fnctl.control.lock import ProjectLock
from fnctl.errors import DeadlineExceeded, ProtocolError
from fnctl.paths import ProjectPaths
from fnctl.records.journal import LogWriter

INSTANCE = {
    "id": "i1", "sandbox": "abc", "function": "todos", "runtime": "node24", "tier": "code", "state": "idle",
    "age_s": 5.0, "idle_s": 1.0, "in_flight": 0, "memory_mb": 41.5, "served": 3,
}  # fmt: skip
STATUS = {
    "pid": 4242, "url": "http://127.0.0.1:8080", "draining": False, "functions": [], "instances": [INSTANCE],
    "pool": {"target": 3, "base": 2, "runtime": 1},
}  # fmt: skip


class Service:
    """Holds a project's lock and answers on its two sockets, until it is told to stop."""

    def __init__(self, paths: ProjectPaths) -> None:
        self.paths = paths
        self.lock = ProjectLock(paths.ensure().lock)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer = (200, b'{"ok":true}')
        self.answered = threading.Event()


@contextmanager
def serving(service: Service, path: Path) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            service.asked.append((self.command, self.path, headers, body))
            status, answer = service.answer
            if self.path == "/v1/status":
                answer = json.dumps(STATUS).encode()
            if self.path.startswith("/v1/stop"):
                status, answer = 202, b'{"stopping": "now"}'
                service.lock.release()
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Server-Timing", "start;desc=warm, queue;dur=0.0, handler;dur=1.2")
            self.send_header("X-Fnctl-Invocation-Id", "01JX")
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = handle_any

        def address_string(self) -> str:
            return "local"

        def log_message(self, format: str, *args: object) -> None: ...

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProjectPaths:
    """An empty project that is the current folder, and a home of its own."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "fnctl.yaml").write_text("functions: {broken: but never read\n")
    monkeypatch.chdir(tmp_path / "app")
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "h"))
    return ProjectPaths.of(config.project_id(tmp_path / "app"))


@pytest.fixture
def service(project: ProjectPaths) -> Iterator[Service]:
    made = Service(project)
    made.lock.acquire()
    with serving(made, project.admin_socket), serving(made, project.gateway_socket):
        yield made
    made.lock.release()


def test_invoke_prints_the_answer_as_it_is_and_the_receipt_apart(
    service: Service, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    service.answer = (200, b"\x00\xffraw")
    assert main(["invoke", "todos", "--path", "/a?b=1", "-d", '{"x":1}', "-H", "X-A: 1"]) == 0
    printed = capfdbinary.readouterr()
    assert printed.out == b"\x00\xffraw"
    assert printed.err.decode() == "200 OK  warm  queue 0.0 ms  handler 1.2 ms  01JX\n"
    ((method, target, headers, body),) = service.asked
    assert (method, target, body) == ("POST", "/todos/a?b=1", b'{"x":1}')
    assert (headers["content-type"], headers["x-a"]) == ("application/json", "1")


@pytest.mark.parametrize(("status", "code"), [(404, 0), (502, 1), (504, 124)])
def test_invoke_ends_as_the_function_did(service: Service, status: int, code: int) -> None:
    service.answer = (status, b"")
    assert main(["invoke", "todos"]) == code


def test_invoke_as_json(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "todos", "-X", "put", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["body"], said["id"]) == (200, '{"ok":true}', "01JX")
    assert said["receipt"] == {"start": "warm", "queue": 0.0, "handler": 1.2}
    assert service.asked[0][0] == "PUT"


def test_a_service_that_hangs_up_is_told_apart_from_none(service: Service) -> None:
    service.answer = (0, b"")
    with pytest.raises(ProtocolError), client.send(service.paths.gateway_socket, "GET", "/x"):
        pass


def test_an_answer_that_stays_away(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        with pytest.raises(DeadlineExceeded), client.send(tmp_path / "s", "GET", "/", timeout_s=0.01):
            pass


def test_a_socket_at_a_long_path_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.chdir(folder)
    made = Service(ProjectPaths(tmp_path / "p"))
    with serving(made, Path("s")), client.send(folder / "s", "GET", "/") as response:
        assert response.status == 200


def test_ps(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ps"]) == 0
    assert "i1        todos     node24   code  idle   5s   1s    0          42 MB   3" in capsys.readouterr().out
    assert main(["ps", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_stop_waits_for_the_lock(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert holder(service.paths.lock) == os.getpid()
    assert main(["stop", "--force"]) == 0
    assert [asked[:2] for asked in service.asked] == [("POST", "/v1/stop?now=1")]
    assert holder(service.paths.lock) is None
    assert f"Stopping fnctl run (pid {os.getpid()}): done, all containers removed" in capsys.readouterr().err


def test_a_stale_pid_is_nobody(project: ProjectPaths, capsys: pytest.CaptureFixture[str]) -> None:
    project.ensure().lock.write_text("1\n")
    assert main(["stop"]) == 0
    assert "this project is not running" in capsys.readouterr().err
    assert main(["ps"]) == 2


def test_logs_are_shown_and_filtered(project: ProjectPaths, capsys: pytest.CaptureFixture[str]) -> None:
    writer = LogWriter(project.ensure().logs)
    writer.line("todos", "i1", "01A", "first")
    writer.line("other", "i2", "01B", "second")
    writer.close()
    assert main(["logs"]) == 0
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "todos 01A first",
        "other 01B second",
    ]
    assert main(["logs", "--id", "01B", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "second"
    assert main(["logs", "gone"]) == 2
    assert "functions with logs: other, todos" in capsys.readouterr().err

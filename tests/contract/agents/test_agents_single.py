"""Shipped images of ephemeral functions, under plain `docker run`: a process a call, and nothing of it after that."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.agents.languages import LANGUAGES, Language
from tests.contract.agents.shipped import CONFINED, standing
from tests.support.command import docker
from tests.support.container import Container
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(90, func_only=True)]

EPHEMERAL = {"model": "ephemeral", "concurrency": 1, "address": "127.0.0.1", "max_duration_ms": 20_000,
             "timeout_ms": 20_000}  # fmt: skip


@pytest.fixture(params=LANGUAGES, ids=str)
def language(request: pytest.FixtureRequest) -> Language:
    return request.param  # type: ignore[no-any-return]


def test_nothing_of_a_call_is_there_in_the_next(language: Language, sandbox_image: str, tmp_path: Path) -> None:
    for name, text in language.files.items():
        (tmp_path / name).write_text(text)
    with standing(
        sandbox_image, tmp_path, language.runtime, "events.residue", options=CONFINED, **EPHEMERAL
    ) as container:
        first, second = (json.loads(container.request("GET", "/")[1]) for _ in range(2))
        assert first == second == {"count": 0, "leaked": None, "tmp": [], "shm": [], "processes": first["processes"],
                                   "abstract": False}  # fmt: skip
        with ThreadPoolExecutor(2) as crowd:  # one after the other, each answered
            seen = [json.loads(body) for _, body in crowd.map(lambda _: container.request("GET", "/"), range(2))]
        assert seen == [first] * 2
        assert container.stop() == 0


PIDS = r"""
import os, sys, time

def handler(event, context):
    path, text = event["path"], str(os.getpid())
    if path == "/hang":
        time.sleep(60)
    if path == "/die":
        os._exit(3)
    if path == "/later":
        os.fork() or os.setsid() or time.sleep(60) or os._exit(0)
    return text
"""


@pytest.fixture(scope="module")
def pids(sandbox_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    folder = tmp_path_factory.mktemp("pids")
    (folder / "main.py").write_text(PIDS)
    fields = EPHEMERAL | {"timeout_ms": 700, "max_duration_ms": 700}
    with standing(sandbox_image, folder, "python3.13", "main.handler", options=CONFINED, **fields) as container:
        container.request("GET", "/")
        yield container


def test_calls_have_processes_of_their_own(pids: Container) -> None:
    with ThreadPoolExecutor(3) as crowd:
        answers = list(crowd.map(lambda _: pids.request("GET", "/"), range(3)))
    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) == 3


def test_a_call_that_takes_too_long_and_one_that_dies_are_answered(pids: Container) -> None:
    status, body = pids.request("GET", "/hang")
    assert (status, json.loads(body)["error"]["code"]) == (504, "timeout")
    status, body = pids.request("GET", "/die")
    assert (status, json.loads(body)["error"]["code"]) == (502, "crash")
    assert pids.request("GET", "/")[0] == 200


def test_what_a_call_starts_ends_with_it_and_the_engines_own_does_not(pids: Container) -> None:
    script = "print 'there'; sleep 30"
    docker("exec", "-d", pids.name, "/usr/bin/perl", "-e", script)

    def running() -> list[str]:
        return [line for line in docker("top", pids.name, "-o", "pid,args").splitlines() if "sleep 30" in line]

    until(running, "the engine's own process to run")
    assert pids.request("GET", "/later")[0] == 200
    assert pids.request("GET", "/")[0] == 200
    until(
        lambda: len(docker("top", pids.name, "-o", "pid").splitlines()) == 4, "only PID 1, the next, and the engine's"
    )
    assert running()


def test_a_client_that_says_nothing_keeps_nobody_waiting(pids: Container) -> None:
    host, _, port = docker("port", pids.name, "9000/tcp").splitlines()[0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as idle:
        idle.sendall(b"GET / HT")
        assert pids.request("GET", "/")[0] == 200
        idle.sendall(b"TP/1.1\r\nHost: x\r\n\r\nGET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: idle.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()


def test_what_is_no_request_is_refused(pids: Container) -> None:
    host, _, port = docker("port", pids.name, "9000/tcp").splitlines()[0].rpartition(":")
    for text, status in ((b"nonsense\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, b"431")):
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(text)
            assert client.recv(65536).startswith(b"HTTP/1.1 " + status)


PROGRAM = """
import http.server, os, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = 0
    def do_POST(self):
        Page.calls += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = b"%d %d %d" % (os.getpid(), Page.calls, len(body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.close_connection = False  # a server that knows no `Connection: close`
    do_GET = do_POST
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Page).serve_forever()
"""


def test_a_command_is_started_for_each_call(sandbox_image: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    command = ["/usr/bin/python3", "main.py", "$PORT"]
    fields = EPHEMERAL | {"contract": "command", "command": command}
    with standing(sandbox_image, tmp_path, "command", "", options=CONFINED, **fields) as container:
        answers = [container.request("POST", "/", b"x" * 300_000)[1].split() for _ in range(2)]
        assert [answer[1:] for answer in answers] == [[b"1", b"300000"]] * 2
        assert answers[0][0] != answers[1][0]
        assert container.stop() == 0


def test_a_function_that_does_not_load_ends_the_container(sandbox_image: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise ValueError('no way')\n")
    with standing(sandbox_image, tmp_path, "python3.13", "main.handler", options=CONFINED, **EPHEMERAL) as container:
        assert container.wait() == 1
        container.says("no way")


def test_a_mount_below_a_folder_that_is_emptied_stays(sandbox_image: str, tmp_path: Path) -> None:
    kept, code = tmp_path / "kept", tmp_path / "code"
    kept.mkdir()
    code.mkdir()
    kept.chmod(0o777)
    (kept / "data").write_text("mine")
    (code / "main.py").write_text("import os\ndef handler(event, context): return sorted(os.listdir('/tmp/kept/x'))\n")
    options = (*CONFINED, "-v", f"{kept}:/tmp/kept/x")
    with standing(sandbox_image, code, "python3.13", "main.handler", options=options, **EPHEMERAL) as container:
        assert [container.request("GET", "/")[1] for _ in range(2)] == [b'["data"]', b'["data"]']
    assert (kept / "data").read_text() == "mine"


SLOW = """
import time
def handler(event, context):
    if event["path"] == "/slow":
        print("begun")
        time.sleep(1)
    return "whole"
"""


def test_a_call_that_runs_as_the_container_stops_is_answered(sandbox_image: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(SLOW)
    with standing(sandbox_image, tmp_path, "python3.13", "main.handler", options=CONFINED, **EPHEMERAL) as container:
        host, _, port = docker("port", container.name, "9000/tcp").splitlines()[0].rpartition(":")
        container.request("GET", "/")
        with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as client, ThreadPoolExecutor(1) as aside:
            client.request("GET", "/slow")
            container.says("begun")
            stopped = aside.submit(container.stop)
            assert client.getresponse().read() == b"whole"
            assert stopped.result() == 0

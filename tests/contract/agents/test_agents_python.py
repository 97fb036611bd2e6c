"""What the Python agent does beside what every agent does: callables, bare WSGI, the user's own packages, log lines."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from tests.contract.agents.conftest import Start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "python3.13"
PLAIN = "def app(environ, start):\n    start('200 OK', [])\n    return [b'plain ' + environ['PATH_INFO'].encode()]\n"


def test_the_users_packages_win_over_the_agents(start: Start, python_packages: Path) -> None:
    code = """
import sys
before = sorted(n.partition(".")[0] for n in sys.modules
                if "/opt/fnctl" in str(getattr(sys.modules[n], "__file__", "")) and not n.startswith("fnctl_agent"))
import click, h11, httptools, uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from importlib.metadata import version

def handler(event):
    modules = {"h11": h11, "httptools": httptools, "uvicorn": uvicorn, "click": click}
    return {"before": before, "versions": {n: version(n) for n in modules}, "path": sys.path,
            "files": [m.__file__ for m in modules.values()]}
"""
    host = start(RUNTIME, {"f.py": code}, extra=python_packages)
    host.load("f.handler")
    seen = host.request().json
    assert seen["before"] == []
    assert seen["versions"]["h11"].startswith("0.14.")
    assert seen["versions"]["httptools"].startswith("0.6.")
    assert all(file.startswith("/fn/app/.fnctl/site-packages/") for file in seen["files"])
    assert seen["path"][0] == "/fn/app"
    assert not [entry for entry in seen["path"] if "/opt/fnctl" in entry or "dist-packages" in entry]


KINDS = {
    "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'wsgi']\n": b"wsgi",
    "class App:\n    def __call__(self, environ, start_response):\n"
    "        start_response('200 OK', [])\n        return [b'instance']\napp = App()\n": b"instance",
    "class App:\n    async def __call__(self, scope, receive, send):\n        assert scope['type'] == 'http'\n"
    "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
    "        await send({'type': 'http.response.body', 'body': b'asgi'})\napp = App()\n": b"asgi",
    "def app(event):\n    return 'one'\n": b"one",
    "def app():\n    return 'none'\n": b"none",
    "class App:\n    def run(self, event, context):\n        return context.function\napp = App().run\n": b"tested",
    "import functools\ndef f(a, event, context):\n    return a\napp = functools.partial(f, 'partial')\n": b"partial",
    "async def app(event, context):\n    return 'async'\n": b"async",
}


@pytest.mark.parametrize("code", KINDS)
def test_what_a_callable_is(start: Start, code: str) -> None:
    host = start(RUNTIME, {"f.py": code})
    host.load("f.app")
    assert host.request().body == KINDS[code]


def test_an_event_handler_that_serves_alone_has_the_main_thread(start: Start) -> None:
    """As on the platforms that it was written for: signals and an event loop can be had there alone."""
    code = """
import asyncio, signal, threading, warnings
warnings.simplefilter("ignore")

def handler(event, context):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    loop = asyncio.get_event_loop()
    return [threading.current_thread() is threading.main_thread(), loop.run_until_complete(asyncio.sleep(0, "ran"))]
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.handler", concurrency=1)
    assert [host.request().json for _ in range(2)] == [[True, "ran"]] * 2


def test_a_factory_is_called(start: Start) -> None:
    host = start(RUNTIME, {"f.py": PLAIN + "def create_app():\n    return app\n"})
    host.load("f.create_app")
    assert host.request(path="/x").body == b"plain /x"


def test_wsgi_iterables_leave_part_by_part(start: Start) -> None:
    code = """
import threading
go = threading.Event()

def app(environ, start):
    if environ["PATH_INFO"] == "/go":
        go.set()
    write = start("200 OK", [("Content-Type", "text/event-stream")])
    if environ["PATH_INFO"] == "/stream":
        def parts():
            yield b"data: 1\\n\\n"
            go.wait(20)
            yield b"data: 2\\n\\n"
        return parts()
    write(b"written, ")
    return [b"returned"]
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.app")
    (other,) = host.dial(1)
    stream = host.open(path="/stream")
    assert stream.readline() == b"data: 1\n"
    assert host.request(path="/go", on=other).body == b"written, returned"
    assert stream.read().endswith(b"data: 2\n\n")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("start('200 OK', [('Content-Length', '1')])\n    return [b'too long']", None),
        ("start('200 OK', [('A', 'b\\r\\nEvil: 1')])\n    return [b'']", 502),
        ("start('99 Odd', [])\n    return [b'']", 502),
        ("return [b'no start']", 502),
        ("start('200 OK', [])\n    return ['text']", 502),
        ("raise SystemExit(3)", 500),
    ],
)
def test_wsgi_apps_that_break_the_rules(start: Start, body: str, status: int | None) -> None:
    host = start(RUNTIME, {"f.py": f"def app(environ, start):\n    {body}\n"})
    host.load("f.app")
    answer = host.request()
    assert "evil" not in answer.headers
    if status is None:
        assert answer.status == 502 or len(answer.body) <= 1
    else:
        assert answer.status == status


def test_expect_continue_is_answered_when_the_body_is_read(start: Start) -> None:
    code = "def app(environ, start):\n    start('200 OK', [])\n    return [environ['wsgi.input'].read()]\n"
    host = start(RUNTIME, {"f.py": code})
    host.load("f.app")
    sock = host.connection
    sock.sendall(b"POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert sock.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    sock.sendall(b"hi")
    assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


def test_threads_mark_their_own_lines(start: Start) -> None:
    code = """
import threading
both = threading.Barrier(2)

def handler(event):
    print(event["path"], end="")
    both.wait(20)
    print(" and more")
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.handler")
    (other,) = host.dial(1)
    thread = threading.Thread(target=lambda: host.request(path="/a", invocation="A" * 26, on=other))
    thread.start()
    host.request(path="/b", invocation="B" * 26)
    thread.join(20)
    assert host.logs.wait_for("/a and more") == ("A" * 26, "/a and more")
    assert host.logs.wait_for("/b and more") == ("B" * 26, "/b and more")


def test_load_errors_name_the_users_line(start: Start) -> None:
    host = start(RUNTIME, {"f.py": "import g\n", "g.py": "\n\nimport nosuchmodule\n"})
    host.send_load("f.handler")
    failed = host.agent.expect("load_failed")
    assert (failed["type"], failed["file"], failed["line"]) == ("ModuleNotFoundError", "g.py", 3)
    assert "/opt/fnctl" not in failed["stack"]
    assert json.dumps(failed)

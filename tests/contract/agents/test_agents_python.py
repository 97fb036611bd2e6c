"""What the Python agent does beside what every agent does: frameworks, ASGI, the user's own packages, the fork."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from conftest import Start
from websockets.sync.client import connect

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "python3.13"

FLASK = """
import os, sys
from flask import Flask, request
app = Flask(__name__)
assert __name__ == "__main__" and sys.modules["__main__"].app is app

@app.post("/")
def index():
    print("in flask")
    return {"ip": request.remote_addr, "got": request.json, "host": request.host, "debug": app.debug}

"""
PLAIN = "def app(environ, start):\n    start('200 OK', [])\n    return [b'plain ' + environ['PATH_INFO'].encode()]\n"

SERVED = {
    "Flask.run": FLASK + "app.run(host='0.0.0.0', port=int(os.environ['PORT']), debug=True)\n",
    "no call": FLASK,
    "run_simple": FLASK + "from werkzeug.serving import run_simple\nrun_simple('::', 1, app, use_reloader=True)\n",
    "waitress": FLASK + "import waitress\nwaitress.serve(app, listen='*:8080')\n",
    "wsgiref": FLASK + "from wsgiref.simple_server import make_server\nmake_server('', 0, app).serve_forever()\n",
}


@pytest.mark.parametrize("how", SERVED)
def test_wsgi_programs(start: Start, python_packages: Path, how: str) -> None:
    host = start(RUNTIME, {"app.py": SERVED[how]}, extra=python_packages)
    assert host.load("app.py")["kind"] == "web"
    answer = host.request("POST", body=b'{"a":1}', headers={"Content-Type": "application/json"}, invocation="I" * 26)
    assert answer.json == {
        "ip": "127.0.0.1",
        "got": {"a": 1},
        "host": "function.localhost",
        "debug": how == "Flask.run",
    }
    expected = None if how == "wsgiref" else "I" * 26  # the standard library's own server parses its requests itself
    assert host.logs.wait_for("in flask") == (expected, "in flask")


FASTAPI = """
import asyncio, contextlib, os
from fastapi import BackgroundTasks, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse

@contextlib.asynccontextmanager
async def lifespan(app):
    print("starting")
    yield {"made": "at start"}
    print("ending")

app = FastAPI(lifespan=lifespan)
go = asyncio.Event()

@app.get("/")
def index(request: Request):  # in a worker thread
    print("in fastapi")
    return {"made": request.state.made, "client": request.client.host}

@app.get("/raises")
async def raises():
    raise TypeError("it broke")

@app.get("/stream")
async def stream():
    async def parts():
        yield b"first\\n"
        await go.wait()
        yield b"second\\n"
    return StreamingResponse(parts())

@app.get("/go")
async def release():
    go.set()

@app.get("/background")
async def background(tasks: BackgroundTasks):
    tasks.add_task(print, "in the background")
    return {}

@app.websocket("/ws")
async def ws(socket: WebSocket):
    await socket.accept()
    print("in the socket")
    await socket.send_text("got " + await socket.receive_text())
    await socket.close()

"""
RUN = {
    "uvicorn.run": "import uvicorn\nif __name__ == '__main__':\n    uvicorn.run(app, port=1, workers=1)\n",
    "uvicorn.run of a name": "import uvicorn\nif __name__ == '__main__':\n    uvicorn.run('app:app')\n",
    "Server.run": "import uvicorn\nuvicorn.Server(uvicorn.Config(app)).run()\n",
    "Server.serve": "import asyncio, uvicorn\nasyncio.run(uvicorn.Server(uvicorn.Config(app)).serve())\n",
    "no call": "",
}


@pytest.mark.parametrize("how", RUN)
def test_asgi_programs(start: Start, python_packages: Path, how: str) -> None:
    host = start(RUNTIME, {"app.py": FASTAPI + RUN[how]}, extra=python_packages)
    assert host.load("app.py")["kind"] == "web"
    host.logs.wait_for("starting")
    for _ in range(2):
        assert host.request(invocation="I" * 26).json == {"made": "at start", "client": "127.0.0.1"}
    assert host.logs.wait_for("in fastapi") == ("I" * 26, "in fastapi")


def test_what_serves_once_is_no_template(start: Start) -> None:
    host = start(RUNTIME, {"f.py": "def handler(event, context):\n    return repr(context)"})
    assert host.load("f.handler", model="ephemeral", once=True)["fork"] is False
    assert host.request().body.decode().startswith("Context(id='")
    assert host.supervisor.expect("exited")["code"] == 0


def test_asgi_in_depth(start: Start, python_packages: Path) -> None:
    host = start(RUNTIME, {"app.py": FASTAPI}, extra=python_packages)
    host.load("app.app")
    first, second, third = host.dial(3)
    raised = host.request(path="/raises", on=first)
    assert raised.status == 500
    host.logs.wait_for("it broke")
    stream = host.open(path="/stream", on=second)
    assert stream.readline() == b"first\n"
    assert host.request(path="/go").status == 200
    assert stream.read() == b"second\n"
    with connect("ws://function.localhost/ws", sock=third) as socket:
        socket.send("one")
        assert socket.recv(timeout=20) == "got one"
    assert host.request().status == 200


def test_a_lifespan_that_fails_is_a_load_error(start: Start) -> None:
    code = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed"})
"""
    host = start(RUNTIME, {"app.py": code})
    host.send_load("app.app")
    assert host.agent.expect("load_failed")["type"] == "StartupFailed"
    assert host.supervisor.expect("exited")["code"] == 1


def test_asgi_bodies_stream_in(start: Start) -> None:
    code = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": b"got " + message["body"], "more_body": more})
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.app")
    sock = host.connection
    sock.sendall(b"POST / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
    got = b""
    while b"got one" not in got:
        got += sock.recv(4096)
    sock.sendall(b"3\r\ntwo\r\n0\r\n\r\n")
    while not got.endswith(b"0\r\n\r\n"):
        got += sock.recv(4096)
    assert b"got two" in got


def test_an_ephemeral_asgi_app_lives_for_one_request(start: Start, python_packages: Path) -> None:
    host = start(RUNTIME, {"app.py": FASTAPI}, extra=python_packages)
    assert host.load("app.app", model="ephemeral")["fork"] is True
    for _ in range(2):
        assert host.request(path="/background").status == 200
        host.logs.wait_for("in the background")
        host.logs.wait_for("ending")
        host.next_connection()
        host.agent.expect("done")


def test_django(start: Start, python_packages: Path) -> None:
    code = """
import os
from django.conf import settings
from django.http import JsonResponse
from django.urls import path
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"])
urlpatterns = [path("", lambda request: JsonResponse({"method": request.method, "body": request.body.decode()}))]
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
wsgi = get_wsgi_application()
asgi = get_asgi_application()
"""
    host = start(RUNTIME, {"site.py": "", "web.py": code}, extra=python_packages)
    for handler in ("web.wsgi", "web.asgi"):
        assert host.load(handler)["kind"] == "web"
        assert host.request("POST", body=b"x").json == {"method": "POST", "body": "x"}
        host.supervisor.send("kill")
        host.supervisor.expect("exited")
        host.boot()


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


OBSTACLES = {
    "a thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    "a process": "import subprocess\nkept = subprocess.Popen(['sleep', '1000'])\n",
    "a socket": "import socket\nkept = socket.socket(socket.AF_UNIX)\n",
    "a file": "kept = open(__file__)\n",
    "shared memory": "import mmap\nkept = mmap.mmap(-1, 4096)\n",
    "a file in /tmp": "open('/tmp/cache', 'w').close()\n",
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_children_would_share_is_not_forked(start: Start, what: str) -> None:
    code = OBSTACLES[what] + "n = 0\ndef handler(event):\n    global n\n    n += 1\n    return {'n': n}\n"
    host = start(RUNTIME, {"f.py": code})
    for _ in range(2):
        assert host.load("f.handler", model="ephemeral")["fork"] is False
        assert host.request().json == {"n": 1}
        assert host.supervisor.expect("exited")["code"] == 0
        host.boot()


def test_a_child_cannot_reach_into_the_template(start: Start) -> None:
    code = """
import os, random, uuid

def handler(event):
    parent = os.getppid()
    refused = []
    for name in ("mem", "fd", "environ", "maps", "root"):
        try:
            path = f"/proc/{parent}/{name}"
            os.listdir(path) if name in ("fd", "root") else open(path, "r+b" if name == "mem" else "rb").read(1)
        except OSError:
            refused.append(name)
    return {"refused": refused, "own": len(os.listdir("/proc/self/fd")) > 0, "random": random.random(),
            "uuid": str(uuid.uuid4()), "fds": sorted(map(int, os.listdir("/proc/self/fd")))}
"""
    host = start(RUNTIME, {"f.py": code})
    assert host.load("f.handler", model="ephemeral")["fork"] is True
    seen = []
    for _ in range(3):
        seen.append(host.request().json)
        host.next_connection()
        host.agent.expect("done")
    for one in seen:
        assert one["refused"] == ["mem", "fd", "environ", "maps", "root"]
        assert one["own"] is True
        assert len(one["fds"]) <= 5, "0, 1, 2, the connection, and the one that lists"
    assert len({one["random"] for one in seen}) == 3
    assert len({one["uuid"] for one in seen}) == 3


def test_a_child_that_forks_without_end_is_cleaned(start: Start) -> None:
    code = """
import os

def handler(event):
    if os.fork() == 0:
        while True:
            try:
                os.fork()
            except OSError:
                pass
    return "bomb"
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.handler", model="ephemeral")
    for _ in range(2):
        assert host.request().body == b"bomb"
        host.next_connection()
        host.agent.expect("done")


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

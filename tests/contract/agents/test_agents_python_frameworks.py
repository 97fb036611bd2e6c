"""Web apps of Python's frameworks, as programs and as handlers: Flask, FastAPI, Django, bare ASGI. Not bare WSGI."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.sync.client import connect

from fnctl.protocol import messages
from tests.contract.agents.conftest import Start

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
        host.supervisor.send(messages.kill())
        host.supervisor.expect("exited")
        host.boot()

"""Programs that bring a server of their own in a thread, or speak on the connection themselves: as without fnctl."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FILES = {
    "fnctl.yaml": """
        x-python: &python {runtime: python3.13}
        functions:
          sock: {<<: *python, handler: sock.py}
          socketio: {<<: *python, handler: sio.py}
          thread: {<<: *python, handler: thread.py}
          beside: {<<: *python, handler: beside.py}
    """,
    "requirements.txt": "flask\nflask-sock\nflask-socketio\nfastapi\nuvicorn\n",
    "sock.py": """
        from flask import Flask
        from flask_sock import Sock
        app = Flask(__name__)
        sock = Sock(app)
        @app.get("/")
        def index(): return "page"
        @sock.route("/echo")
        def echo(ws):
            while True:
                ws.send(ws.receive())
        if __name__ == "__main__":
            app.run(port=5000)
    """,
    "sio.py": """
        from flask import Flask
        from flask_socketio import SocketIO
        app = Flask(__name__)
        socketio = SocketIO(app, async_mode="threading")
        if __name__ == "__main__":
            socketio.run(app, port=5000, allow_unsafe_werkzeug=True)
    """,
    "thread.py": """
        import threading, time, uvicorn
        from fastapi import FastAPI
        app = FastAPI()
        server = uvicorn.Server(uvicorn.Config(app, port=8000))
        @app.get("/")
        def index(): return [server.started, threading.main_thread().is_alive()]
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        thread.join()
    """,
    "beside.py": """
        import threading, uvicorn
        from fastapi import FastAPI
        from flask import Flask
        side, app = FastAPI(), Flask(__name__)
        @app.get("/")
        def index(): return "the main thread's"
        threading.Thread(target=uvicorn.Server(uvicorn.Config(side, port=9000)).run, daemon=True).start()
        app.run(port=8000)
    """,
}


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("inside")
    for name, text in FILES.items():
        (source / name).write_text(textwrap.dedent(text).lstrip())
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def test_flask_sock_speaks_on_the_connection(fnctl: rig.Running) -> None:
    for _ in range(2):
        with connect(f"ws://127.0.0.1:{fnctl.port}/sock/echo") as socket:
            for text in ("one", "two"):
                socket.send(text)
                assert socket.recv(timeout=30) == text
        assert fnctl.call("sock").body == b"page"


def test_flask_socketio_by_polling_and_by_websocket(fnctl: rig.Running) -> None:
    polled = fnctl.call("socketio", "/socket.io/?EIO=4&transport=polling").body
    assert polled.startswith(b'0{"sid":') and b'"upgrades":["websocket"]' in polled
    with connect(f"ws://127.0.0.1:{fnctl.port}/socketio/socket.io/?EIO=4&transport=websocket") as socket:
        assert str(socket.recv(timeout=30)).startswith('0{"sid":')
        socket.send("40")
        assert str(socket.recv(timeout=30)).startswith('40{"sid":')


def test_uvicorn_in_a_thread_serves_and_knows_that_it_has_started(fnctl: rig.Running) -> None:
    assert fnctl.call("thread").json == [True, True]


def test_the_main_threads_server_is_the_programs(fnctl: rig.Running) -> None:
    assert fnctl.call("beside").body == b"the main thread's"

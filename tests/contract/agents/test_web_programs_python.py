"""Unmodified Python programs that serve themselves: frameworks' own servers, and servers that nobody has heard of."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.contract.agents.conftest import Place

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "python3.13"
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} ".encode(), body]
"""


@pytest.fixture(scope="session")
def servers(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    wanted = "aiohttp\nquart\nhypercorn\ntornado\nbottle\ngunicorn\nuvloop\ncheroot\n"
    return workshop(RUNTIME, ("requirements.txt", wanted))


PROGRAMS = {
    "aiohttp": """
        from aiohttp import web

        async def handle(request):
            return web.Response(text=f"{request.method} {request.path} {await request.text()}")

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", handle)

        if __name__ == "__main__":
            web.run_app(app, host="127.0.0.1", port=8080)
        """,
    "aiohttp on uvloop": """
        import asyncio, uvloop
        from aiohttp import web

        async def handle(request):
            return web.Response(text=f"{request.method} {request.path} {await request.text()}")

        async def main():
            app = web.Application()
            app.router.add_route("*", "/{tail:.*}", handle)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "0.0.0.0", 5000).start()
            await asyncio.Event().wait()

        uvloop.run(main())
        """,
    "quart": """
        from quart import Quart, request
        app = Quart(__name__)

        @app.route("/<path:path>", methods=["POST"])
        async def index(path):
            return f"{request.method} /{path} {(await request.get_data()).decode()}"

        app.run(port=5000)
        """,
    "hypercorn": """
        import asyncio
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        async def app(scope, receive, send):
            if scope["type"] != "http":
                raise NotImplementedError
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            text = f"{scope['method']} {scope['path']} "
            await send({"type": "http.response.body", "body": text.encode() + body})

        config = Config()
        config.bind = ["localhost:8000"]
        asyncio.run(serve(app, config))
        """,
    "tornado": """
        import asyncio, tornado.web

        class Main(tornado.web.RequestHandler):
            def post(self):
                self.write(f"{self.request.method} {self.request.path} {self.request.body.decode()}")

        async def main():
            tornado.web.Application([(r"/.*", Main)]).listen(8888)
            await asyncio.Event().wait()

        asyncio.run(main())
        """,
    "bottle": """
        from bottle import request, route, run

        @route("/<path:path>", method="ANY")
        def index(path):
            return f"{request.method} /{path} {request.body.read().decode()}"

        run(host="localhost", port=8080)
        """,
    "gunicorn": """
        from gunicorn.app.base import BaseApplication
        WSGI
        class StandaloneApplication(BaseApplication):
            def load_config(self):
                self.cfg.set("bind", "127.0.0.1:8080")
                self.cfg.set("workers", 3)

            def load(self):
                return app

        if __name__ == "__main__":
            StandaloneApplication().run()
        """,
    "cheroot, which nobody captures": """
        from cheroot import wsgi
        WSGI
        wsgi.Server(("127.0.0.1", 8070), app).start()
        """,
    "a program of another program": """
        import os, subprocess
        subprocess.run(["gunicorn", "--worker-tmp-dir", "/tmp", "-b", f"0.0.0.0:{os.environ['PORT']}", "plain:app"])
        """,
    "a server in another thread": """
        import os, threading
        from wsgiref.simple_server import make_server
        WSGI
        thread = threading.Thread(target=make_server("", int(os.environ["PORT"]), app).serve_forever)
        thread.start()
        thread.join()
        """,
}  # fmt: skip


def program(name: str) -> str:
    return textwrap.dedent(PROGRAMS[name]).replace("WSGI", WSGI)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_serve_themselves(place: Place, servers: Path, name: str) -> None:
    host = place({"main.py": program(name), "plain.py": WSGI}, servers)
    assert host.load("main.py", contract="web")["kind"] == "web"
    assert host.request("POST", "/a/b", b"body").body == b"POST /a/b body"
    (other,) = host.dial(1)
    assert host.request("POST", "/c", b"x" * 100_000, on=other).body == b"POST /c " + b"x" * 100_000


@pytest.mark.parametrize("name", ["aiohttp", "tornado", "bottle"])
def test_they_live_for_one_request_in_the_ephemeral_model(place: Place, servers: Path, name: str) -> None:
    host = place({"main.py": program(name)}, servers)
    for _ in range(2):
        assert host.load("main.py", model="ephemeral")["fork"] is False, "it has a socket that listens"
        assert host.request("POST", "/a", b"body").body == b"POST /a body"
        assert host.supervisor.expect("exited")["code"] == 0
        host.boot()


def test_a_program_that_is_captured_before_it_listens_is_forked_from(place: Place, servers: Path) -> None:
    host = place({"main.py": program("gunicorn")}, servers)
    assert host.load("main.py", model="ephemeral")["fork"] is True
    for _ in range(2):
        assert host.request("POST", "/a", b"body").body == b"POST /a body"
        host.next_connection()
        assert host.agent.expect("done")["code"] == 0


def test_a_websocket_is_relayed(place: Place, servers: Path) -> None:
    code = """
import asyncio, tornado.web, tornado.websocket

class Echo(tornado.websocket.WebSocketHandler):
    def check_origin(self, origin):
        return True

    def on_message(self, message):
        self.write_message("got " + message)

async def main():
    tornado.web.Application([(r"/ws", Echo)]).listen(8888)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    host = place({"main.py": code}, servers)
    host.load("main.py")
    with connect("ws://function.localhost/ws", sock=host.connection) as socket:
        socket.send("one")
        assert socket.recv(timeout=20) == "got one"


def test_a_relayed_program_that_ends_ends_its_agent(place: Place) -> None:
    code = """
import os, socket
listener = socket.create_server(("127.0.0.1", 8081))
sock, _ = listener.accept()
while b"\\r\\n\\r\\n" not in sock.recv(4096):
    pass
sock.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nlast")
sock.close()
raise SystemExit(3)
"""
    host = place({"main.py": code})
    host.load("main.py")
    assert host.request().body == b"last"
    assert host.supervisor.expect("exited")["code"] == 3
    host.boot()


def test_a_program_serves_once(place: Place) -> None:
    code = """
import socket
from wsgiref.simple_server import make_server
WSGI
listener = socket.create_server(("127.0.0.1", 8081))
make_server("", 8080, app).serve_forever()
""".replace("WSGI", WSGI)
    host = place({"main.py": code})
    host.load("main.py")
    host.logs.wait_for("this program serves already, on port 8081")
    assert host.supervisor.expect("exited")["code"] == 1
    host.boot()


def test_django_as_its_manage_py(place: Place, python_packages: Path) -> None:
    manage = """
import os, sys

def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site1.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)

if __name__ == "__main__":
    main()
"""
    settings = """
SECRET_KEY = "x"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site1.urls"
INSTALLED_APPS = ["django.contrib.staticfiles", "django.contrib.contenttypes"]
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
"""
    urls = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("hello/", lambda request: HttpResponse("hello " + request.META["REMOTE_ADDR"]))]
"""
    files = {"manage.py": manage, "site1/__init__.py": "", "site1/settings.py": settings, "site1/urls.py": urls}
    host = place(files, python_packages)
    assert host.load("manage.py")["kind"] == "web"
    assert host.request("GET", "/hello/").body == b"hello 127.0.0.1"

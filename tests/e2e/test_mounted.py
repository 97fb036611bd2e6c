"""A function at `/NAME/` knows where it is: its own links and redirects lead back to it, in every language."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FILES = {
    "fnctl.yaml": """
        functions:
          flask: {runtime: python3.13, handler: f.app}
          fast: {runtime: python3.13, handler: a.app}
          items: {runtime: python3.13, handler: a.app}
          raw: {runtime: python3.13, handler: raw.app}
          node: {runtime: node24, handler: app.js}
          php: {runtime: php8.4, handler: index.php}
          command: {runtime: python3.13, command: [python3, own.py]}
    """,
    "requirements.txt": "flask\nfastapi\n",
    "f.py": """
        from flask import Flask, redirect, request, url_for
        app = Flask(__name__)
        @app.get("/items/")
        def items(): return f"{request.script_root} {request.path} {request.url}"
        @app.get("/go")
        def go(): return redirect(url_for("items"))
        @app.get("/plain")
        def plain(): return redirect("/items/")
        @app.get("/away")
        def away(): return redirect("http://example.com/items/")
        @app.before_request
        def slashes(): return request.environ["PATH_INFO"] if "//" in request.environ["PATH_INFO"] else None
    """,
    "a.py": """
        from fastapi import FastAPI, Request
        from fastapi.responses import RedirectResponse
        app = FastAPI()
        @app.get("/items/")
        def items(request: Request):
            return [request.scope["root_path"], str(request.url), str(request.url_for("items"))]
        @app.get("/go")
        def go(request: Request): return RedirectResponse(request.url_for("items"))
    """,
    "raw.py": """
        async def app(scope, receive, send):
            said = f"{scope['root_path']} {scope['path']} {scope['raw_path'].decode()}".encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": said})
    """,
    "app.js": """
        require('http').createServer((request, response) => {
          const { host, 'x-forwarded-prefix': prefix } = request.headers;
          const go = (location) => response.writeHead(302, { location }).end();
          if (request.url === '/go') go('/items/?a=1');
          else if (request.url === '/url') go(`http://${host}/items/`);
          else if (request.url === '/knows') go(`${prefix}/x`);
          else if (request.url === '/made') response.writeHead(201, { location: '/items/5' }).end('made');
          else response.end(request.url);
        }).listen(process.env.PORT);
    """,
    "index.php": "<?php\nheader('Location: /items/', true, 303);\n",
    "own.py": """
        import http.server, os
        class Go(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(302)
                self.send_header("Location", "/items/" if self.path == "/go" else self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Go).serve_forever()
    """,
}


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("mounted")
    for name, text in FILES.items():
        (source / name).write_text(textwrap.dedent(text).lstrip())
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def location(fnctl: rig.Running, function: str, path: str) -> str:
    answer = fnctl.call(function, path)
    assert answer.status in (201, 302, 303, 307, 308), answer.body
    return answer.headers["Location"].replace(f"http://127.0.0.1:{fnctl.port}", "http://here")


def test_flask_is_told_by_script_name(fnctl: rig.Running) -> None:
    assert fnctl.call("flask", "/items/").body.decode() == (
        f"/flask /items/ http://127.0.0.1:{fnctl.port}/flask/items/"
    )
    assert location(fnctl, "flask", "/go") == "/flask/items/"
    assert location(fnctl, "flask", "/plain") == "/flask/items/"
    assert location(fnctl, "flask", "/items") == "http://here/flask/items/"
    assert location(fnctl, "flask", "/away") == "http://example.com/items/"


@pytest.mark.parametrize("function", ["fast", "items"])  # the latter's own path begins like its prefix
def test_fastapi_is_told_by_root_path(fnctl: rig.Running, function: str) -> None:
    here = f"http://127.0.0.1:{fnctl.port}/{function}/items/"
    assert fnctl.call(function, "/items/").json == [f"/{function}", here, here]
    assert location(fnctl, function, "/items") == f"http://here/{function}/items/"
    assert location(fnctl, function, "/go") == f"http://here/{function}/items/"
    assert f"'/{function}/openapi.json'" in fnctl.call(function, "/docs").body.decode()
    assert fnctl.call(function, "/openapi.json").json["servers"] == [{"url": f"/{function}"}]


def test_an_app_that_reads_the_path_itself_finds_it_without_the_prefix(fnctl: rig.Running) -> None:
    assert fnctl.call("raw", "/raw/x").body == b"/raw /raw/x /raw/x"


def test_redirects_of_programs_that_know_no_prefix_stay_inside(fnctl: rig.Running) -> None:
    assert location(fnctl, "node", "/go") == "/node/items/?a=1"
    assert location(fnctl, "node", "/url") == "http://here/node/items/"
    assert location(fnctl, "node", "/knows") == "/node/x"
    assert location(fnctl, "node", "/made") == "/node/items/5"
    assert location(fnctl, "php", "/") == "/php/items/"
    assert location(fnctl, "command", "/go") == "/command/items/"


@pytest.mark.parametrize("path", ["//a//b", "/a//b/", "//", "/a/../b", "/a%2Fb", "/a//?b=//c"])
def test_a_path_arrives_as_it_was_sent(fnctl: rig.Running, path: str) -> None:
    assert fnctl.call("node", path).body.decode() == path
    if path == "//a//b":
        assert fnctl.call("flask", path).body.decode() == path
        assert fnctl.call("raw", path).body.decode() == f"/raw {path} {path}"

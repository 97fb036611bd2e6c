"""Answers that go on: `timeout` is for their beginning, `idle` for silence, `max_duration` for the whole."""

from __future__ import annotations

import contextlib
import http.client
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.faults import rig
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

BEYOND = 8  # events, a quarter of a second apart: longer than `timeout`

FILES = {
    "fnctl.yaml": """
        x-all: &all {timeout: 1s}
        functions:
          node: {<<: *all, runtime: node24, handler: app.js}
          wsgi: {<<: *all, runtime: python3.13, handler: w.app}
          asgi: {<<: *all, runtime: python3.13, handler: a.app}
          php: {<<: *all, runtime: php8.4, handler: index.php}
          command: {<<: *all, runtime: node24, command: [node, app.js]}
          silent: {<<: *all, runtime: node24, handler: app.js, idle: 1s}
          long: {<<: *all, runtime: node24, handler: app.js, max_duration: 1500ms}
          once: {<<: *all, runtime: node24, handler: app.js, model: ephemeral}
    """,
    "app.js": """
        const http = require('http');
        http.createServer((request, response) => {
          if (request.url === '/pid') return response.end(String(process.pid));
          if (request.url === '/never') return;
          response.writeHead(200, { 'content-type': 'text/event-stream' });
          const say = () => response.write('data: x\\n\\n');
          say();
          const timer = request.url === '/silent' ? 0 : setInterval(say, 250);
          response.on('close', () => clearInterval(timer));
        }).on('upgrade', (request, socket) => {
          const key = request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
          const accept = require('crypto').createHash('sha1').update(key).digest('base64');
          socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
            `Sec-WebSocket-Accept: ${accept}\\r\\n\\r\\n`);
          const say = () => socket.write(Buffer.from([0x81, 1, 0x78]));
          say();
          const timer = request.url === '/silent' ? 0 : setInterval(say, 250);
          socket.on('error', () => {});
          socket.on('close', () => clearInterval(timer));
        }).listen(process.env.PORT);
    """,
    "w.py": """
        import os, time
        def app(environ, start_response):
            if environ["PATH_INFO"] == "/pid":
                start_response("200 OK", [])
                return [str(os.getpid()).encode()]
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return events()
        def events():
            while True:
                yield b"data: x\\n\\n"
                time.sleep(0.25)
    """,
    "a.py": """
        import asyncio, os
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                return
            kind = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": kind})
            if scope["path"] == "/pid":
                return await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
            while True:
                await send({"type": "http.response.body", "body": b"data: x\\n\\n", "more_body": True})
                await asyncio.sleep(0.25)
    """,
    "index.php": """
        <?php
        if ($_SERVER['REQUEST_URI'] === '/pid') { echo getmypid(); exit; }
        header('Content-Type: text/event-stream');
        ob_end_flush();
        while (true) { echo "data: x\\n\\n"; flush(); usleep(250000); }
    """,
}


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("streams")
    for name, text in FILES.items():
        (source / name).write_text(textwrap.dedent(text).lstrip())
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


def events(fnctl: rig.Running, function: str, path: str = "/events", most: int = BEYOND) -> tuple[str, int]:
    """So many events at most: the invocation, and how many came before it was cut off."""
    connection = http.client.HTTPConnection("127.0.0.1", fnctl.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", f"/{function}{path}")
        response = connection.getresponse()
        assert response.status == 200, response.read()
        came = 0
        with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
            while came < most and (line := response.readline()):
                came += line.startswith(b"data:")
        return response.headers["X-Fnctl-Invocation-Id"] or "", came


def receipt(fnctl: rig.Running, function: str, invocation: str) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        rows = fnctl.desk.lines(function)
        return next((row for row in rows if row["kind"] == "receipt" and row["id"] == invocation), None)

    return until(found, f"the receipt of {invocation}")


@pytest.mark.parametrize("function", ["node", "wsgi", "asgi", "php", "command"])
def test_a_stream_goes_on_past_the_timeout_and_its_process_stays(fnctl: rig.Running, function: str) -> None:
    before = fnctl.call(function, "/pid").body
    assert events(fnctl, function)[1] == BEYOND
    if function != "php":  # a page has a process of its own for each connection
        assert fnctl.call(function, "/pid").body == before
    assert [row["state"] for row in fnctl.instances(function)] != []


def test_the_beginning_of_an_answer_has_its_deadline_still(fnctl: rig.Running) -> None:
    answer = fnctl.call("long", "/never")
    assert (answer.status, answer.error["code"]) == (504, "timeout")


@pytest.mark.parametrize(
    ("function", "path", "code"), [("silent", "/silent", "idle"), ("long", "/events", "max_duration")]
)
def test_the_receipt_says_which_bound_cut_it_off_and_the_process_stays(
    fnctl: rig.Running, function: str, path: str, code: str
) -> None:
    before = fnctl.call(function, "/pid").body
    invocation, came = events(fnctl, function, path, most=100)
    assert came >= 1
    told = receipt(fnctl, function, invocation)
    assert (told["status"], told["verdict"]) == (200, code)
    assert fnctl.call(function, "/pid").body == before


def test_an_ephemeral_answer_has_its_timeout_as_a_whole(fnctl: rig.Running) -> None:
    invocation, came = events(fnctl, "once", most=100)
    assert 1 <= came < BEYOND
    assert receipt(fnctl, "once", invocation)["verdict"] == "max_duration"


@pytest.mark.parametrize(("function", "path", "code"), [("silent", "/silent", "idle"), ("long", "/", "max_duration")])
def test_websockets_have_the_same_bounds(fnctl: rig.Running, function: str, path: str, code: str) -> None:
    with connect(f"ws://127.0.0.1:{fnctl.port}/node/") as beyond:
        assert [beyond.recv(timeout=30) for _ in range(BEYOND)] == ["x"] * BEYOND
    with connect(f"ws://127.0.0.1:{fnctl.port}/{function}{path}") as cut, pytest.raises(ConnectionClosed):
        while True:
            cut.recv(timeout=30)
    until(lambda: last_verdict(fnctl, function) == (101, code), "the receipt to say so")


def last_verdict(fnctl: rig.Running, function: str) -> tuple[int, str]:
    rows = [row for row in fnctl.desk.lines(function) if row["kind"] == "receipt"]
    return rows[-1]["status"], rows[-1]["verdict"]


def test_a_stop_ends_streams_at_once_and_is_no_client_that_left() -> None:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text("functions:\n  app: {runtime: node24, handler: app.js}\n")
        (desk.project / "app.js").write_text(textwrap.dedent(FILES["app.js"]))
        with rig.running(desk, warm=1) as fnctl:
            stream = http.client.HTTPConnection("127.0.0.1", fnctl.port, timeout=60)
            with contextlib.closing(stream), connect(f"ws://127.0.0.1:{fnctl.port}/app/") as tunnel:
                stream.request("GET", "/app/events")
                response = stream.getresponse()
                first = response.readline()
                assert tunnel.recv(timeout=30) == "x"
                fnctl.stop()
                whole = first + response.read()
                assert whole == b"data: x\n\n" * whole.count(b"x") != b""  # to a proper end
            verdicts = {(row["status"], row["verdict"]) for row in desk.lines("app") if row["kind"] == "receipt"}
            assert verdicts == {(200, "stopping"), (101, "stopping")}

"""A resident program that is not needed any more is told so, in every language, and has its grace to end in order."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.faults import rig
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILES = {
    "fnctl.yaml": """
        x-node: &node {runtime: node24}
        x-python: &python {runtime: python3.13}
        functions:
          node-event: {<<: *node, handler: events.h, contract: event}
          node-app: {<<: *node, handler: app.js}
          node-plain: {<<: *node, handler: plain.js}
          python-event: {<<: *python, handler: events.h, contract: event}
          python-one: {<<: *python, handler: events.h, contract: event, concurrency: 1}
          python-coroutine: {<<: *python, handler: coroutine.h, contract: event}
          python-wsgi: {<<: *python, handler: wsgi.py}
          python-asgi: {<<: *python, handler: asgi.app}
          python-thread: {<<: *python, handler: own.py}
          php-event: {runtime: php8.4, handler: events.h, contract: event}
          command: {<<: *python, command: [python3, own.py]}
          stubborn: {<<: *python, command: [python3, stubborn.py], stop_grace: 300ms}
          told-nothing: {<<: *python, handler: asgi.app, stop_grace: 0s}
    """,
    "events.js": """
        process.on('SIGTERM', () => setTimeout(() => console.log('after a while'), 20));
        process.on('exit', () => console.log('exit'));
        exports.h = async () => 'ok';
    """,
    "app.js": """
        const server = require('http').createServer((request, response) => response.end('ok')).listen(process.env.PORT);
        process.on('SIGTERM', () => server.close(() => { console.log('closed'); process.exit(0); }));
    """,
    "plain.js": """
        const server = require('http').createServer((request, response) => response.end('ok')).listen(process.env.PORT);
        server.on('close', () => console.log('closed'));
        process.on('exit', () => console.log('exit'));
    """,
    "events.py": """
        import atexit, signal
        atexit.register(lambda: print("atexit"))
        signal.signal(signal.SIGTERM, lambda *_: print("told"))
        def h(event, context): return "ok"
    """,
    "coroutine.py": """
        import atexit
        atexit.register(lambda: print("atexit"))
        async def h(event, context): return "ok"
    """,
    "wsgi.py": """
        import atexit
        from wsgiref.simple_server import make_server
        atexit.register(lambda: print("atexit"))
        def app(environ, start_response):
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]
        try:
            make_server("127.0.0.1", 8000, app).serve_forever()
        finally:
            print("finally")
    """,
    "asgi.py": """
        async def app(scope, receive, send):
            if scope["type"] == "lifespan":
                while (kind := (await receive())["type"]) != "lifespan.shutdown":
                    await send({"type": f"{kind}.complete"})
                print(kind)
                return await send({"type": f"{kind}.complete"})
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})
    """,
    "own.py": """
        import atexit, http.server, os, signal, sys, threading
        def bye(*_):
            print("told", flush=True)
            sys.exit(3)
        signal.signal(signal.SIGTERM, bye)
        atexit.register(lambda: print("atexit", flush=True))
        class Ok(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Ok)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threading.Event().wait()
    """,
    "stubborn.py": """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal = lambda *_: None
        import own
    """,
    "events.php": """
        <?php
        register_shutdown_function(function () { error_log("shutdown"); });
        pcntl_signal(SIGTERM, function () { error_log("told"); });
        function h($event, $context) { return "ok"; }
    """,
}

# What each prints after its last call, in order.
LAST_WORDS = {
    "node-event": ["after a while", "exit"],
    "node-app": ["closed"],
    "node-plain": ["closed", "exit"],
    "python-event": ["told", "atexit"],
    "python-one": ["told", "atexit"],
    "python-coroutine": ["atexit"],
    "python-wsgi": ["finally", "atexit"],
    "python-asgi": ["lifespan.shutdown"],
    "python-thread": ["told", "atexit"],
    "php-event": ["told", "shutdown"],
    "command": ["told", "atexit"],
    "stubborn": [],
    "told-nothing": [],
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(textwrap.dedent(text).lstrip())
    return folder


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    """Every function was called once, then half of them were reaped and the others stopped."""
    source = write(tmp_path_factory.mktemp("goodbye"), FILES)
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        for name in LAST_WORDS:
            assert (name, running.call(name).body) == (name, b"ok")
        for name in list(LAST_WORDS)[::2]:
            running.reap(name)
        running.stop()
        yield running


def last_words(fnctl: rig.Running, function: str) -> tuple[list[str], list[str]]:
    """What it printed after its one call, and what the log says of its end."""
    lines = [line["text"] for line in fnctl.desk.lines(function) if line["kind"] == "line"]
    texts = [text for text in lines if "GET /" not in text]
    ends = [text for text in texts if text.startswith(("program ", "instance "))]
    assert texts[len(texts) - len(ends) :] == ends, texts
    return texts[: len(texts) - len(ends)], ends


@pytest.mark.parametrize("function", LAST_WORDS)
def test_a_program_ends_in_order(fnctl: rig.Running, function: str) -> None:
    printed, (*how, end) = last_words(fnctl, function)
    assert printed == LAST_WORDS[function]
    assert end == f"instance ended: {'reaped' if list(LAST_WORDS).index(function) % 2 == 0 else 'stopped'}"
    if function == "stubborn":
        assert how == ["program killed: it ran on for 0.3 s after SIGTERM (stop_grace)"]
    elif function == "told-nothing":
        assert not how
    else:
        assert [text for text in how if "after SIGTERM, exit code" in text] == how != []


def test_a_second_signal_cuts_the_grace_short(tmp_path: Path) -> None:
    files = {name: FILES[name] for name in ("own.py", "stubborn.py")}
    files["fnctl.yaml"] = "functions:\n  f: {runtime: python3.13, command: [python3, stubborn.py], stop_grace: 10m}\n"
    with rig.desk(write(tmp_path, files)) as desk, rig.running(desk, warm=0) as fnctl:
        assert fnctl.call("f").body == b"ok"
        fnctl.process.terminate()
        until(lambda: not fnctl.status()["instances"], "the instance to be told")
        fnctl.process.terminate()
        assert fnctl.process.wait(30) == 0
        desk.nothing_left()
        assert last_words(fnctl, "f")[1] == ["program killed: fnctl stops now", "instance ended: stopped"]

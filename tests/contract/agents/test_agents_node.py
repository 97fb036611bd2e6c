"""What the Node agent does beside what every agent does: module kinds, frameworks, upgrades, an http.Server's ways."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.contract.agents.conftest import Start
from tests.contract.agents.contract_bench import Bench

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "node24"

FRAMEWORKS = {
    "express": """
const express = require('express');
const app = express();
app.use(express.json());
app.post('/', (request, response) => response.json({ ip: request.ip, got: request.body }));
app.listen(process.env.PORT);
""",
    "koa": """
const Koa = require('koa');
const app = new Koa();
app.use(async (context) => {
  let text = '';
  for await (const chunk of context.req) text += chunk;
  context.body = { ip: context.ip, got: JSON.parse(text) };
});
app.listen({ port: process.env.PORT, host: '0.0.0.0' });
""",
    "express as an ES module": """
import express from 'express';
const app = express();
app.use(express.json());
app.post('/', (request, response) => response.json({ ip: request.ip, got: request.body }));
await new Promise((done) => setTimeout(done, 1));
app.listen(process.env.PORT);
export default app;
""",
    "fastify": """
const fastify = require('fastify')();
fastify.post('/', async (request) => ({ ip: request.ip, got: request.body }));
fastify.listen({ port: Number(process.env.PORT) }).then((address) => console.log(`at ${address}`));
""",
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_frameworks(start: Start, node_packages: Path, name: str) -> None:
    file = "app.mjs" if "import " in FRAMEWORKS[name] else "app.js"
    host = start(RUNTIME, {file: FRAMEWORKS[name]}, extra=node_packages)
    assert host.load(file)["kind"] == "web"
    for _ in range(2):
        answer = host.request("POST", body=b'{"a":1}', headers={"Content-Type": "application/json"})
        assert answer.json == {"ip": "127.0.0.1", "got": {"a": 1}}


EXPORTS = {
    "express": "const app = require('express')();\napp.get('/', (q, s) => s.send('hello'));\nexports.it = app;\n",
    "koa": "const app = new (require('koa'))();\napp.use((c) => { c.body = 'hello'; });\nexports.it = app;\n",
    "fastify": "const app = require('fastify')();\napp.get('/', async () => 'hello');\nexports.it = app;\n",
    "server": "exports.it = require('http').createServer((q, s) => s.end('hello'));\n",
    "function": "exports.it = (req, res) => { res.end('hello'); };\n",
}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_exported_app_is_served_without_listen(start: Start, node_packages: Path, name: str) -> None:
    host = start(RUNTIME, {"app.js": EXPORTS[name]}, extra=node_packages)
    assert host.load("app.it")["kind"] == "web"
    assert host.request().body == b"hello"


# A main program that does not listen, but exports an app, as other hosts of such apps take it.
UNHEARD = {
    "express.js": "const app = require('express')();\napp.get('/', (q, s) => s.send('hello'));\n"
    "module.exports = app;\n",
    "express.mjs": "import express from 'express';\nconst app = await Promise.resolve(express());\n"
    "app.get('/', (q, s) => s.send('hello'));\nexport default app;\n",
    "koa.mjs": "import Koa from 'koa';\nconst app = new Koa();\napp.use((c) => { c.body = 'hello'; });\n"
    "export default app;\n",
    "fastify.mjs": "import Fastify from 'fastify';\nexport const app = Fastify();\n"
    "app.get('/', async () => 'hello');\n",
    "plain.js": "module.exports = (req, res) => { res.end('hello'); };\n",
    "server.mjs": "import http from 'node:http';\nexport const server = http.createServer((q, s) => s.end('hello'));\n",
}


def test_a_main_program_that_only_exports_its_app(start: Start, node_packages: Path) -> None:
    functions = Bench(start(RUNTIME, UNHEARD, extra=node_packages))
    for name in UNHEARD:
        functions.boot()
        assert functions.host.load(name)["kind"] == "web", name
        assert functions.call().body == b"hello", name


MAINS = {
    "index.js": "const http = require('http');\nconst main = require.main === module;\n",
    "index.cjs": "const http = require('http');\nconst main = require.main === module;\n",
    "index.mjs": "import http from 'node:http';\nconst main = import.meta.main;\nawait null;\n",
    "index.ts": "const http = require('http');\nconst main: boolean = require.main === module;\n",
}


@pytest.mark.parametrize("name", MAINS)
def test_main_programs_of_every_kind(start: Start, name: str) -> None:
    code = MAINS[name] + (
        "http.createServer((q, s) => s.end(JSON.stringify([main, process.argv.slice(1), process.execArgv])))"
        ".listen(process.env.PORT);\n"
    )
    host = start(RUNTIME, {name: code})
    host.load(name)
    assert host.request().json == [True, [f"/fn/app/{name}"], []]


def test_an_es_module_with_a_handler(start: Start) -> None:
    host = start(RUNTIME, {"f.mjs": "const x = await Promise.resolve(2);\nexport const handler = () => ({ x });\n"})
    host.load("f.handler")
    assert host.request().json == {"x": 2}


@pytest.mark.parametrize(
    ("name", "code", "kind", "line"),
    [
        ("a.js", "\nrequire('./nosuch');\n", "Error", 2),
        ("a.mjs", "\n\nimport './nosuch.js';\n", "Error", None),
        ("a.mjs", "\nconst a = ;\n", "SyntaxError", 2),
        ("a.mjs", "\nnull.x;\n", "TypeError", 2),
        ("a.js", "\nsetTimeout(() => { throw new RangeError('late'); });\n", "RangeError", 2),
        ("a.js", "Promise.reject(new RangeError('async'));\n", "RangeError", 1),
        ("a.js", "process.exit(4);\n", "Exit", None),
    ],
)
def test_load_errors(start: Start, name: str, code: str, kind: str, line: int | None) -> None:
    host = start(RUNTIME, {name: code})
    host.send_load(name)
    failed = host.agent.expect("load_failed")
    assert failed["type"] == kind
    if line:
        assert (failed["file"], failed["line"]) == (name, line)
    assert "/opt/fnctl" not in failed["stack"]
    assert host.supervisor.expect("exited")["code"] in (1, 4)


def test_an_exception_that_nobody_handles_ends_the_process(start: Start) -> None:
    code = (
        "require('http').createServer((q, s) => { setTimeout(() => { throw new Error('lost'); }); })"
        ".listen(process.env.PORT);\n"
    )
    host = start(RUNTIME, {"app.js": code})
    host.load("app.js")
    with pytest.raises(OSError):
        host.request()
    assert host.supervisor.expect("exited")["code"] == 1
    host.logs.wait_for("lost")


def test_the_apps_own_clocks_do_not_close_idle_connections(start: Start) -> None:
    code = (
        "const server = require('http').createServer((q, s) => s.end('ok'));\n"
        "server.keepAliveTimeout = 1; server.headersTimeout = 1; server.timeout = 1;\n"
        "server.setTimeout(1);\n"
        "server.listen(process.env.PORT);\nserver.keepAliveTimeout = 1;\n"
    )
    host = start(RUNTIME, {"app.js": code})
    host.load("app.js")
    assert host.request().body == b"ok"
    host.connection.settimeout(1.5)  # many times the clocks above, and the server's own check of them
    with pytest.raises(TimeoutError):
        host.connection.recv(1)


def test_later_listens_open_real_ports(start: Start) -> None:
    code = """
const http = require('http');
http.createServer((q, s) => http.get('http://127.0.0.1:4999/', (r) => r.pipe(s))).listen(process.env.PORT, () => {
  http.createServer((q, s) => s.end('inner')).listen(4999, '127.0.0.1');
});
"""
    host = start(RUNTIME, {"app.js": code})
    host.load("app.js")
    assert host.request().body == b"inner"


def test_an_upgraded_connection_is_the_apps(start: Start, node_packages: Path) -> None:
    code = """
const { WebSocketServer } = require('ws');
const server = require('http').createServer((q, s) => s.end('page'));
const sockets = new WebSocketServer({ server });
sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`got ${data}`)));
server.listen(process.env.PORT);
"""
    host = start(RUNTIME, {"app.js": code}, extra=node_packages)
    host.load("app.js")
    with connect("ws://function.localhost/", sock=host.connection) as socket:
        socket.send("one")
        assert socket.recv(timeout=20) == "got one"


def test_marks_follow_promises_and_timers(start: Start) -> None:
    code = """
exports.handler = async (event) => {
  await new Promise((done) => setTimeout(done, event.path === '/slow' ? 50 : 1));
  console.log(`late ${event.path}`);
  setImmediate(() => console.log(`after ${event.path}`));
};
"""
    host = start(RUNTIME, {"f.js": code})
    host.load("f.handler")
    (other,) = host.dial(1)
    slow = threading.Thread(target=lambda: host.request(path="/slow", invocation="S" * 26, on=other))
    slow.start()
    host.request(path="/fast", invocation="F" * 26)
    slow.join(20)
    for path, mark in (("/slow", "S" * 26), ("/fast", "F" * 26)):
        assert host.logs.wait_for(f"late {path}")[0] == mark
        assert host.logs.wait_for(f"after {path}")[0] == mark


def test_the_agent_leaves_no_names_behind(start: Start) -> None:
    code = """
exports.handler = () => ({
  cached: Object.keys(require.cache).filter((file) => !file.startsWith('/fn/app')),
  main: require.main === undefined,
});
"""
    host = start(RUNTIME, {"f.js": code})
    host.load("f.handler")
    assert host.request().json == {"cached": [], "main": True}

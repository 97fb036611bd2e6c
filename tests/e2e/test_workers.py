"""Programs of several processes: Node's `cluster`, Egg that is made of it, gunicorn's and uvicorn's workers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

FILES = {
    "fnctl.yaml": """
        functions:
          cluster: {runtime: node24, handler: app.js}
          later: {runtime: node24, handler: later.js}
          gunicorn: {runtime: python3.13, command: gunicorn -w 3 -b 127.0.0.1:$PORT wsgi:app}
          uvicorn: {runtime: python3.13, command: uvicorn --workers 2 --port $PORT asgi:app}
          egg: {path: egg, runtime: node24, handler: server.js, timeout: 120s, environment: {EGG_SERVER_ENV: prod}}
          egg-scripts: {path: egg, runtime: node24, command: egg-scripts start --workers=2 --port=$PORT, timeout: 120s}
    """,
    "egg/package.json": """
        {"name": "shop", "dependencies": {"egg": "3.34.0", "egg-scripts": "2.17.0"}}
    """,
    "egg/server.js": """
        require('egg').startCluster({ baseDir: __dirname, workers: 2, port: Number(process.env.PORT) });
    """,
    "egg/config/config.default.js": """
        exports.keys = 'signs cookies';
    """,
    "egg/app/router.js": """
        module.exports = (app) => app.router.get('/', async (ctx) => {
          ctx.set('connection', 'close');
          ctx.body = String(process.pid);
        });
    """,
    "app.js": """
        const cluster = require('cluster');
        if (cluster.isPrimary) {
          for (let n = 0; n < 3; n += 1) cluster.fork();
          process.on('SIGTERM', () => { console.log('primary told'); process.exit(0); });
        } else {
          require('http').createServer((request, response) => {
            response.setHeader('connection', 'close');
            response.end(String(process.pid));
          }).listen(process.env.PORT);
        }
    """,
    "later.js": """
        setTimeout(() => {
          const cluster = require('node:cluster');
          if (cluster.isPrimary) cluster.fork();
          else require('http').createServer((request, response) => response.end(request.url)).listen(7001);
        }, 50);
    """,
    "requirements.txt": "gunicorn\nuvicorn\n",
    "wsgi.py": """
        import os
        def app(environ, start_response):
            start_response("200 OK", [("Connection", "close")])
            return [str(os.getpid()).encode()]
    """,
    "asgi.py": """
        import os
        async def app(scope, receive, send):
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
                await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
    """,
}


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("workers")
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(textwrap.dedent(text).lstrip())
    (source / "egg/app/public").mkdir()  # Egg makes it where it is not there, which it cannot in a sandbox
    with rig.desk(source) as desk, rig.running(desk, warm=1) as running:
        yield running
        running.stop()


PROGRAMS = [("cluster", 3), ("gunicorn", 3), ("uvicorn", 2), ("egg", 2), ("egg-scripts", 2)]


@pytest.mark.parametrize(("function", "workers"), PROGRAMS)
def test_requests_are_spread_over_the_workers(fnctl: rig.Running, function: str, workers: int) -> None:
    seen = {fnctl.call(function, timeout_s=150).body}  # while it loads; Egg takes its time

    def all_have_served() -> bool:
        answer = fnctl.call(function)
        assert answer.status == 200, answer.body
        seen.add(answer.body)
        return len(seen) == workers

    until(all_have_served, f"{workers} workers to have served")
    (row,) = fnctl.instances(function)
    assert row["leftover_processes"] == 0


def test_workers_that_come_later_and_on_a_port_of_their_own(fnctl: rig.Running) -> None:
    for path in ("/a", "/b"):
        assert fnctl.call("later", path).body.decode() == path


def test_the_primary_is_told_when_it_is_not_needed_any_more(fnctl: rig.Running) -> None:
    fnctl.call("cluster")
    fnctl.reap("cluster")
    assert "primary told" in [row.get("text") for row in fnctl.desk.lines("cluster")]

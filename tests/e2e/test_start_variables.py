"""Variables that an interpreter reads as it starts do the same in a handler as in a command, where they can."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILES = {
    "fnctl.yaml": """
        x-node: &node
          runtime: node24
          environment:
            TZ: Asia/Tokyo
            NODE_OPTIONS: "--require /fn/app/pre.js --max-old-space-size=100"
            NODE_EXTRA_CA_CERTS: /fn/app/none.pem
            LC_ALL: de_DE.UTF-8
        x-python: &python
          runtime: python3.13
          environment:
            TZ: Asia/Tokyo
            PYTHONOPTIMIZE: "2"
            PYTHONHASHSEED: "0"
            PYTHONPATH: /fn/app/extra
            MALLOC_ARENA_MAX: "1"
        functions:
          node: {<<: *node, handler: app.js}
          node-once: {<<: *node, handler: app.js, model: ephemeral}
          node-command: {<<: *node, command: node app.js}
          python: {<<: *python, handler: app.py}
          python-once: {<<: *python, handler: app.py, model: ephemeral}
          python-command: {<<: *python, command: python3 app.py}
          php: {runtime: php8.4, handler: ini.php, environment: {PHP_INI_SCAN_DIR: "/fn/app/ini"}}
          plain: {runtime: python3.13, handler: app.py, environment: {LANG: C.UTF-8, PYTHONUNBUFFERED: "1"}}
    """,
    "pre.js": "globalThis.marker = 'preloaded';\n",
    "app.js": """
        require('http').createServer((request, response) => response.end(JSON.stringify({
          tz: new Date(0).toString(), options: process.env.NODE_OPTIONS, marker: globalThis.marker,
          heap: Math.round(require('v8').getHeapStatistics().heap_size_limit / 1048576),
          locale: Intl.DateTimeFormat().resolvedOptions().locale, execArgv: process.execArgv,
        }))).listen(process.env.PORT);
    """,
    "app.py": """
        import http.server, json, os, sys, time
        class Tell(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                said = json.dumps({
                    "tz": time.strftime("%H %Z", time.localtime(0)), "optimize": sys.flags.optimize, "hash": hash("a"),
                    "extra": "/fn/app/extra" in sys.path, "utf8": sys.getfilesystemencoding(),
                    "arenas": os.environ.get("MALLOC_ARENA_MAX"),
                }).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Tell).serve_forever()
    """,
    "ini.php": "<?php echo ini_get('highlight.comment');\n",
    "ini/own.ini": "highlight.comment = #123456\n",
    "extra/found.py": "",
}


@pytest.fixture(scope="module")
def fnctl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    source = tmp_path_factory.mktemp("variables")
    for name, text in FILES.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(textwrap.dedent(text).lstrip())
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


def told(fnctl: rig.Running, function: str) -> dict[str, Any]:
    answer = fnctl.call(function)
    assert answer.status == 200, (answer.body, [row for row in fnctl.desk.lines(function) if row["kind"] != "receipt"])
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize("language", ["node", "python"])
@pytest.mark.parametrize("model", ["", "-once"])
def test_a_handler_is_as_a_command(fnctl: rig.Running, language: str, model: str) -> None:
    for _ in range(2):  # an ephemeral function's second process comes by another way
        assert told(fnctl, language + model) == told(fnctl, f"{language}-command")
    assert told(fnctl, f"{language}-command")["tz"].startswith(("Thu Jan 01 1970 09", "09 JST"))


def test_php_reads_the_ini_files_of_the_function(fnctl: rig.Running) -> None:
    assert fnctl.call("php").body == b"#123456"


def test_what_is_so_anyway_costs_no_pooled_boot(fnctl: rig.Running) -> None:
    assert told(fnctl, "plain")["utf8"] == "utf-8"
    fnctl.reap("plain")
    assert fnctl.call("plain").headers["Server-Timing"].startswith("start;desc=runtime")


def test_a_variable_that_cannot_take_effect_is_refused() -> None:
    with rig.desk() as desk:
        (desk.project / "fnctl.yaml").write_text(
            "functions:\n  f:\n    runtime: python3.13\n    handler: app.py\n    environment:\n      PYTHONHOME: /x\n"
        )
        (desk.project / "app.py").write_text("")
        refused = desk.fnctl("build")
    assert refused.returncode == 2
    assert "fnctl.yaml:6" in refused.stderr and "PYTHONHOME" in refused.stderr and "hint" in refused.stderr

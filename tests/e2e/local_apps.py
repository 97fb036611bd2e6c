"""The to-do list templates served without Docker: what `fnctl` serves must behave like these.

Resident: the app itself, as its user runs it. Ephemeral: a stand-in that routes by the template's fnctl.yaml and runs
each handler in a fresh process beside a real data service; no sandbox, no pool.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fnctl import config
from fnctl.model import Function, Project, RuntimeSpec

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
DATA_SERVER = ROOT / "layers" / "data" / "server.py"
RUNTIMES = {
    "node24": RuntimeSpec("node24", "node", "24.0.0", ROOT / "layers" / "node", ()),
    "python3.13": RuntimeSpec("python3.13", "python", "3.13.0", ROOT / "layers" / "python", ()),
}

# One invocation: the event on stdin, the response on stdout.
ONE_CALL = {
    "node24": """
        const [module, attribute] = process.env.HANDLER.split('.');
        const event = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
        const handler = require(process.cwd() + '/' + module)[attribute];
        handler(event, {}).then((response) => process.stdout.write(JSON.stringify(response)));
    """,
    "python3.13": """if True:
        import importlib, json, os, sys
        module, attribute = os.environ['HANDLER'].split('.')
        response = getattr(importlib.import_module(module), attribute)(json.load(sys.stdin), None)
        json.dump(response, sys.stdout)
    """,
}
INTERPRETER = {"node24": ["node", "-e"], "python3.13": [sys.executable, "-S", "-c"]}


def project(template: str) -> Project:
    return config.load(TEMPLATES / template, environ={}, runtimes=RUNTIMES)


@contextmanager
def serving(command: list[str], cwd: Path, environment: dict[str, str], said: str) -> Iterator[str]:
    """Run a server that writes its address to a pipe, as the first match of `said`; the address, until the end."""
    process = subprocess.Popen(
        command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(said, line):
                reading = threading.Thread(target=process.stdout.read)  # or its pipe would fill up
                reading.start()
                yield found[1]
                process.terminate()
                reading.join(20)
                return
        raise AssertionError(f"{command} ended with {process.wait()}:\n{''.join(lines)}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def copied(template: str, to: Path) -> Path:
    """The template as a project of its own: installing must not write into the repository."""
    return Path(shutil.copytree(TEMPLATES / template, to / template, ignore=shutil.ignore_patterns("node_modules")))


def installed_express(to: Path) -> Path:
    """The project with its packages."""
    folder = copied("todolist-express", to)
    run(["npm", "ci", "--no-audit", "--no-fund"], folder)
    return folder


def installed_flask(to: Path) -> tuple[Path, str]:
    """The project, and the Python that has its requirements and pytest."""
    folder = copied("todolist-flask", to)
    run([sys.executable, "-m", "venv", str(to / "venv")], to)
    python = str(to / "venv" / "bin" / "python")
    run([python, "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt", "pytest"], folder)
    return folder, python


def run(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


@contextmanager
def data_service(to: Path) -> Iterator[str]:
    command = [sys.executable, str(DATA_SERVER), "--host", "127.0.0.1", "--port", "0", "--db", str(to / "data.db")]
    with serving(command, to, {}, r"listening on (http://\S+)") as address:
        yield address


@contextmanager
def resident(folder: Path, python: str | None = None) -> Iterator[str]:
    """The unmodified app, installed in this folder, on a port of its own choosing: Express, or Flask by `python`."""
    command, said = (["node", "app.js"], "on") if python is None else ([python, "-u", "app.py"], "Running on")
    with serving(command, folder, {"PORT": "0"}, rf"{said} (http://\S+)") as address:
        yield address


@contextmanager
def ephemeral(language: str, to: Path) -> Iterator[str]:
    """The template's single functions, routed by its triggers."""
    routes = [route for function in project(f"todolist-{language}").functions for route in _routes(function)]
    with data_service(to) as data:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Stand", (_Stand,), {"routes": routes, "data": data}))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@dataclass(frozen=True, slots=True)
class Route:
    function: Function
    methods: frozenset[str]
    path: re.Pattern[str]


def _routes(function: Function) -> list[Route]:
    return [
        Route(function, trigger.methods, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", trigger.path)))
        for trigger in function.routes
    ]


class _Stand(BaseHTTPRequestHandler):
    """Answers one request a connection by running one process."""

    routes: list[Route]
    data: str

    def do_any(self) -> None:
        url = urlsplit(self.path)
        found = [(route, match) for route in self.routes if (match := route.path.fullmatch(url.path))]
        chosen = next((each for each in found if self.command in each[0].methods), None)
        if chosen is None:
            self._send(405 if found else 404, {"content-type": "application/json"}, b'{"error": {"code": "not_found"}}')
            return
        response = self._invoke(chosen[0].function, self._event(url.path, url.query, chosen[1].groupdict()))
        body, headers = response.get("body"), response.get("headers", {})
        if body is not None and not isinstance(body, str):
            body, headers = json.dumps(body), {"content-type": "application/json", **headers}
        self._send(response["statusCode"], headers, (body or "").encode())

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = do_any

    def _event(self, path: str, query: str, params: dict[str, str]) -> dict[str, Any]:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        event: dict[str, Any] = {"method": self.command, "path": path, "params": params, "headers": headers}
        event.update(query=dict(parse_qsl(query, keep_blank_values=True)), body=body or None, isBase64Encoded=False)
        if self.headers.get_content_type() == "application/json":
            with suppress(ValueError):  # the contract: no "json" where the body is none
                event["json"] = json.loads(body)
        return event

    def _invoke(self, function: Function, event: dict[str, Any]) -> dict[str, Any]:
        environment = {**os.environ, **dict(function.environment), "DATA_URL": self.data, "HANDLER": function.handler}
        command = [*INTERPRETER[function.runtime], ONE_CALL[function.runtime]]
        ended = subprocess.run(
            command, cwd=function.path, env=environment, input=json.dumps(event), capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stderr
        answer: dict[str, Any] = json.loads(ended.stdout)
        return answer

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""

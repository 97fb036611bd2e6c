"""A project as a compose file, validated and run by docker-compose: without fnctl, as with it."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

from fnctl.cli.main import main
from tests.support.ports import free_port
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROJECT = """
services: {store: {type: data}}
secrets: {token: {file: token.txt}}
functions:
  web:
    runtime: node24
    handler: index.handler
    network: services
    health: /ok
    secrets: [token]
    environment: {GREETING: "hello ${WHO:-you}"}
"""
CODE = """
const fs = require('node:fs');
exports.handler = async () => {
  const store = await fetch('http://store/').then((answer) => answer.status, () => 0);
  const token = fs.readFileSync('/run/secrets/token', 'utf8').trim();
  return {statusCode: 200, body: JSON.stringify([process.env.GREETING, token, store > 0])};
};
"""


def test_docker_compose_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("fnctl.yaml", PROJECT), ("index.js", CODE), ("token.txt", "s3cret")):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["export", "compose", "out", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "file": "out/compose.yaml", "services": ["web", "store"], "left_out": [],
    }  # fmt: skip
    assert main(["export", "compose", "out"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert "s3cret" not in (tmp_path / "out" / "compose.yaml").read_text()

    port, project = free_port(), f"fnctl-test-{os.getpid()}"
    environment = {**os.environ, "WEB_PORT": str(port), "WHO": "world"}

    def compose(*words: str) -> str:
        command = ["docker-compose", "-p", project, "-f", "out/compose.yaml", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer() -> object:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as got:
                return json.load(got)
        except OSError:
            return None

    compose("config", "--quiet")  # against the compose specification's schema
    try:
        compose("up", "-d")
        until(lambda: answer() == ["hello world", "s3cret", True], "an answer")
        until(lambda: "(healthy)" in compose("ps"), "its health check")
    finally:
        compose("down", "--volumes")

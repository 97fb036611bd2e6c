"""The story of a first project on the command line: made, served, called, looked at, stopped, cleaned up after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ports import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


class Shell:
    """Runs `fnctl` in a folder, with a home of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "FNCTL_HOME": str(home), "NO_COLOR": "1"}

    def fnctl(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fnctl.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stderr
        return done


def test_a_first_project(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    shell = Shell(tmp_path, tmp_path / "h")
    shell.environment["PYTHONPATH"] = root
    shell.fnctl("init", "hello")
    shell.folder = tmp_path / "hello"

    alone = shell.fnctl("invoke", "hello", "--path", "/?name=Ada")
    assert json.loads(alone.stdout)["message"] == "Hello, Ada!"
    assert "200 OK  cold" in alone.stderr

    shell.fnctl("run", "--detach", "--warm", "1", "--port", str(free_port()))
    try:
        shell.fnctl("run", "--port", str(free_port()), code=1)
        status = json.loads(shell.fnctl("ps", "-o", "json").stdout)
        assert [each["name"] for each in status["functions"]] == ["hello"]
        assert shell.fnctl("ps").stdout.startswith("serving at ")
        served = json.loads(shell.fnctl("invoke", "hello", "-o", "json").stdout)
        assert (served["status"], served["receipt"]["start"]) == (200, "runtime")
    finally:
        shell.fnctl("stop")
    shell.fnctl("ps", code=2)

    entries = [json.loads(line) for line in shell.fnctl("logs", "hello", "-o", "json").stdout.splitlines()]
    receipts = [each for each in entries if each["kind"] == "receipt"]
    assert [(each["start"], each["verdict"]) for each in receipts] == [("cold", "ok"), ("runtime", "ok")]
    assert receipts[1]["id"] == served["id"]

    left = json.loads(shell.fnctl("prune", "--dry-run", "-o", "json").stdout)
    (project,) = (path.name for path in (tmp_path / "h" / "projects").iterdir())
    ours = [each for each in left if each["kind"] == "bundle" or project in each["name"]]  # others may run beside
    assert [each for each in ours if each["kind"] in ("container", "network", "slots", "bundle")] == []

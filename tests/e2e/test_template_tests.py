"""Each template's own tests, run as its user runs them: in a folder of its own, with its own dependencies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e import local_apps


def test_todolist_express(tmp_path: Path, express_app: Path) -> None:
    with local_apps.data_service(tmp_path) as address:
        said = local_apps.run(["npm", "test"], express_app, {"DATA_URL": address})
    assert "skipped 0" in said
    assert "pass 7" in said


def test_todolist_flask(tmp_path: Path, flask_app: tuple[Path, str]) -> None:
    folder, python = flask_app
    with local_apps.data_service(tmp_path) as address:
        said = local_apps.run([python, "-m", "pytest", "-q"], folder, {"DATA_URL": address})
    assert "22 passed" in said
    assert "skipped" not in said


@pytest.mark.parametrize(
    ("template", "command", "expected"),
    [
        ("hello-node", ["node", "--test"], "pass 2"),
        ("hello-python", [sys.executable, "-m", "pytest", "-q"], "2 passed"),
        ("order", [sys.executable, "-m", "fnctl.cli.main", "test", "--", "-q"], "4 passed"),
        ("verification", [sys.executable, "-m", "fnctl.cli.main", "test", "--", "-q"], "4 passed"),
    ],
)
def test_of_its_own(tmp_path: Path, template: str, command: list[str], expected: str) -> None:
    assert expected in local_apps.run(command, local_apps.copied(template, tmp_path))

"""The program that installs a pyproject.toml's dependencies: run as the install container runs it, short of pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "layers/python/install/project.py"


def run(folder: Path, pyproject: str) -> subprocess.CompletedProcess[str]:
    (folder / "pyproject.toml").write_text(pyproject)
    argv = [sys.executable, str(PROGRAM), "pyproject.toml", "target"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("pyproject", "said"),
    [
        ("[tool.black]\n", "no [project] table"),
        ('[project]\nname = "a"\ndynamic = ["dependencies"]\n', "use requirements.txt"),
    ],
)
def test_dependencies_that_are_not_written_down_are_told(tmp_path: Path, pyproject: str, said: str) -> None:
    done = run(tmp_path, pyproject)
    assert done.returncode == 1
    assert said in done.stderr


def test_no_dependencies_is_nothing_to_do(tmp_path: Path) -> None:
    done = run(tmp_path, '[project]\nname = "a"\ndependencies = []\n')
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "target").exists()


def test_pip_is_called_with_them(tmp_path: Path) -> None:
    done = run(tmp_path, '[project]\nname = "a"\ndependencies = ["six==1.17.0"]\n')
    assert done.returncode != 0  # there is no pip of the image on this machine
    assert "/opt/fnctl/build/pip/pip" in done.stderr

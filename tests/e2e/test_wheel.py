"""The built wheel in an environment of its own: what fnctl needs beside its code is in there and is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import json, fnctl
from fnctl import catalog
print(json.dumps({
    "package": fnctl.__file__,
    "layers": str(catalog.layers_dir()),
    "templates": sorted(folder.name for folder in catalog.templates_dir().iterdir()),
    "runtimes": sorted(catalog.runtimes()),
    "folders": {name: str(spec.folder) for name, spec in catalog.runtimes().items()},
}))
"""


def run(*argv: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone; fnctl's dependencies come from this one by a path file, after its own."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=ROOT)
    (wheel,) = (folder / "dist").glob("*.whl")
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    pip = ("-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--no-cache-dir")
    run(sys.executable, *pip, wheel, cwd=folder)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_only_fnctl_is_in_the_wheel(installed: Path) -> None:
    """Neither the tests nor what measures fnctl itself."""
    (wheel,) = (installed / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert {name.partition("/")[0].partition("-")[0] for name in archive.namelist()} == {"fnctl"}


def test_assets_are_those_of_the_wheel(installed: Path) -> None:
    found = json.loads(run(installed / "venv/bin/python", "-c", PROBE, cwd=installed))
    assert Path(found["package"]).is_relative_to(installed)
    assert Path(found["layers"]).is_relative_to(installed)
    assert {"node24", "python3.13"} <= set(found["runtimes"])
    assert all(Path(folder).is_relative_to(installed) for folder in found["folders"].values())
    assert {"demo", "hello-node", "hello-python", "todolist-express", "todolist-flask"} <= set(found["templates"])


def test_every_file_of_the_layers_is_in_the_wheel(installed: Path) -> None:
    shown = json.loads(run(installed / "venv/bin/python", "-c", PROBE, cwd=installed))
    tracked = run("git", "ls-files", "layers", cwd=ROOT).split()
    missing = [file for file in tracked if not (Path(shown["layers"]).parent / file).exists()]
    assert tracked
    assert missing == []


def test_the_command_runs_from_there(installed: Path) -> None:
    assert "Usage: fnctl" in run(installed / "venv/bin/fnctl", "--help", cwd=installed)

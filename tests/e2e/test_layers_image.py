"""The sandbox image on a real engine: what is in it, and that a second run makes nothing."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.builder.base_image import BASE
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_DIGEST, LABEL_ORIGIN, LABEL_ROLE, Engine, RunResult
from fnctl.model import RuntimeSpec, SandboxSpec
from fnctl.progress import Silent
from tests.support.command import docker

pytestmark = pytest.mark.engine


@dataclass(slots=True)
class Steps(Silent):
    """Remembers which steps were started."""

    started: list[str] = field(default_factory=list)

    def start(self, step: str) -> None:
        self.started.append(step)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = DockerEngine()
    yield made
    made.close()


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    return layers.sandbox_image(engine, catalog.default_runtimes(), Silent())


def run(engine: Engine, image: str, *argv: str, uid: int = 65432) -> RunResult:
    """One command in the hardened sandbox, as a function would run it."""
    spec = SandboxSpec(f"fnctl-test-layers-{uuid.uuid4().hex[:12]}", image, argv, ((LABEL, "1"),), uid, ())
    return engine.run(spec, timeout_s=30)


def image_files(reference: str, folder: Path) -> set[str]:
    """The names of all files in an image's layers."""
    archive = folder / "image.tar"
    docker("save", "-o", str(archive), reference)
    names: set[str] = set()
    with tarfile.open(archive) as image:
        manifest = json.load(image.extractfile("manifest.json") or io.BytesIO())
        for layer in manifest[0]["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                names.update(name.removeprefix("./") for name in files.getnames())
    return names


def test_a_second_run_makes_nothing(engine: Engine, image: str) -> None:
    steps = Steps()
    assert layers.sandbox_image(engine, catalog.default_runtimes(), steps) == image
    assert steps.started == []


def test_labels_tell_whose_it_is_and_what_it_was_made_of(engine: Engine, image: str) -> None:
    info, base = engine.image(image), engine.image(layers.base_image(engine, Silent()))
    assert info is not None
    assert base is not None
    assert info.labels[LABEL] == "1"
    assert info.labels[LABEL_ROLE] == "layer"
    assert info.labels[LABEL_DIGEST].removeprefix("sha256:").startswith(image.rpartition(":")[2])
    assert base.labels.get(LABEL_ORIGIN, "local").partition(":")[0] in ("local", "pulled", "bootstrap")
    assert "debian:trixie-slim" not in base.tags or base.labels.get(LABEL_ORIGIN) is None
    assert info.layers[: len(base.layers)] == base.layers


@pytest.mark.parametrize("spec", catalog.default_runtimes(), ids=lambda spec: spec.name)
def test_each_runtime_has_the_version_that_it_declares(engine: Engine, image: str, spec: RuntimeSpec) -> None:
    result = run(engine, image, spec.agent[0], "--version")
    assert result.exit_code == 0, result.output
    assert result.output.strip() in (f"v{spec.version}", f"Python {spec.version}")


def test_python_has_its_whole_standard_library(engine: Engine, image: str) -> None:
    modules = "asyncio,bz2,ctypes,decimal,lzma,multiprocessing,readline,sqlite3,ssl,uuid,zoneinfo"
    result = run(engine, image, "/usr/bin/python3", "-c", f"import {modules}; zoneinfo.ZoneInfo('Europe/Berlin')")
    assert (result.exit_code, result.output) == (0, "")


def test_the_agents_servers_are_hidden_from_functions(engine: Engine, image: str) -> None:
    hidden = run(engine, image, "/usr/bin/python3", "-c", "import uvicorn")
    assert "No module named 'uvicorn'" in hidden.output
    vendor = "import sys; sys.path.insert(0, '/opt/fnctl/python/vendor'); import uvicorn, httptools, websockets"
    assert run(engine, image, "/usr/bin/python3", "-c", vendor).exit_code == 0


def test_pip_and_npm_run_in_the_same_image(engine: Engine, image: str) -> None:
    pip = run(engine, image, "/usr/bin/python3", "/opt/fnctl/build/pip/pip", "--version")
    npm = run(engine, image, "/opt/fnctl/node24/bin/node", "/opt/fnctl/build/npm/bin/npm-cli.js", "--version")
    assert pip.output.startswith("pip 26.3 from /opt/fnctl/build/pip"), pip.output
    assert npm.output.strip() == "11.21.2"


def test_bytecode_is_there_since_nothing_can_write_it_later(engine: Engine, image: str) -> None:
    """An import that has to compile costs ten times as much, in every sandbox, every time."""
    script = (
        "import sys, importlib.util as u; sys.path[:0] = ['/opt/fnctl/python/vendor']\n"
        "import asyncio, sqlite3, email, http.server, uvicorn, httptools\n"
        "from pathlib import Path\n"
        "loose = [m.__cached__ for m in sys.modules.values() if getattr(m, '__cached__', None)"
        " and not Path(m.__cached__).exists()]\n"
        "print(loose)"
    )
    assert run(engine, image, "/usr/bin/python3", "-c", script).output.strip() == "[]"


def test_dependencies_of_a_pyproject_are_installed_by_pip_itself(engine: Engine, image: str) -> None:
    """Without a network, so that pip gets as far as asking for the package."""
    script = (
        'cd /tmp && printf \'[project]\\nname = "a"\\ndependencies = ["six==1.17.0"]\\n\' > pyproject.toml && '
        "PIP_RETRIES=0 /usr/bin/python3 /opt/fnctl/python/install/project.py pyproject.toml target"
    )
    result = run(engine, image, "/bin/sh", "-c", script)
    assert result.exit_code == 1
    assert "No matching distribution found for six==1.17.0" in result.output


def test_nothing_of_the_hosts_settings_is_in_the_image(engine: Engine, image: str) -> None:
    """Proxy, certificate authority and registry settings belong to the step that needed them."""
    found = run(engine, image, "/usr/bin/env")
    assert {line.partition("=")[0] for line in found.output.splitlines()} <= {"PATH", "HOME", "HOSTNAME"}
    places = "/etc/pip.conf /root/.npmrc /root/.config /root/.cache /usr/local/share/ca-certificates/*"
    looked = run(engine, image, "/bin/sh", "-c", f"ls -d {places}", uid=0)
    assert looked.output.count("No such file") == 5, looked.output


def test_nothing_of_this_machine_is_in_a_bootstrapped_base(engine: Engine, tmp_path: Path) -> None:
    """Its name and name servers would be shipped with every function, and no two machines would make the same base."""
    base = engine.image(BASE)
    if base is None or not base.labels.get(LABEL_ORIGIN, "").startswith("bootstrap:"):
        pytest.skip("the base of this engine was not bootstrapped here")
    # The engine mounts its own files there; what the image itself holds is seen only in its archive.
    names = image_files(BASE, tmp_path)
    assert "etc/debian_version" in names
    assert not {"etc/hostname", "etc/resolv.conf"} & names

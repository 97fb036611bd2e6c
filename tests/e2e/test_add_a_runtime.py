"""A runtime is a folder under layers/ and nothing else: one in shell, added here, made into an image, and run."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_DIGEST, Engine
from fnctl.errors import BuildError
from fnctl.model import RuntimeSpec, SandboxSpec
from fnctl.progress import Silent

pytestmark = pytest.mark.engine

YAML = """
language: shell
runtimes:
  dash1:
    version: "1"
    agent: [/bin/dash, /opt/fnctl/shell/agent.sh]
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = DockerEngine()
    yield made
    made.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """fnctl's own layers/, and the new folder beside them."""
    folder = tmp_path / "layers"
    shutil.copytree(catalog.layers_dir(), folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (folder / "shell").mkdir()
    (folder / "shell/runtime.yaml").write_text(YAML)
    (folder / "shell/agent.sh").write_text(f'echo "$(cat /opt/fnctl/shell-runtimes) is here {uuid.uuid4().hex}"\n')
    return folder


def runtimes_digest(engine: Engine, spec: RuntimeSpec) -> str:
    """Of the image below the sandbox image."""
    base, machine = engine.image(layers.base_image(engine, Silent())), layers.architecture()
    assert base is not None
    return layers.runtimes_digest(base.id, machine, layers.select([spec], machine))


def runtimes_image(digest: str) -> str:
    return f"fnctl/runtimes:{digest[:12]}"


def test_a_folder_is_enough(engine: Engine, root: Path) -> None:
    (root / "shell/Dockerfile.runtime.j2").write_text(
        "RUN mkdir -p /opt/fnctl && echo {{ runtimes | join(' ') }} > /opt/fnctl/shell-runtimes\n"
    )
    spec = catalog.runtimes(root)["dash1"]
    image = layers.sandbox_image(engine, [spec], Silent(), root)
    sandbox = SandboxSpec(f"fnctl-test-{uuid.uuid4().hex[:12]}", image, spec.agent, ((LABEL, "1"),), 65432, ())
    try:
        result = engine.run(sandbox, timeout_s=30)
    finally:
        engine.remove_image(image)
        engine.remove_image(runtimes_image(runtimes_digest(engine, spec)))
    assert result.exit_code == 0
    assert result.output.startswith("dash1 is here ")


def test_a_snippet_that_fails_leaves_no_image(engine: Engine, root: Path) -> None:
    (root / "shell/Dockerfile.runtime.j2").write_text("RUN echo the disk is full && exit 3\n")
    spec = catalog.runtimes(root)["dash1"]
    digest = runtimes_digest(engine, spec)
    with pytest.raises(BuildError) as caught:
        layers.sandbox_image(engine, [spec], Silent(), root)
    assert "the disk is full" in (caught.value.detail or "")
    assert engine.image(runtimes_image(digest)) is None
    assert engine.images({LABEL: "1", LABEL_DIGEST: f"sha256:{digest}"}) == []

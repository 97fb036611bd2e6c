"""Which inputs make which image: a digest changes with each of them, and with nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.builder.base_image import BASE
from fnctl.catalog import Download
from fnctl.engine.fake import FakeEngine
from fnctl.progress import Silent

YAML = """
language: toy
fetch:
  lib: {source: "https://example.org/lib.tgz", integrity: "sha256:00"}
runtimes:
  toy1:
    version: "1"
    agent: [/opt/fnctl/toy1/bin/toy]
    fetch:
      toy1:
        amd64: {source: "https://example.org/a.tgz", integrity: "sha256:01"}
        arm64: {source: "https://example.org/b.tgz", integrity: "sha256:02"}
  toy2: {version: "2", agent: [/opt/fnctl/toy2/bin/toy]}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    toy = tmp_path / "toy"
    toy.mkdir()
    (toy / "runtime.yaml").write_text(YAML)
    (toy / "Dockerfile.runtime.j2").write_text("COPY {{ folder }}/ /opt/\n")
    (toy / "agent.toy").write_text("agent\n")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "supervisor.pl").write_text("supervise\n")
    return tmp_path


def picked(root: Path, *names: str, machine: str = "amd64") -> list[layers.Selection]:
    known = catalog.runtimes(root)
    return layers.select([known[name] for name in names], machine)


def digests(root: Path, *names: str, base: str = "sha256:base", machine: str = "amd64") -> tuple[str, str]:
    selection = picked(root, *names, machine=machine)
    lower = layers.runtimes_digest(base, machine, selection)
    return lower, layers.sandbox_digest(lower, root, selection)


def test_only_what_is_selected_and_fits_the_machine_is_fetched(root: Path) -> None:
    (selection,) = picked(root, "toy1", machine="arm64")
    assert [item.source for item in selection.fetches if isinstance(item, Download)] == [
        "https://example.org/lib.tgz",
        "https://example.org/b.tgz",
    ]
    (selection,) = picked(root, "toy2")
    assert [item.name for item in selection.fetches] == ["lib"]


def test_the_order_and_repetition_of_runtimes_do_not_matter(root: Path) -> None:
    assert digests(root, "toy1", "toy2") == digests(root, "toy2", "toy1", "toy2")
    assert digests(root, "toy1") != digests(root, "toy2")


def test_an_agent_file_changes_the_sandbox_image_only(root: Path) -> None:
    before = digests(root, "toy1")
    (root / "toy" / "agent.toy").write_text("another\n")
    after = digests(root, "toy1")
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "toy" / "Dockerfile.runtime.j2").write_text("COPY {{ folder }}/ /\n"),
        lambda root: (root / "toy" / "runtime.yaml").write_text(YAML.replace("sha256:01", "sha256:03")),
    ],
    ids=["snippet", "pin"],
)
def test_what_the_runtimes_are_made_of_changes_both_images(root: Path, change: object) -> None:
    before = digests(root, "toy1")
    assert callable(change)
    change(root)
    after = digests(root, "toy1")
    assert after[0] != before[0]
    assert after[1] != before[1]


def test_base_and_machine_are_inputs(root: Path) -> None:
    plain = digests(root, "toy2")
    assert digests(root, "toy2", base="sha256:other")[0] != plain[0]
    assert digests(root, "toy2", machine="arm64")[0] != plain[0]


def test_a_file_that_becomes_executable_changes_the_image(root: Path) -> None:
    before = digests(root, "toy1")
    (root / "base" / "supervisor.pl").chmod(0o755)
    assert digests(root, "toy1") != before


def test_times_caches_notes_and_other_permissions_do_not_change_it(root: Path) -> None:
    before = digests(root, "toy1")
    os.utime(root / "toy" / "agent.toy", (1, 1))
    (root / "toy" / "agent.toy").chmod(0o600)
    for name in ("__pycache__/a.pyc", ".cache/b", "tests/test_toy.py", "README.md"):
        file = root / "toy" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("not for the sandbox")
    assert digests(root, "toy1") == before


def test_folders_without_sandbox_files_are_left_out(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "notes").mkdir()
    (root / "notes" / "README.md").write_text("words")
    assert [folder.name for folder in layers.agent_folders(root)] == ["base", "toy"]


def test_tools_for_builds_are_an_image_apart_that_sandboxes_know_nothing_of(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    engine = FakeEngine()
    engine.add_image(BASE)
    sandboxes = digests(root, "toy2")
    assert layers.build_image(engine, catalog.runtimes(root)["toy2"], Silent()) is None
    tools = root / "toy" / layers.BUILD_SNIPPET
    tools.write_text("RUN install-compiler\n")
    (root / "toy" / "runtime.yaml").write_text(YAML.replace("fetch:\n  lib", "x-none:\n  lib"))
    spec = catalog.runtimes(root)["toy2"]
    first = layers.build_image(engine, spec, Silent())
    assert first is not None and first.startswith("fnctl/build:")
    assert layers.build_image(engine, spec, Silent()) == first
    tools.write_text("RUN install-compiler --newer\n")
    second = layers.build_image(engine, spec, Silent())
    assert second != first
    (root / "toy" / "agent.toy").write_text("another\n")
    assert layers.build_image(engine, spec, Silent()) != second
    (root / "toy" / "agent.toy").write_text("agent\n")
    (root / "toy" / "runtime.yaml").write_text(YAML)
    assert digests(root, "toy2") == sandboxes


class Reading(FakeEngine):
    """Keeps who may read what it builds from."""

    modes: dict[str, int]

    def build(self, context: Path, **options: Any) -> None:
        self.modes = {str(p.relative_to(context)): p.stat().st_mode & 0o777 for p in context.rglob("*")}
        super().build(context, **options)


def test_what_an_image_is_made_of_can_be_read_by_any_user_whatever_the_umask(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    engine = Reading()
    engine.add_image(BASE)
    (root / "toy" / layers.BUILD_SNIPPET).write_text("RUN install-compiler\n")
    (root / "toy" / "runtime.yaml").write_text(YAML.replace("fetch:\n  lib", "x-none:\n  lib"))
    (root / "toy" / "inner").mkdir()
    (root / "toy" / "inner" / "start").write_text("")
    (root / "toy" / "inner" / "start").chmod(0o700)
    before = os.umask(0o077)
    try:
        layers.build_image(engine, catalog.runtimes(root)["toy2"], Silent())
    finally:
        os.umask(before)
    assert engine.modes["toy"] == engine.modes["toy/inner"] == engine.modes["toy/inner/start"] == 0o755
    assert engine.modes["toy/agent.toy"] == 0o644

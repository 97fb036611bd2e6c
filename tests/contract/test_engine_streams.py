"""Docker's long answers, on a real engine: runs, builds, loads; their output, ends and deadlines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_ROLE
from fnctl.errors import BuildError, DeadlineExceeded, EngineError
from fnctl.model import SandboxSpec

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
RUN_S = 30.0


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def spec() -> SandboxSpec:
    mark = secrets.token_hex(4)
    return SandboxSpec(
        name=f"fnctl-test-{mark}",
        image=IMAGE,
        command=("/bin/sh", "-c", "true"),
        labels=((LABEL, "1"), (LABEL_ROLE, "test"), ("dev.fnctl.test", mark)),
        uid=61004,
        mounts=(),
        memory_mb=64,
    )


def _shell(spec: SandboxSpec, script: str) -> SandboxSpec:
    return replace(spec, command=("/bin/sh", "-c", script))


def test_both_outputs_come_by_lines_and_the_code_is_the_commands(engine: DockerEngine, spec: SandboxSpec) -> None:
    lines: list[str] = []
    result = engine.run(
        _shell(spec, "echo one; echo two >&2; printf thrée; exit 7"), timeout_s=RUN_S, on_line=lines.append
    )

    assert sorted(lines) == ["one", "thrée", "two"]
    assert (result.exit_code, result.timed_out) == (7, False)


def test_a_long_output_is_cut_to_its_end(engine: DockerEngine, spec: SandboxSpec) -> None:
    result = engine.run(_shell(spec, "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last"), timeout_s=RUN_S)

    assert result.output.endswith("last\n")
    assert len(result.output) <= 1024 * 1024 + 100


def test_a_deadline_kills_and_removes(engine: DockerEngine, spec: SandboxSpec) -> None:
    result = engine.run(_shell(spec, "echo begun; trap '' TERM; while :; do sleep 1; done"), timeout_s=1.5)

    assert (result.timed_out, result.exit_code, result.output) == (True, 137, "begun\n")
    assert engine.inspect(spec.name) is None


def test_lines_come_while_it_runs(engine: DockerEngine, spec: SandboxSpec) -> None:
    """What comes at its end would come after it was killed, and be the whole of it."""
    seen: list[bool] = []

    def look(line: str) -> None:
        info = engine.inspect(spec.name)
        seen.append(info is not None and info.running)
        engine.destroy(spec.name)

    with pytest.raises(EngineError):
        engine.run(_shell(spec, "echo begun; sleep 100"), timeout_s=RUN_S, on_line=look)

    assert seen == [True]


def test_an_interrupt_in_the_middle_leaves_no_container(engine: DockerEngine, spec: SandboxSpec) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.run(_shell(spec, "echo begun; sleep 100"), timeout_s=RUN_S, on_line=interrupt)

    assert engine.inspect(spec.name) is None


def test_a_command_that_is_not_there_is_an_error_and_leaves_nothing(engine: DockerEngine, spec: SandboxSpec) -> None:
    with pytest.raises(EngineError, match="no-such-command"):
        engine.run(replace(spec, command=("/no-such-command",)), timeout_s=RUN_S)

    assert engine.inspect(spec.name) is None


def test_a_folder_that_is_not_there_is_not_made(engine: DockerEngine, spec: SandboxSpec, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(EngineError, match="missing"):
        engine.create(replace(spec, mounts=((str(missing), "/fn", True),)))

    assert not missing.exists()


@pytest.fixture
def tag(engine: DockerEngine) -> Iterator[str]:
    tag = f"fnctl/test-{secrets.token_hex(4)}:built"
    yield tag
    engine.remove_image(tag)


def _dockerfile(folder: Path, *steps: str) -> Path:
    (folder / "Dockerfile").write_text("\n".join((f"FROM {IMAGE}", *steps)) + "\n")
    return folder


def test_a_build_is_labelled_and_leaves_out_what_is_ignored(engine: DockerEngine, tag: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    (tmp_path / "secret.env").write_text("")
    (tmp_path / ".dockerignore").write_text("# not for images\n*.env\n")
    lines: list[str] = []
    _dockerfile(tmp_path, "COPY . /context/", "RUN ls -A /context")
    engine.build(tmp_path, tag=tag, labels={LABEL: "1", LABEL_ROLE: "test"}, on_line=lines.append)

    found = engine.image(tag)
    assert found is not None and found.labels[LABEL_ROLE] == "test"
    assert "kept" in lines and "secret.env" not in lines


def test_a_failed_build_shows_the_steps_own_lines_and_tags_nothing(
    engine: DockerEngine, tag: str, tmp_path: Path
) -> None:
    _dockerfile(tmp_path, "RUN echo the reason is this >&2; exit 3")
    with pytest.raises(BuildError) as caught:
        engine.build(tmp_path, tag=tag, labels={LABEL: "1"})

    assert "the reason is this" in (caught.value.detail or "")
    assert engine.image(tag) is None


def test_a_hanging_build_step_is_ended(engine: DockerEngine, tag: str, tmp_path: Path) -> None:
    _dockerfile(tmp_path, "RUN sleep 600")
    with pytest.raises(DeadlineExceeded) as caught:
        engine.build(tmp_path, tag=tag, labels={LABEL: "1"}, timeout_s=2)

    assert caught.value.code == "build_timeout"
    assert engine.image(tag) is None

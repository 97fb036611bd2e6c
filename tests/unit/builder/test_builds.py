"""A build's story on the fake engine: what is made, what is kept when a step fails, what a second build does."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import builds, inputs, record
from fnctl.builder import dependencies as install
from fnctl.builder.builds import Built
from fnctl.builder.plan import Action, Goal, Plan
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import RunResult
from fnctl.errors import BuildError, DeadlineExceeded
from fnctl.model import Function, Project, SandboxSpec
from fnctl.paths import ProjectPaths
from fnctl.progress import Silent

RUNTIMES = catalog.runtimes()
LONG_AGO = 1_600_000_000


class Stage:
    """A project in a folder of its own, with files that look as if they had lain there for long."""

    def __init__(self, root: Path) -> None:
        self.engine = FakeEngine()
        self.engine.add_image("sandbox")
        self.folder = root / "hello"
        self.function = Function("hello", self.folder, "node24", "index.js")
        self.project = Project(root, "p1", (self.function,))
        self.write("index.js", "main")
        self.write("package.json", '{"dependencies": {"express": "5"}}')

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def build(self, *functions: Function, force: bool = False) -> Built:
        chosen = functions or (self.function,)
        built = builds.build(
            chosen, engine=self.engine, image="sandbox", runtimes=RUNTIMES, project=self.project,
            progress=Silent(), force=force,
        )  # fmt: skip
        return built[chosen[0].name]

    def plan(self, goal: Goal = Goal.SERVE) -> Plan:
        return builds.plans([self.function], RUNTIMES, self.project, goal)[0]

    def networks(self) -> list[str | None]:
        """Of each install, in order: other steps have none."""
        runs = [arguments[0] for name, arguments in self.engine.calls if name == "run"]
        return [spec.network for spec in runs if isinstance(spec, SandboxSpec) and spec.network != "none"]

    def runs(self) -> int:
        """Installs: of what runs in containers, only they have a network."""
        return len(self.networks())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    return Stage(tmp_path)


def test_a_second_build_does_nothing_and_a_code_change_reinstalls_nothing(stage: Stage) -> None:
    first = stage.build()
    assert (first.cached, first.install_cached, stage.runs()) == (False, False, 1)
    again = stage.build()
    assert (again.cached, again.bundle, stage.runs()) == (True, first.bundle, 1)
    stage.write("index.js", "changed")
    changed = stage.build()
    assert (changed.cached, changed.install_cached, stage.runs()) == (False, True, 1)
    assert changed.bundle.digest != first.bundle.digest
    assert builds.current(stage.project, stage.function) == changed.bundle


def test_a_touched_file_makes_no_new_version(stage: Stage) -> None:
    first = stage.build()
    os.utime(stage.folder / "index.js", (LONG_AGO, LONG_AGO))
    assert stage.build().cached
    assert stage.build().bundle == first.bundle


def test_force_installs_again(stage: Stage) -> None:
    first = stage.build()
    forced = stage.build(force=True)
    assert (forced.cached, forced.bundle.digest, stage.runs()) == (False, first.bundle.digest, 2)


def test_functions_of_one_folder_share_one_bundle_and_one_install(stage: Stage) -> None:
    other = replace(stage.function, name="other", handler="index.main")
    project = replace(stage.project, functions=(stage.function, other))
    stage.build(stage.function, other)
    bundles = [builds.current(project, each) for each in project.functions]
    assert stage.runs() == 1
    assert [bundle.handler for bundle in bundles if bundle] == ["index.js", "index.main"]
    assert len({bundle.root for bundle in bundles if bundle}) == 1


def test_a_failed_install_keeps_the_version_before_and_shows_the_tools_words(stage: Stage) -> None:
    first = stage.build()
    stage.write("package.json", '{"dependencies": {"express": "999"}}')
    stage.engine.runs.append(RunResult(1, "npm error code ETARGET\nnpm error No matching version"))
    with pytest.raises(BuildError) as caught:
        stage.build()
    assert "No matching version" in (caught.value.detail or "")
    assert "check its name and number" in (caught.value.hint or "")
    assert builds.current(stage.project, stage.function) == first.bundle
    left = [path.name for path in (stage.project.root / "home").glob("*/.work-*")]
    assert left == []
    assert not stage.build().cached  # a retry works


def test_a_step_that_hangs_is_a_named_deadline(stage: Stage) -> None:
    stage.engine.runs.append(RunResult(137, "fetching …", timed_out=True))
    with pytest.raises(DeadlineExceeded) as caught:
        stage.build()
    assert caught.value.code == "build_timeout"
    assert "fetching" in (caught.value.detail or "")


def test_one_failure_does_not_stop_the_others(stage: Stage) -> None:
    stage.write("../plain/page.html", "plain")
    plain = Function("plain", stage.folder.parent / "plain", "python3.13", "page.html")  # no step of its is run
    stage.engine.runs.append(RunResult(1, "npm error"))
    with pytest.raises(BuildError, match="hello"):
        stage.build(stage.function, plain)
    assert builds.current(stage.project, plain) is not None
    assert builds.current(stage.project, stage.function) is None


def test_without_a_network_on_the_bridge_the_host_is_tried(stage: Stage) -> None:
    stage.engine.runs.append(RunResult(1, "npm error code EAI_AGAIN"))
    stage.build()
    assert stage.networks() == ["bridge", "host"]


def test_credentials_stand_in_no_container_and_no_error(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary-1@proxy.example:3128")
    monkeypatch.setenv("NPM_TOKEN", "canary-2")
    stage.engine.runs.append(RunResult(1, "npm error http://me:canary-1@proxy.example canary-2 refused"))
    with pytest.raises(BuildError) as caught:
        stage.build()
    assert "canary" not in f"{caught.value} {caught.value.detail} {caught.value.hint}"
    assert "***" in (caught.value.detail or "")
    assert "canary" not in repr(stage.engine.calls)


def test_stored_code_that_was_changed_is_made_anew(stage: Stage) -> None:
    first = stage.build()
    stored = first.bundle.root / "index.js"
    content = bytearray(stored.read_bytes())
    content[0] ^= 1
    stored.write_bytes(content)
    again = stage.build()
    assert not again.cached
    assert (again.bundle.root / "index.js").read_text() == "main"
    assert again.bundle.digest == first.bundle.digest


def test_a_handler_that_is_left_out_is_told_at_once(stage: Stage) -> None:
    stage.write(".dockerignore", "*.js\n")
    with pytest.raises(BuildError, match="excluded from its bundle"):
        stage.build()


def test_dependencies_that_nobody_used_for_long_go_and_the_bundle_stays(stage: Stage) -> None:
    first = stage.build()
    install.sweep(time.time() + install.KEPT_S - 60)
    assert len(list(install.folder().glob("*/index.json"))) == 1
    install.sweep(time.time() + install.KEPT_S + 60)
    assert list(install.folder().glob("*/index.json")) == []
    assert stage.build().bundle == first.bundle


def test_old_versions_go_but_the_last_three_stay(stage: Stage) -> None:
    made = []
    for number in range(5):
        stage.write("index.js", f"version {number}")
        made.append(stage.build().bundle)
    assert [bundle.root.is_dir() for bundle in made] == [False, False, True, True, True]


def test_a_record_that_cannot_be_read_is_as_none(stage: Stage) -> None:
    first = stage.build()
    record.path(ProjectPaths.of("p1").releases, "hello").write_text("{")
    assert builds.current(stage.project, stage.function) is None
    assert stage.build().bundle == first.bundle


def test_plans_change_nothing_and_ask_no_engine(stage: Stage) -> None:
    assert {step.cached for step in stage.plan().steps} == {False}
    assert stage.engine.calls == []
    stage.build()
    assert {step.action: step.cached for step in stage.plan().steps}[Action.INSTALL] is True


def test_inputs_are_told_apart_by_times_only_where_those_are_old_enough(stage: Stage) -> None:
    spec = RUNTIMES["node24"]
    assert inputs.read(stage.function, spec).fingerprint is None
    later = time.time_ns() + 10**9
    first = inputs.read(stage.function, spec, lambda: later).fingerprint
    assert first is not None
    assert inputs.read(stage.function, spec, lambda: later).fingerprint == first
    stage.write("package.json", '{"dependencies": {"express": "6"}}')  # the same size
    assert inputs.read(stage.function, spec, lambda: later).fingerprint != first


def test_a_bit_flipped_in_stored_code_is_found_and_made_good(stage: Stage) -> None:
    """Same size, same times: only the digest can tell."""
    first = stage.build()
    stored = first.bundle.root / "index.js"
    before = stored.stat()
    stored.write_bytes(bytes([stored.read_bytes()[0] ^ 1]) + stored.read_bytes()[1:])
    os.utime(stored, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert stage.build().cached
    assert not builds.sound({"hello": first})
    stage.build(force=True)
    assert builds.sound({"hello": first})
    assert (first.bundle.root / "index.js").read_text() == "main"

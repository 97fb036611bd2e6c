"""Whatever a build does is a step of the plan that `--dry-run` shows before it, and every step to do is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog, paths
from fnctl.builder import builds, code_cache, inputs
from fnctl.builder.plan import Action, Goal, Plan
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import RunResult
from fnctl.model import Function, Project, RuntimeSpec, SandboxSpec
from fnctl.progress import Silent
from tests.support.waiting import until

RUNTIMES = dict(catalog.runtimes())
COPIED = frozenset({Action.COPY})  # leaves nothing by itself


class Containers(FakeEngine):
    """Every container leaves what its kind leaves: a package, bytecode, compiled code."""

    def __init__(self, spec: RuntimeSpec) -> None:
        super().__init__()
        self.spec = spec
        self.did: list[Action] = []

    def run(
        self, spec: SandboxSpec, *, timeout_s: float, on_line: Callable[[str], None] = lambda line: None
    ) -> RunResult:
        mounted = {inside: Path(source) for source, inside, _ in spec.mounts}
        assert self.spec.compile is not None and self.spec.warm is not None
        if code_cache.CACHE in mounted:
            (mounted[code_cache.CACHE] / "blob").write_text("compiled")
            self.did.append(Action.CACHE)
        elif paths.home() / "deps" in mounted["/fn/app"].parents:
            result = mounted["/fn/app"] / self.spec.install[0].result
            result.mkdir(parents=True, exist_ok=True)
            (result / "package.py").write_text("package")
            self.did.append(Action.INSTALL)
        elif spec.command == self.spec.compile.run:
            (mounted["/fn/app"] / "app.pyc").write_text("bytecode")
            self.did.append(Action.COMPILE)
        else:
            raise AssertionError(f"a container that is no step: {spec.command}")
        return super().run(spec, timeout_s=timeout_s, on_line=on_line)


class House:
    """One project of Python functions, and what a build of it does, told by what is there afterwards."""

    def __init__(self, root: Path) -> None:
        self.spec = RUNTIMES["python3.13"]
        self.engine = Containers(self.spec)
        self.engine.add_image("sandbox")
        self.folder = root / "app"
        self.folder.mkdir()
        self.functions = [Function("f", self.folder, "python3.13", "app.handler")]
        self.project = Project(root, "p1", tuple(self.functions))
        self.runtimes = {"python3.13": self.spec}
        self.write("app.py", "one")
        self.write("requirements.txt", "flask\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)

    def settle(self) -> None:
        """Until the files are old enough to be told apart by their times."""
        until(lambda: inputs.read(self.functions[0], self.spec).fingerprint is not None, "the files to be old enough")

    def plans(self, *, force: bool = False) -> tuple[Plan, ...]:
        return builds.plans(self.functions, self.runtimes, self.project, Goal.SHIP, force=force)

    def build(self, *, force: bool = False) -> set[Action]:
        """Build, and tell what was done by its effects on the engine and on the disk."""
        before, self.engine.did = dict(self._disk()), []
        calls = len(self.engine.calls)
        builds.build(
            self.functions, engine=self.engine, image="sandbox", runtimes=self.runtimes, project=self.project,
            progress=Silent(), goal=Goal.SHIP, force=force,
        )  # fmt: skip
        after = dict(self._disk())
        changed = {kind for kind, place in after if after[kind, place] != before.get((kind, place))}
        asked = [name for name, _ in self.engine.calls[calls:] if name not in ("run", "image", "list")]
        acts = {"load": Action.IMAGE, "remove_image": Action.RECORD}  # a KeyError is an effect that is no step
        return {*self.engine.did, *changed, *(acts[name] for name in asked)}

    def _disk(self) -> Iterator[tuple[tuple[Action, str], object]]:
        owners = {"bundles": Action.BUNDLE, "deps": Action.INSTALL, "projects": Action.RECORD, "images": Action.IMAGE}
        files = [path for path in paths.home().rglob("*") if path.is_file() and path.suffix != ".lock"]
        for file in sorted(path for path in files if path != paths.home() / "id"):  # which is of no build
            kind = owners[file.relative_to(paths.home()).parts[0]]  # a KeyError is an effect that is no step
            place = str(file.relative_to(paths.home()))
            if "compile-cache" in place:
                kind = Action.CACHE
            status = file.stat()
            # the time of a tree's index is that of its last use
            yield (kind, place), (status.st_ino, status.st_size, 0 if kind is Action.INSTALL else status.st_mtime_ns)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    return House(tmp_path)


def build_as_planned(house: House) -> set[Action]:
    """Build; what was done is what the plan said. What it left open may be done or not."""
    house.settle()
    steps = [step for each in house.plans() for step in each.steps]
    done = house.build()
    to_do = {step.action for step in steps if step.cached is False} - COPIED
    maybe = {step.action for step in steps if step.cached is None}
    assert to_do <= done <= to_do | maybe, f"planned {steps}, done {done}"
    return done


def test_a_first_build_does_everything(house: House) -> None:
    assert build_as_planned(house) == set(Action) - {Action.RUNTIMES, Action.COPY}


def test_a_second_build_does_nothing(house: House) -> None:
    build_as_planned(house)
    assert all(each.nothing_to_do for each in house.plans())
    assert build_as_planned(house) == set()


def test_a_change_of_code_installs_nothing(house: House) -> None:
    build_as_planned(house)
    house.write("app.py", "another")
    assert build_as_planned(house) == {Action.COMPILE, Action.BUNDLE, Action.CACHE, Action.IMAGE, Action.RECORD}


def test_a_touched_file_is_recorded_and_nothing_else_is_done(house: House) -> None:
    build_as_planned(house)
    os.utime(house.folder / "app.py", (1_500_000_000, 1_500_000_000))
    assert build_as_planned(house) == {Action.RECORD}


def test_a_cache_of_another_runtime_is_made_anew_and_said_before(house: House) -> None:
    build_as_planned(house)
    made_by = next(paths.bundles().rglob(code_cache.MADE_BY))
    made_by.write_text("an older agent")
    assert build_as_planned(house) == {Action.CACHE}


def test_with_force_everything_is_done_again(house: House) -> None:
    """A bundle of the same contents and its record stay as they are."""
    build_as_planned(house)
    steps = [step for each in house.plans(force=True) for step in each.steps]
    assert {step.action for step in steps} == set(Action) - {Action.RUNTIMES}
    assert {step.cached for step in steps} == {False}
    assert house.build(force=True) == {Action.INSTALL, Action.COMPILE, Action.CACHE, Action.IMAGE}


def test_another_handler_of_the_same_contents_is_another_image(house: House) -> None:
    build_as_planned(house)
    house.functions = [replace(house.functions[0], handler="app.other")]
    assert build_as_planned(house) == {Action.IMAGE, Action.RECORD}


def test_two_functions_of_one_folder_make_one_bundle(house: House) -> None:
    house.functions.append(replace(house.functions[0], name="g"))
    build_as_planned(house)
    assert house.engine.did.count(Action.COMPILE) == 1


def test_the_versions_that_go_are_part_of_the_record(house: House) -> None:
    for number in range(4):
        house.write("app.py", "version" * number)
        build_as_planned(house)
    assert [name for name, _ in house.engine.calls if name == "remove_image"] == ["remove_image"]

"""What the verbs begin with: one sandbox image of one project, and the steps that are told before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import layer_images as layers
from fnctl.builder.base_image import BASE
from fnctl.builder.plan import Action, Goal
from fnctl.control import prepare
from fnctl.engine.fake import FakeEngine
from fnctl.errors import NotFound
from fnctl.model import Function, Project
from fnctl.progress import Silent

RUNTIMES = catalog.runtimes()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short enough for the sockets below it, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("FNCTL_HOME", short)
        yield


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A function in Node alone."""
    folder = tmp_path / "hello"
    folder.mkdir()
    (folder / "index.js").write_text("main")
    return Project(tmp_path, "p1", (Function("hello", folder, "node24", "index.js"),))


@pytest.fixture
def engine() -> FakeEngine:
    """It has every runtimes image that can be asked for here, so that nothing is fetched."""
    made = FakeEngine()
    base = made.add_image(BASE)
    for names in (["node24"], ["node24", "python3.13"], ["go1.24", "node24", "python3.13"]):
        picked = layers.select([RUNTIMES[name] for name in names], layers.architecture())
        made.add_image(f"fnctl/runtimes:{layers.runtimes_digest(base, layers.architecture(), picked)[:12]}")
    return made


def sandbox_images(engine: FakeEngine) -> list[object]:
    tags = [arguments[1] for name, arguments in engine.calls if name == "build"]
    return [tag for tag in tags if str(tag).startswith("fnctl/sandbox:")]


def test_a_build_and_a_run_of_a_node_project_make_one_sandbox_image(project: Project, engine: FakeEngine) -> None:
    prepare.to_build(prepare.select(project, []), engine, Silent())
    prepared = prepare.to_serve(prepare.select(project, ["hello"]), engine, Silent())
    assert sandbox_images(engine) == [prepared.image]


def test_it_is_the_image_of_the_project_whichever_functions_are_asked_for(project: Project, engine: FakeEngine) -> None:
    other = replace(project.functions[0], name="other", runtime="go1.24", handler="main.go")
    both = replace(project, functions=(*project.functions, other))
    images = {prepare.select(both, names).sandbox for names in ([], ["hello"], ["other"])}
    assert [[spec.name for spec in image] for image in images] == [["node24", "python3.13", "go1.24"]]


def test_what_is_told_before_names_the_images_and_asks_no_engine(project: Project) -> None:
    selection = prepare.select(project, [])
    first = prepare.steps(selection, Goal.SHIP)[0]
    assert (first.function, first.action, first.cached) == (None, Action.RUNTIMES, None)
    assert "node24, python3.13" in first.what
    assert prepare.unchanged(selection, Goal.SHIP) is None


def test_what_is_unchanged_is_found_without_the_engine(project: Project, engine: FakeEngine) -> None:
    selection = prepare.select(project, [])
    built = prepare.to_build(selection, engine, Silent())
    while (again := prepare.unchanged(selection, Goal.SHIP)) is None:  # until the files are old enough to be told apart
        prepare.to_build(selection, engine, Silent())
    assert again["hello"].bundle == built["hello"].bundle
    assert again["hello"].cached
    assert {step.cached for step in prepare.steps(selection, Goal.SHIP)} == {True}


def test_a_name_that_is_no_function_is_told_with_those_there_are(project: Project) -> None:
    with pytest.raises(NotFound, match="nope") as caught:
        prepare.select(project, ["nope"])
    assert caught.value.hint == "there are: hello"

"""Projects with local packages, each with another lock file: installed by its own tool, and its packages found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

PROJECT = rig.ROOT / "tests/fixtures/packages"
NODE = ("npm-file", "npm-workspaces", "npm-shrinkwrap", "yarn1", "yarn4", "pnpm", "bun")
SCRIPTED = ("npm-shrinkwrap", "yarn1", "pnpm")  # their install script calls `npm run`


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    with rig.desk(tmp_path_factory.mktemp("packages")) as desk:
        shutil.copytree(PROJECT, desk.project, dirs_exist_ok=True)
        with rig.running(desk, warm=1) as fnctl:
            yield fnctl
            fnctl.stop()


@pytest.mark.parametrize("name", NODE)
def test_packages_of_the_project_are_linked_each_with_its_own_dependencies(served: rig.Running, name: str) -> None:
    """ms 2.1.3 and ms 2.0.0 say the same of two days and of one: which is which shows in what is installed where."""
    assert served.call(name, "/", method="POST", body=b"{}").json == [172800000, 86400000]
    bundle = bundle_of(served, name)
    assert version(bundle / "node_modules/ms") == "2.1.3"
    assert version(bundle / "packages/util/node_modules/ms") == "2.0.0"
    assert not (bundle / "node_modules/left-pad").exists()  # for development
    assert (bundle / "node_modules/marked").exists() is (name in SCRIPTED)


@pytest.mark.parametrize(
    ("name", "six"), [("uv", "1.17.0"), ("poetry", "1.17.0"), ("pdm", "1.16.0"), ("pipenv", "1.17.0")]
)
def test_what_the_lock_file_says_is_installed_and_nothing_for_development(
    served: rig.Running, name: str, six: str
) -> None:
    assert served.call(name, "/", method="POST", body=b"{}").json == [six, "acme"]
    assert not (bundle_of(served, name) / ".fnctl/site-packages/itsdangerous").exists()


def test_what_the_platform_s_own_runtime_has_is_there_and_said(served: rig.Running) -> None:
    """The code imports AWS' SDK, and no file asks for it."""
    assert served.call("aws-node", "/", method="POST", body=b"{}").body == b"function"
    assert "imported, asked for in no file, as on AWS Lambda" in served.said.read_text()


def test_typescript_is_compiled_and_stacks_are_of_the_source(served: rig.Running) -> None:
    """Imports that are types alone, an enum, an import without a suffix: more than taking the types out of a file."""
    assert served.call("typescript", "/", method="POST", body=b"{}").body == b"hello Polite"
    failed = served.call("typescript", "/", method="POST", body=b"boom", headers={"Content-Type": "text/plain"})
    assert failed.status == 502
    stack = "at handler (/fn/app/app.ts:5:11)"
    until(lambda: any(stack in row.get("text", "") for row in served.desk.lines("typescript")), "the stack in the log")


def test_a_lock_file_that_is_older_than_its_project_is_refused(served: rig.Running) -> None:
    desk = served.desk
    for name, file, before, after in (
        ("yarn1", "package.json", '"ms": "2.1.3"', '"ms": "2.1.2"'),
        ("uv", "pyproject.toml", '"six"', '"six", "idna"'),
    ):
        path = desk.project / name / file
        path.write_text(path.read_text().replace(before, after))
        done = desk.fnctl("build", name)
        assert done.returncode == 1, done.stderr
        assert "hint: the lock file is older than" in done.stderr


def bundle_of(served: rig.Running, name: str) -> Path:
    release = json.loads((served.desk.state / "releases" / f"{name}.json").read_text())
    return served.desk.home / "bundles" / str(release["digest"]).removeprefix("sha256:")


def version(package: Path) -> str:
    return str(json.loads((package / "package.json").read_text())["version"])

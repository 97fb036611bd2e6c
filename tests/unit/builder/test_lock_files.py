"""Which tool installs by which lock file, what is refused, and what the tools' own words become."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from fnctl import catalog
from fnctl.builder import install_plan, manifest
from fnctl.errors import BuildError
from fnctl.model import RuntimeSpec

SPECS = catalog.runtimes()
NODE, PYTHON = SPECS["node24"], SPECS["python3.13"]
ROOT = Path(__file__).parents[3]
PACKAGE = b'{"dependencies": {"ms": "2"}}'
PROJECT = b'[project]\nname = "a"\nversion = "1"\ndependencies = ["six"]\n'
POETRY = b'[tool.poetry.dependencies]\npython = "^3.11"\nsix = "1.16.0"\n'
LOCKED = b'[[package]]\nname = "six"\nversion = "1.16.0"\n'


@pytest.mark.parametrize(
    ("lock", "text", "tools"),
    [
        ("npm-shrinkwrap.json", b"{}", ()),
        ("package-lock.json", b"{}", ()),
        ("yarn.lock", b"# THIS IS\n# yarn lockfile v1\n\n", ("yarn",)),
        ("yarn.lock", b"# This\n\n__metadata:\n  version: 6\n", ("yarn3", "yarn4")),
        ("yarn.lock", b"# This\n\n__metadata:\n  version: 10\n", ("yarn4",)),
        ("pnpm-lock.yaml", b"lockfileVersion: '9.0'\n", ("pnpm",)),
        ("pnpm-lock.yaml", b"lockfileVersion: '6.0'\n", ("pnpm8",)),
        ("bun.lock", b"{}", ("bun",)),
        ("bun.lockb", b"\x00\xff", ("bun",)),
    ],
)
def test_each_lock_file_of_node_has_its_own_tool(lock: str, text: bytes, tools: tuple[str, ...]) -> None:
    found = install_plan.of(NODE, {"package.json": PACKAGE, lock: text})
    assert found is not None
    assert found.rule.tools == tools
    assert lock in dict(found.files)
    assert not found.whole_folder
    layer = catalog.read_layer(NODE.folder)
    assert set(tools) <= {tool.name for tool in layer.tools}


@pytest.mark.parametrize(
    ("lock", "project", "tool"),
    [
        ("uv.lock", PROJECT, "uv"),
        ("poetry.lock", POETRY, "poetry"),
        ("pdm.lock", PROJECT, "pdm"),
        ("uv.lock", b'[project]\nname = "a"\ndynamic = ["dependencies"]\n', "uv"),
    ],
)
def test_each_lock_file_of_python_has_its_own_tool(lock: str, project: bytes, tool: str) -> None:
    found = install_plan.of(PYTHON, {"pyproject.toml": project, lock: LOCKED})
    assert found is not None
    assert found.rule.tools == (tool,)
    assert not found.whole_folder


def test_a_pipfile_is_installed_by_its_lock() -> None:
    lock = json.dumps({"default": {"six": {"version": "==1.16.0"}}}).encode()
    found = install_plan.of(PYTHON, {"Pipfile": b'[packages]\nsix = "*"\n', "Pipfile.lock": lock})
    assert found is not None and found.rule.tools == ("pipenv",)


@pytest.mark.parametrize(
    ("spec", "files", "message", "hint"),
    [
        (NODE, {"package.json": PACKAGE, "pnpm-lock.yaml": b"lockfileVersion: 5.4\n"}, "pnpm-lock.yaml", "pnpm@10"),
        (NODE, {"package.json": PACKAGE, "yarn.lock": b"{}"}, "yarn.lock", "yarn install"),
        (PYTHON, {"pyproject.toml": POETRY}, "has no [project] table", "poetry lock"),
        (
            PYTHON,
            {"pyproject.toml": b'[project]\nname = "a"\ndynamic = ["version", "dependencies"]\n'},
            "leaves its dependencies to a build tool (dynamic)",
            "requirements.txt",
        ),
        (PYTHON, {"pyproject.toml": b'[tool.flit.metadata]\nrequires = ["six"]\n'}, "Flit", "requirements.txt"),
        (PYTHON, {"Pipfile": b'[packages]\nsix = "*"\n'}, "no Pipfile.lock", "pipenv lock"),
        (PYTHON, {"setup.py": b"setup(install_requires=['six'])"}, "setup.py names", "requirements.txt"),
        (PYTHON, {"setup.cfg": b"[options]\ninstall_requires =\n  six\n"}, "setup.cfg names", "requirements.txt"),
        (PYTHON, {"requirements.txt": b"# none\n", "pyproject.toml": POETRY}, "[tool.poetry.dependencies]", "lock"),
    ],
)
def test_what_nothing_can_install_is_refused(
    spec: RuntimeSpec, files: dict[str, bytes], message: str, hint: str
) -> None:
    with pytest.raises(BuildError) as caught:
        install_plan.of(spec, files)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        (PYTHON, {"pyproject.toml": b'[tool.poetry.dependencies]\npython = "^3.11"\n'}),
        (PYTHON, {"Pipfile": b"[dev-packages]\npytest = '*'\n"}),
        (PYTHON, {"setup.py": b"setup(name='a', install_requires=[])"}),
        (PYTHON, {"setup.cfg": b"[flake8]\nmax-line-length = 120\n"}),
        (PYTHON, {"pyproject.toml": b"[tool.ruff]\n", "poetry.lock": b"package = []\n"}),
        (NODE, {"package.json": b"{}", "yarn.lock": b"# yarn lockfile v1\n"}),
    ],
)
def test_nothing_is_refused_where_nothing_is_asked_for(spec: RuntimeSpec, files: dict[str, bytes]) -> None:
    assert install_plan.of(spec, files) is None


def test_an_empty_file_does_not_hide_the_one_that_names_dependencies() -> None:
    found = install_plan.of(PYTHON, {"requirements.txt": b"\n", "pyproject.toml": PROJECT})
    assert found is not None and found.rule.files == ("pyproject.toml",)


def test_of_two_lock_files_the_one_that_package_json_asks_for_is_followed() -> None:
    files = {"package-lock.json": b"{}", "pnpm-lock.yaml": b"lockfileVersion: '9.0'\n"}
    plain = install_plan.of(NODE, {"package.json": PACKAGE, **files})
    asked = install_plan.of(NODE, {"package.json": PACKAGE[:-1] + b', "packageManager": "pnpm@10.1.0"}', **files})
    assert plain is not None and plain.rule.tools == ()
    assert asked is not None and asked.rule.tools == ("pnpm",)


@pytest.mark.parametrize(
    ("spec", "files"),
    [
        (NODE, {"package.json": b'{"dependencies": {"u": "workspace:*"}}', "bun.lock": b"{}"}),
        (NODE, {"package.json": b'{"dependencies": {"u": "portal:./u"}}', "bun.lock": b"{}"}),
        (NODE, {"package.json": b'{"dependencies": {"u": "patch:u@1#./p.patch"}}', "bun.lock": b"{}"}),
        (NODE, {"package.json": PACKAGE[:-1] + b', "pnpm": {"overrides": {"u": "link:./u"}}}', "bun.lock": b"{}"}),
        (NODE, {"package.json": PACKAGE, "bun.lock": b"{}", "pnpm-workspace.yaml": b"packages:\n  - a\n"}),
        (PYTHON, {"pyproject.toml": PROJECT, "uv.lock": LOCKED + b'source = { editable = "libs/x" }\n'}),
        (PYTHON, {"pyproject.toml": POETRY, "poetry.lock": LOCKED + b'[package.source]\ntype = "directory"\n'}),
        (PYTHON, {"pyproject.toml": PROJECT, "pdm.lock": LOCKED + b'path = "./libs/x"\n'}),
        (PYTHON, {"Pipfile": b"", "Pipfile.lock": b'{"default": {"x": {"path": "./x"}}}'}),
    ],
)
def test_local_packages_need_the_folder(spec: RuntimeSpec, files: dict[str, bytes]) -> None:
    found = install_plan.of(spec, files)
    assert found is not None and found.whole_folder


def test_the_project_itself_is_no_local_package() -> None:
    lock = LOCKED + b'[[package]]\nname = "a"\nsource = { editable = "." }\n'
    found = install_plan.of(PYTHON, {"pyproject.toml": PROJECT, "uv.lock": lock})
    assert found is not None and not found.whole_folder


@pytest.mark.parametrize(
    ("files", "outside"),
    [
        ({"package.json": b'{"dependencies": {"a": "file:../lib"}}'}, True),
        ({"package.json": b'{"dependencies": {"a": "link:./x/../../lib"}}'}, True),
        ({"package.json": b'{"dependencies": {"a": "file:./lib", "b": "../b"}}'}, True),
        ({"package.json": b'{"dependencies": {"a": "file:./lib", "b": "file:lib"}}'}, False),
        ({"requirements.txt": b"-e ../lib\n"}, True),
        ({"requirements.txt": b"-r ./more.txt\n./lib\n"}, False),
    ],
)
def test_a_package_outside_the_folder_is_named_before_anything_runs(files: dict[str, bytes], outside: bool) -> None:
    if not outside:
        manifest.check_inside(files)
        return
    with pytest.raises(BuildError, match="outside the function's folder") as caught:
        manifest.check_inside(files)
    assert "path:" in (caught.value.hint or "")


# -- what runs in the container --------------------------------------------------------------------------------------


def locked() -> ModuleType:
    spec = importlib.util.spec_from_file_location("locked", ROOT / "layers/python/install/locked.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_requirements_are_sorted_into_those_with_hashes_and_those_that_can_have_none() -> None:
    text = (
        "--index-url https://pypi.example/simple\n# made by\nsix==1.16.0 ; python_version >= '3' \\\n"
        "    --hash=sha256:aa \\\n    --hash=sha256:bb\n-e ./libs/acme\nx @ git+https://example.org/x@1\n"
    )
    options, hashed, others = locked().sorted_out(text)
    assert options == ["--index-url https://pypi.example/simple"]
    assert hashed == ["six==1.16.0 ; python_version >= '3' --hash=sha256:aa --hash=sha256:bb"]
    assert others == ["./libs/acme", "x @ git+https://example.org/x@1"]


def test_pdm_is_given_the_hashes_of_its_lock() -> None:
    lock = tomllib.loads((ROOT / "tests/fixtures/packages/pdm/pdm.lock").read_text())
    lines = (
        locked().with_hashes('acme @ file:///fn/app/libs/acme\nsix==1.16.0; python_version > "3"', lock).splitlines()
    )
    assert lines[0] == "acme @ file:///fn/app/libs/acme"
    assert lines[1].startswith('six==1.16.0; python_version > "3" --hash=sha256:8abb2f1d')


def test_a_dependency_that_uv_lock_does_not_know_is_found() -> None:
    project = {"project": {"dependencies": ["Six>=1", "typing_extensions; python_version < '3.12'", "idna[x]"]}}
    lock = {"package": [{"name": "six"}, {"name": "typing-extensions"}]}
    assert locked().stale_uv(project, lock) == ["idna"]

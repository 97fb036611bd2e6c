"""What the templates promise each other, read from their files: no Docker, no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnctl import config
from fnctl.model import Function, Model, Network, RuntimeSpec

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
RUNTIMES = {
    "node24": RuntimeSpec("node24", "node", "24.0.0", ROOT / "layers" / "node", ()),
    "python3.13": RuntimeSpec("python3.13", "python", "3.13.0", ROOT / "layers" / "python", ()),
    "php8.4": RuntimeSpec("php8.4", "php", "8.4", ROOT / "layers" / "php", ()),
}
NAMES = sorted(folder.name for folder in TEMPLATES.iterdir() if folder.is_dir())
ACTIONS = {
    "page": (frozenset({"GET"}), "/"),
    "list": (frozenset({"GET"}), "/api/todos"),
    "create": (frozenset({"POST"}), "/api/todos"),
    "get": (frozenset({"GET"}), "/api/todos/{id}"),
    "update": (frozenset({"PATCH"}), "/api/todos/{id}"),
    "complete": (frozenset({"POST"}), "/api/todos/{id}/complete"),
    "delete": (frozenset({"DELETE"}), "/api/todos/{id}"),
}


def functions(template: str) -> dict[str, Function]:
    project = config.load(TEMPLATES / template, environ={}, runtimes=RUNTIMES)
    return {function.name: function for function in project.functions}


def test_the_page_is_the_same_everywhere() -> None:
    """Each bundle has its own copy, since a bundle holds nothing from outside its folder."""
    copies = sorted(TEMPLATES.glob("todolist-*/**/page.html"))
    assert len(copies) == 4
    assert len({copy.read_bytes() for copy in copies}) == 1


@pytest.mark.parametrize("language", ["express", "flask"])
def test_a_function_for_each_control_action(language: str) -> None:
    found = functions(f"todolist-{language}")
    resident = found.pop(f"todolist-{language}")
    assert (resident.model, resident.scale.max, resident.triggers) == (Model.RESIDENT, 1, ())
    assert set(found) == {f"{language}-{action}" for action in ACTIONS}
    for action, (methods, path) in ACTIONS.items():
        function = found[f"{language}-{action}"]
        (trigger,) = function.routes
        assert (trigger.methods, trigger.path, trigger.host) == (methods, path, f"{language}.localhost")
        assert function.model is Model.EPHEMERAL
        assert function.network is (Network.NONE if action == "page" else Network.SERVICES)
        assert dict(function.environment) == ({} if action == "page" else {"DATA_URL": "http://data"})
        assert function.path == TEMPLATES / f"todolist-{language}" / "ephemeral"


def test_the_demo_has_both() -> None:
    assert functions("demo") == functions("todolist-express") | functions("todolist-flask")


def test_the_lock_fits_the_manifest_and_names_no_registry() -> None:
    folder = TEMPLATES / "todolist-express"
    manifest, lock = (json.loads((folder / name).read_text()) for name in ("package.json", "package-lock.json"))
    assert lock["packages"][""]["dependencies"] == manifest["dependencies"]
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert all("integrity" in package and "resolved" not in package for package in packages.values())


def test_every_python_requirement_is_pinned() -> None:
    lines = (TEMPLATES / "todolist-flask" / "requirements.txt").read_text().split()
    assert lines
    assert all(line.count("==") == 1 for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_a_template_explains_itself(name: str) -> None:
    files = {path.name.removesuffix(".j2") for path in (TEMPLATES / name).iterdir()}
    assert {"README.md", "fnctl.yaml"} <= files

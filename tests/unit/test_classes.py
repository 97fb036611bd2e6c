"""How much one class does and holds: bounds that keep the parts small, asked of the code itself."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "fnctl").rglob("*.py"))
METHODS, ATTRIBUTES = 30, 25
# Plain values that have a field for each thing that is written elsewhere, and decide nothing.
VALUES = {
    "fnctl/model/function.py: Function": "the keys of a function in fnctl.yaml",
    "fnctl/config/keys.py: FunctionEntry": "the same, before they are checked",
    "fnctl/workflow/durable/execution.py: Execution": "what the events of one log say, folded",
}
Method = ast.FunctionDef | ast.AsyncFunctionDef


def classes() -> dict[str, ast.ClassDef]:
    found = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[f"{path.relative_to(ROOT)}: {node.name}"] = node
    return found


def bases(cls: ast.ClassDef) -> set[str]:
    return {base.id for base in cls.bases if isinstance(base, ast.Name)}


def methods(cls: ast.ClassDef, ports: dict[str, set[str]]) -> set[str]:
    """What it adds: properties and dunder methods count, what a port that it implements asks for does not."""
    asked = set[str]().union(*(ports.get(base, set()) for base in bases(cls)))
    return {node.name for node in cls.body if isinstance(node, Method)} - asked


def attributes(cls: ast.ClassDef) -> set[str]:
    """What its instances hold: fields that the body declares, and names that its methods set on `self`."""
    fields = (node.target for node in cls.body if isinstance(node, ast.AnnAssign))
    return {field.id for field in fields if isinstance(field, ast.Name)} | set(stored(cls))


def stored(cls: ast.ClassDef) -> Iterator[str]:
    for node in ast.walk(cls):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name


@functools.cache
def counted() -> dict[str, tuple[int, int]]:
    """(methods, attributes) of each class."""
    found = classes()
    ports = {cls.name: methods(cls, {}) for cls in found.values() if "Protocol" in bases(cls)}
    return {place: (len(methods(cls, ports)), len(attributes(cls))) for place, cls in found.items()}


def test_no_class_does_too_much() -> None:
    assert {place: each for place, each in counted().items() if each[0] > METHODS} == {}


def test_no_class_holds_too_much() -> None:
    assert {place for place, each in counted().items() if each[1] > ATTRIBUTES} - set(VALUES) == set()

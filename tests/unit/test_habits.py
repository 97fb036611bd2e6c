"""What CONTRIBUTING says of the tests, asked of the tests: nothing patched, no sleep for luck, no time asserted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
FILES = sorted(path for path in TESTS.rglob("*.py") if TESTS / "fixtures" not in path.parents)

PATCHES = {"setattr", "delattr", "setitem", "delitem"}  # of pytest's MonkeyPatch; its environment and folder are fine
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "time", "time_ns"}
MEASURED = re.compile(r"(took|elapsed|waited|late|handler|total|queue|load|lasted)_m?s")
# Where the time is the promise, and why a busy machine does not make it fail.
TIMES_PROMISED = {
    "test_what_hangs_is_a_504_at_its_deadline_and_never_used_again": "the best of three is within 200 ms",
}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield str(path.relative_to(TESTS)), ast.parse(path.read_text(encoding="utf-8"))


def called(node: ast.AST) -> tuple[str, str]:
    """The object and the name of a call such as `time.sleep(…)`; two empty texts for what is none."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return ast.unparse(node.func.value), node.func.attr
    return "", ""


def patches(tree: ast.AST) -> list[int]:
    """Lines that replace a part of the code under test, or import what does."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(name == "mock" or name.endswith(".mock") for name in names):
                found.append(node.lineno)
        elif isinstance(node, ast.Call) and called(node)[1] in PATCHES:
            found.append(node.lineno)
    return found


def sleeps(tree: ast.AST) -> list[int]:
    """Lines that let time pass. `asyncio.sleep(0)` is a turn of the loop and no time."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "asyncio"):
            found += [node.lineno for alias in node.names if alias.name == "sleep"]
        elif called(node) in (("time", "sleep"), ("asyncio", "sleep")) and isinstance(node, ast.Call):
            turn = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not (turn and called(node)[0] == "asyncio"):
                found.append(node.lineno)
    return found


def measured(node: ast.AST, names: set[str]) -> bool:
    """It has a reading of a clock in it, or what was made of one."""
    for part in ast.walk(node):
        where, name = called(part)
        if name in CLOCKS and (where == "time" or "loop" in where):
            return True
        text = getattr(part, "id", None) or getattr(part, "attr", None) or getattr(part, "value", None)
        if isinstance(text, str) and (text in names or MEASURED.fullmatch(text)):
            return True
    return False


def bounded(node: ast.AST, names: set[str]) -> bool:
    """A comparison that says that something measured is less than something that is not."""
    if not isinstance(node, ast.Compare):
        return False
    sides = [node.left, *node.comparators]
    for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
        less = isinstance(operator, ast.Lt | ast.LtE)
        more = isinstance(operator, ast.Gt | ast.GtE)
        if less and measured(left, names) and not measured(right, names):
            return True
        if more and measured(right, names) and not measured(left, names):
            return True
    return False


def times(tree: ast.AST) -> list[int]:
    """Lines of assertions on how long something took at most."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name in TIMES_PROMISED:
            continue
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and measured(node.value, names):
                names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
        found += [each.lineno for each in asserts if any(bounded(node, names) for node in ast.walk(each.test))]
    return found


def test_nothing_is_patched() -> None:
    assert {file: lines for file, tree in trees() if (lines := patches(tree))} == {}


def test_no_test_sleeps() -> None:
    found = {file: lines for file, tree in trees() if (lines := sleeps(tree))}
    assert {Path(file).parts[0] for file in found} == {SUPPORT.name}, found


def test_no_test_asserts_a_time() -> None:
    assert {file: lines for file, tree in trees() if (lines := times(tree))} == {}


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (patches, "from unittest import mock"),
        (patches, "import unittest.mock"),
        (patches, "monkeypatch.setattr(module, 'MAX', 1)"),
        (sleeps, "time.sleep(0.1)"),
        (sleeps, "from time import sleep"),
        (sleeps, "async def f():\n    await asyncio.sleep(GRACE_S)"),
        (times, "def f():\n    began = time.monotonic()\n    assert time.monotonic() - began < 5"),
        (times, "def f():\n    began = time.monotonic()\n    took = time.monotonic() - began\n    assert 5 >= took"),
        (times, "def f():\n    assert call().took_s < 5"),
        (times, "def f():\n    assert receipt['handler_ms'] <= 200"),
    ],
)
def test_each_habit_would_be_seen(look: object, code: str) -> None:
    assert callable(look) and look(ast.parse(code))


def test_what_is_allowed_is_not_seen() -> None:
    code = """
async def f():
    monkeypatch.setenv("TZ", "UTC")
    await asyncio.sleep(0)
    clock.sleep(5)
    began = time.monotonic()
    assert receipt.total_ms >= receipt.handler_ms > 0
    assert parts_ms(receipt.queue_ms) <= (time.monotonic() - began) * 1000
"""
    tree = ast.parse(code)
    assert patches(tree) == sleeps(tree) == times(tree) == []

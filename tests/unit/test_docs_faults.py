"""The page about faults names tests: all of them exist, and each fault has one."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/architecture/06-faults.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
FAULTS = [row for row in ROWS if not row.startswith("| fault |")]
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")


@cache
def named_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", FAULTS, ids=lambda row: row.split("|")[1].strip())
def test_a_fault_is_shown_by_tests_that_exist(row: str) -> None:
    _, _, _, shown, _ = re.split(r"(?<!\\)\|", row)
    named = NAMED.findall(shown)
    assert named, "no test is named"
    assert NAMED.sub("", shown).strip() == "", "something there is not a test"
    assert [f"{file}::{test}" for file, test in named if test not in named_in(TESTS / file)] == []


def test_there_are_faults_on_the_page() -> None:
    assert len(FAULTS) > 40

"""The contract suite asks for every method of the port. No engine: it reads the suite."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from fnctl.engine.port import Engine

SUITE = Path(__file__).parents[2] / "contract" / "test_engine.py"


def test_the_contract_suite_calls_every_method_of_the_port() -> None:
    port = {name for name, _ in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")}
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(SUITE.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert port - called == set()

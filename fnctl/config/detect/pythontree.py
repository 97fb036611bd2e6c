"""A Python module as what it binds, makes and calls, from its syntax tree. Nothing is imported or run."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fnctl.config.detect.finding import Evidence
from fnctl.config.detect.source import Source, read_source

Function = ast.FunctionDef | ast.AsyncFunctionDef
_RUNNERS = {"asyncio", "anyio", "trio", "subprocess"}  # their `run` serves nothing
# Ways to bind names that show only when the module runs.
_BINDING = {"exec", "eval", "setattr", "globals", "vars", "locals", "__import__", "import_module"}


@dataclass(slots=True)
class Module:
    """`names` are all that its top level binds; `open` where more may be bound as it runs."""

    source: Source
    tree: ast.Module
    code: str  # without comments
    functions: dict[str, Function] = field(default_factory=dict)
    made: list[tuple[str, ast.Call, str]] = field(default_factory=list)  # name = called(…)
    names: set[str] = field(default_factory=set)
    open: bool = False

    @property
    def dotted(self) -> str:
        """As `import` would have it: `api/handler.py` is api.handler, `app/__init__.py` is app."""
        path = Path(self.source.name)
        parts = path.parent.parts if path.stem == "__init__" else path.with_suffix("").parts
        return ".".join(parts)

    def said(self, node: ast.AST, so: str) -> Evidence:
        return self.source.evidence(getattr(node, "lineno", 1), so)

    def calls(self, names: Container[str]) -> Iterator[ast.Call]:
        """Calls of functions and methods of those names, `asyncio.run` and its kin apart."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and _called(node) in names and _owner(node) not in _RUNNERS:
                yield node


def read_module(folder: Path, name: str) -> Module | None:
    """None where the file is not there or does not parse: what does not parse is told when it is loaded."""
    source = read_source(folder, name)
    if source is None:
        return None
    try:
        module = Module(source, ast.parse(source.text), _code(source.text))
    except (SyntaxError, ValueError, RecursionError, tokenize.TokenError):
        return None
    for statement in _statements(module.tree.body):
        _bind(module, statement)
    module.open = module.open or any(module.calls(_BINDING)) or "__getattr__" in module.names
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of the top level, and of the branches and loops in it."""
    for statement in body:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _statements(getattr(statement, block, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _bind(module: Module, statement: ast.stmt) -> None:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        module.functions.setdefault(statement.name, statement)
        module.names.add(statement.name)
    elif isinstance(statement, ast.ClassDef):
        module.names.add(statement.name)
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        names = [each.asname or each.name.split(".")[0] for each in statement.names]
        module.open = module.open or "*" in names
        module.names.update(names)
    else:
        _assign(module, statement)
        stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
        module.names.update(node.id for node in stored if isinstance(node.ctx, ast.Store))


def _assign(module: Module, statement: ast.stmt) -> None:
    value = getattr(statement, "value", None)
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name) and isinstance(value, ast.Call):
            module.made.append((target.id, value, _called(value)))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _owner(call: ast.Call) -> str:
    """`asyncio` of `asyncio.run(…)`."""
    return getattr(call.func.value, "id", "") if isinstance(call.func, ast.Attribute) else ""


def _code(text: str) -> str:
    """The text with comments blanked, every place where it was."""
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + " " * len(token.string) + line[column + len(token.string) :]
    return "".join(lines)

"""What app a folder holds, told by reading its files. Nothing is imported or run."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 1 << 20  # entry files are small; past this it is not one

NODE_FILES = ("index.js", "app.js", "server.js", "index.mjs", "app.mjs", "server.mjs", "main.js", "src/index.js")
PYTHON_FILES = ("app.py", "main.py", "server.py", "wsgi.py", "asgi.py")
# Constructors of web apps. Calling one at a module's top level makes the module an app.
PYTHON_APPS = {"Flask", "FastAPI", "Starlette", "Quart", "Bottle"}
SERVING = {"run", "run_simple", "serve"}

_LISTENS = re.compile(r"\.listen\s*\(")
_NODE_HANDLER = re.compile(
    r"(?:module\.)?exports\.handler\s*=|export\s+(?:const|let|async\s+function|function)\s+handler\b"
    r"|module\.exports\s*=\s*\{[^}]*\bhandler\b|export\s*\{[^}]*\bhandler\b"
)
_START = re.compile(r"(?:^|\s|/)node\s+(?:-\S+\s+)*([\w./-]+)")


@dataclass(frozen=True, slots=True)
class App:
    """`handler` as fnctl.yaml would have it: a file that is run, or `module.attr`."""

    language: str
    handler: str


def detect(folder: Path) -> tuple[App, ...] | None:
    """The apps that a folder could be taken for: one, or one a language where it is not clear. None for none."""
    found = tuple(app for app in (_node(folder), _python(folder)) if app is not None)
    return found or None


def _node(folder: Path) -> App | None:
    for name in _node_entries(folder):
        text = _text(folder / name)
        if text is None:
            continue
        if _LISTENS.search(text):
            return App("node", name)
        if _NODE_HANDLER.search(text):
            return App("node", f"{name.rsplit('.', 1)[0]}.handler")
    started = _started(_package(folder))
    return App("node", started) if started and _text(folder / started) is not None else None


def _node_entries(folder: Path) -> list[str]:
    """Where an app starts, the surest first: what package.json says, then the names that people use."""
    package = _package(folder)
    said = [_started(package), package.get("main")]
    named = [str(Path(entry)) for entry in said if isinstance(entry, str) and entry]
    with_suffix = [name if Path(name).suffix else f"{name}.js" for name in named]
    return list(dict.fromkeys([*named, *with_suffix, *NODE_FILES, "handler.js", "handler.mjs"]))


def _package(folder: Path) -> dict[str, Any]:
    try:
        package = json.loads(_text(folder / "package.json") or "{}")
    except ValueError:
        return {}
    return package if isinstance(package, dict) else {}


def _started(package: dict[str, Any]) -> str | None:
    """The file of `"start": "node FILE"`."""
    scripts = package.get("scripts")
    start = scripts.get("start") if isinstance(scripts, dict) else None
    found = _START.search(start) if isinstance(start, str) else None
    return str(Path(found[1])) if found else None


def _python(folder: Path) -> App | None:
    for name in PYTHON_FILES:
        app = _python_app(folder / name)
        if app is not None:
            return app
    tree = _tree(folder / "handler.py")
    if tree and any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "handler" for node in tree.body
    ):
        return App("python", "handler.handler")
    return None


def _python_app(path: Path) -> App | None:
    tree = _tree(path)
    if tree is None:
        return None
    made = next((name for node in tree.body if (name := _app_variable(node))), None)
    factory = any(isinstance(node, ast.FunctionDef) and node.name == "create_app" for node in tree.body)
    if (made or factory) and any(_serves(node) for node in ast.walk(tree)):
        return App("python", path.name)
    if made or factory:
        return App("python", f"{path.stem}.{made or 'create_app'}")
    return None


def _app_variable(node: ast.stmt) -> str | None:
    """`app` of a top-level `app = Flask(…)`."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
        return None
    target = node.targets[0]
    return target.id if isinstance(target, ast.Name) and _called(node.value) in PYTHON_APPS else None


def _serves(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SERVING


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _tree(path: Path) -> ast.Module | None:
    text = _text(path)
    try:
        return None if text is None else ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def _text(path: Path) -> str | None:
    """The file's text, or None where it is not a small file."""
    try:
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass
    return None

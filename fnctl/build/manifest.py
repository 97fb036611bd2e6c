"""What a function's dependency files say: is anything to be installed, and does it depend on more than them? Pure."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from fnctl.errors import BuildError

# Read by installers where they are there, beside the files that a rule names.
BESIDE = (".npmrc", "npm-shrinkwrap.json", "yarn.lock", "constraints.txt")

_NPM_SCRIPTS = {"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}
_NPM_TABLES = ("dependencies", "optionalDependencies", "peerDependencies")
# A requirement that is a path, or a line that names another file.
_PIP_LOCAL = re.compile(r"^(-r|-c|-e|--requirement|--constraint|--editable|--find-links|-f|\.|/|file:)|@\s*file:")


def anything(files: Mapping[str, bytes]) -> bool:
    """False where the files name no dependency, so that there is nothing to run. Unknown files: True."""
    return any(_reads(name, content, _npm_any, _requirements_any, _project_any) for name, content in files.items())


def needs_folder(files: Mapping[str, bytes]) -> bool:
    """True where the install may read more of the folder than `files`: a local package, a script, an unknown tool."""
    return any(_reads(name, content, _npm_local, _requirements_local, _never) for name, content in files.items())


def _reads(name: str, content: bytes, npm: Any, requirements: Any, project: Any) -> bool:
    base = PurePosixPath(name).name
    if base == "package.json":
        return bool(npm(_json(name, content)))
    if base == "requirements.txt":
        return bool(requirements(content.decode("utf-8", "replace")))
    if base == "pyproject.toml":
        return bool(project(_toml(name, content)))
    # lock files and settings decide nothing by themselves: a lock without its package.json is no rule
    return base not in {"package-lock.json", *BESIDE}


def _json(name: str, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise BuildError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BuildError(f"{name}: an object is expected, found {type(value).__name__}")
    return value


def _toml(name: str, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{name} is not valid TOML: {error}") from error


def _table(package: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = package.get(key)
    return value if isinstance(value, dict) else {}


def _npm_any(package: Mapping[str, Any]) -> bool:
    return any(_table(package, key) for key in _NPM_TABLES) or _npm_local(package)


def _npm_local(package: Mapping[str, Any]) -> bool:
    specs = [str(spec) for key in _NPM_TABLES for spec in _table(package, key).values()]
    local = any(spec.startswith(("file:", "link:", "workspace:", ".", "/", "~/")) for spec in specs)
    return local or bool(package.get("workspaces")) or bool(_NPM_SCRIPTS & _table(package, "scripts").keys())


def _lines(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]


def _requirements_any(text: str) -> bool:
    return bool(_lines(text))


def _requirements_local(text: str) -> bool:
    return any(_PIP_LOCAL.search(line) for line in _lines(text))


def _project_any(project: Mapping[str, Any]) -> bool:
    return bool(_table(project, "project").get("dependencies"))


def _never(project: Mapping[str, Any]) -> bool:
    return False

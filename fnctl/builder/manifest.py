"""What a function's dependency files say: is anything to be installed, and does it depend on more than them? Pure.

Those of npm's relatives and of pip. What lock files say is in locks.py."""

from __future__ import annotations

import configparser
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from fnctl.builder import locks
from fnctl.errors import BuildError

# Read by installers where they are there, beside the files that a rule names.
BESIDE = (
    ".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml", ".pnpmfile.cjs", "bunfig.toml",
    "constraints.txt", "uv.toml", "poetry.toml", "pdm.toml", "Pipfile",
)  # fmt: skip

_NPM_SCRIPTS = {"preinstall", "install", "postinstall", "prepublish", "preprepare", "prepare", "postprepare"}
_NPM_TABLES = ("dependencies", "optionalDependencies", "peerDependencies")
_NPM_FORCED = ("resolutions", "overrides", "pnpm")  # what takes another's place: local packages and patches, too
_NPM_FOLDER = re.compile(r"^(file:|link:|portal:|workspace:|patch:|\.|/|~/)|^patches/")
_NPM_PATH = re.compile(r"^(?:file:|link:|portal:)?(\.[^#]*)")
# A requirement that is a path, or a line that names another file.
_PIP_LOCAL = re.compile(r"^(-r|-c|-e|--requirement|--constraint|--editable|--find-links|-f|\.|/|file:)|@\s*file:")
_PIP_PATH = re.compile(r"^(?:(?:-r|-c|-e|--requirement|--constraint|--editable)[\s=]*)?(\.\.?/[^\s\[;#]*)")
_SETUP_PY = re.compile(r"\binstall_requires\s*=\s*(?!\[\s*\]|None\b)")
_YAML_LOCAL = re.compile(r"^(packages|patchedDependencies|overrides|plugins):", re.MULTILINE)


def anything(files: Mapping[str, bytes]) -> bool:
    """False where the files name no dependency, so that there is nothing to run. Unknown files: True.

    BuildError for a file that cannot be read, and for dependencies that nobody can install as they are written.
    """
    return any(_answer(name, content, _ANY, True) for name, content in files.items())


def needs_folder(files: Mapping[str, bytes]) -> bool:
    """True where the install may read more of the folder than `files`: a local package, a script, an unknown tool."""
    return any(_answer(name, content, _LOCAL, True) for name, content in files.items())


def manager(files: Mapping[str, bytes]) -> str:
    """The package manager that package.json asks for, without its version; empty where it asks for none."""
    package = _json("package.json", files["package.json"]) if "package.json" in files else {}
    return str(package.get("packageManager") or "").partition("@")[0]


def check_inside(files: Mapping[str, bytes]) -> None:
    """BuildError where a local package lies outside the function's folder, which no step sees."""
    asked = [("package.json", spec, _NPM_PATH) for spec in _npm_specs("package.json", files.get("package.json", b"{}"))]
    asked += [("requirements.txt", line, _PIP_PATH) for line in _lines(files.get("requirements.txt", b""))]
    for name, spec, path in asked:
        if (found := path.match(spec)) and posixpath.normpath(found[1]).startswith(".."):
            raise BuildError(
                f"{name} needs {spec}, which is outside the function's folder",
                hint="let `path:` name a folder that contains both, and write the handler relative to it",
            )


def asks_for(package: str, files: Mapping[str, bytes]) -> bool:
    """Does a file name the package, to be installed where the function runs? npm's development dependencies are not."""
    listed = _json("package.json", files["package.json"]) if "package.json" in files else {}
    if any(package in _table(listed, key) for key in _NPM_TABLES):
        return True
    word = re.compile(rf"(?<![\w.-]){re.escape(package)}(?![\w-])", re.IGNORECASE)
    others = (content for name, content in files.items() if name not in ("package.json", *locks.OF_NODE))
    return any(word.search(content.decode("utf-8", "replace")) for content in others)


def _answer(name: str, content: bytes, answers: Mapping[str, Callable[[str, bytes], bool]], unknown: bool) -> bool:
    answer = answers.get(PurePosixPath(name).name)
    return unknown if answer is None else answer(name, content)


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


def _table(package: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    value: Any = package
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _never(name: str, content: bytes) -> bool:
    return False


# -- npm and its relatives ---------------------------------------------------------------------------------------------


def _npm_any(name: str, content: bytes) -> bool:
    return any(_table(_json(name, content), key) for key in _NPM_TABLES) or _npm_local(name, content)


def _npm_local(name: str, content: bytes) -> bool:
    package, specs = _json(name, content), _npm_specs(name, content)
    local = any(_NPM_FOLDER.match(spec) for spec in specs)
    return local or bool(package.get("workspaces")) or bool(_NPM_SCRIPTS & _table(package, "scripts").keys())


def _npm_specs(name: str, content: bytes) -> list[str]:
    package = _json(name, content)
    return [spec for key in (*_NPM_TABLES, *_NPM_FORCED) for spec in _texts(package.get(key))]


def _texts(value: object) -> Iterator[str]:
    """Every string in it, however deep."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _settings_local(name: str, content: bytes) -> bool:
    return bool(_YAML_LOCAL.search(content.decode("utf-8", "replace")))


def _always(name: str, content: bytes) -> bool:
    return True


# -- pip and its relatives ---------------------------------------------------------------------------------------------


def _lines(content: bytes) -> list[str]:
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    return [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]


def _requirements_any(name: str, content: bytes) -> bool:
    return bool(_lines(content))


def _requirements_local(name: str, content: bytes) -> bool:
    return any(_PIP_LOCAL.search(line) for line in _lines(content))


def _project_any(name: str, content: bytes) -> bool:
    """Does [project] name dependencies? BuildError where another place does, which only a build tool reads."""
    document = _toml(name, content)
    if _table(document, "project").get("dependencies"):
        return True
    if "dependencies" in _table(document, "project").get("dynamic", ()):
        raise BuildError(
            f"{name} leaves its dependencies to a build tool (dynamic)",
            hint="list them in [project] dependencies or in a requirements.txt, or commit the lock file of uv or PDM",
        )
    poetry = _table(document, "tool", "poetry", "dependencies").keys() - {"python"}
    flit = _table(document, "tool", "flit", "metadata").get("requires")
    if poetry or flit:
        tool, table = ("Poetry", "[tool.poetry.dependencies]") if poetry else ("Flit", "[tool.flit.metadata]")
        raise BuildError(
            f"{name} has no [project] table with dependencies: they are in {table}, which only {tool} reads",
            hint=("run `poetry lock` and commit poetry.lock, or " if poetry else "")
            + "list them in [project] dependencies"
            " or in a requirements.txt",
        )
    return False


def _pipfile_any(name: str, content: bytes) -> bool:
    return bool(_table(_toml(name, content), "packages"))


def _setup_any(name: str, content: bytes) -> bool:
    text = content.decode("utf-8", "replace")
    if name.endswith(".py"):
        return bool(_SETUP_PY.search(text))
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return False
    return bool(parser.get("options", "install_requires", fallback="").strip())


# Lock files of npm's relatives decide nothing by themselves: package.json does. Settings neither.
_ANY: Mapping[str, Callable[[str, bytes], bool]] = {
    **dict.fromkeys((*locks.OF_NODE, *BESIDE), _never),
    **dict.fromkeys(locks.OF_PYTHON, locks.names_packages),
    "package.json": _npm_any,
    "requirements.txt": _requirements_any,
    "pyproject.toml": _project_any,
    "Pipfile": _pipfile_any,
    "setup.cfg": _setup_any,
    "setup.py": _setup_any,
}
_LOCAL: Mapping[str, Callable[[str, bytes], bool]] = {
    **dict.fromkeys((*locks.OF_NODE, *BESIDE), _never),
    **dict.fromkeys(locks.OF_PYTHON, locks.names_folders),
    "package.json": _npm_local,
    "requirements.txt": _requirements_local,
    "pyproject.toml": _never,
    "Pipfile": _never,
    "pnpm-workspace.yaml": _settings_local,
    ".yarnrc.yml": _settings_local,
    ".pnpmfile.cjs": _always,
}

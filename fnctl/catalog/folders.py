"""Where layers/ and templates/ are (checkout or wheel), and how a declaration in one of their folders is read."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from fnctl.errors import ConfigError, FnctlError

_PACKAGE = Path(__file__).parents[1]


def layers_dir() -> Path:
    return _assets("layers")


def templates_dir() -> Path:
    return _assets("templates")


def _assets(name: str) -> Path:
    """The wheel carries them in the package; a checkout has them beside it."""
    for folder in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise FnctlError(
        f"fnctl's own {name}/ folder is missing: looked in {_PACKAGE / '_assets'} and {_PACKAGE.parent}",
        hint="install fnctl again; its files are not complete",
    )


def mapping(file: Path) -> dict[str, Any]:
    """The keys and values of a YAML file. ConfigError, which names the file, where it holds something else.

    Parsed once in a process, for as long as the file is the same: a verb asks several times, and all files of layers/
    take 50 ms."""
    return deepcopy(_parsed(file, file.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _parsed(file: Path, changed_ns: int) -> dict[str, Any]:
    from ruamel.yaml import YAML  # loading it costs more than the rest of the catalog; help does without
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(file.read_text("utf-8"))
    except YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: a mapping is expected, found {type(data).__name__}")
    return data

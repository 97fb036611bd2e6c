"""Whether a file defines what a handler names, as far as reading can tell. Silent where it cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fnctl.config.detect import node, python

MAX_LOOKED_AT, MAX_NAMED = 2000, 3  # files of a folder, and names in a hint
SUFFIXES = {node.LANGUAGE: (".js", ".mjs", ".cjs", ".ts"), python.LANGUAGE: (".py",)}
_LEFT_OUT = frozenset({"node_modules", ".venv", "venv", "__pycache__", ".git", "dist", "tests"})
READERS = {node.LANGUAGE: node, python.LANGUAGE: python}


@dataclass(frozen=True, slots=True)
class Missing:
    text: str
    known: tuple[str, ...]  # what the file does define


def missing_export(folder: Path, language: str, handler: str) -> Missing | None:
    """What is wrong with `module.attr`: None where it is there, or where only loading would tell."""
    reader = READERS.get(language)
    module, _, attr = handler.rpartition(".")
    if reader is None or not module or (folder / handler).is_file():
        return None
    found, known = reader.signature(folder, handler)
    if found is not None or known is None or attr in known:
        return None
    shown = tuple(name for name in known if not name.startswith("_"))
    return Missing(f"{module} defines no `{attr}`", shown)


def elsewhere(folder: Path, language: str, attr: str) -> str | None:
    """Which other files of the folder define the name, as a hint: people name the right function in the wrong file."""
    reader = READERS.get(language)
    if reader is None:
        return None
    found = []
    for name in islice(_files(folder, SUFFIXES[language]), MAX_LOOKED_AT):
        module = name.rpartition(".")[0]
        module = module.replace("/", ".") if language == python.LANGUAGE else module
        signature, known = reader.signature(folder, f"{module}.{attr}")
        if signature is not None or attr in (known or ()):
            found.append(f"`{module}.{attr}`")
    return f"there is {' and '.join(found[:MAX_NAMED])}" if found else None


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Names of source files, relative to the folder; what is installed or built is left out."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in _LEFT_OUT)
        inside = Path(where).relative_to(folder)
        yield from ((inside / each).as_posix() for each in sorted(files) if each.endswith(suffixes))

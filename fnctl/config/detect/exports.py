"""Whether a file defines what a handler names, as far as reading can tell. Silent where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fnctl.config.detect import node, python

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

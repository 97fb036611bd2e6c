"""Which project a folder belongs to: its file and its id. Reads no file's content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fnctl.errors import NotFound

FILE_NAME = "fnctl.yaml"


def find(start: Path, file: Path | None = None) -> Path | None:
    """`file` where it is given, else the nearest `fnctl.yaml` at or above `start`, as git and npm look for theirs.

    Raises NotFound for a `file` that is not there. A folder stands for the fnctl.yaml in it.
    """
    if file is not None:
        given = file / FILE_NAME if file.is_dir() else file
        if not given.is_file():
            raise NotFound(f"no such project file: {given}", hint="--file names a fnctl.yaml, or the folder of one")
        return given.resolve()
    folder = start.resolve()
    return next((path for path in (each / FILE_NAME for each in (folder, *folder.parents)) if path.is_file()), None)


def project_id(root: Path) -> str:
    """12 hex digits, stable for a root folder: state folders, container names and labels carry it."""
    return hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]

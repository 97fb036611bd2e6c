"""Which project a folder belongs to: its file, its name and its id. Reads no more of a file than the name."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from fnctl import projects
from fnctl.errors import NotFound

FILE_NAME = "fnctl.yaml"
PROJECT_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAME = re.compile(rf"""^name:[ \t]+(?P<quote>['"]?)(?P<name>{PROJECT_NAME})(?P=quote)[ \t]*(#.*)?$""", re.MULTILINE)


def find(start: Path, file: Path | None = None) -> Path | None:
    """`file` where it is given, else the nearest `fnctl.yaml` at or above `start`, as git and npm look for theirs.

    Raises NotFound for a `file` that is not there. A folder stands for the fnctl.yaml in it.
    """
    if file is not None:
        given = file / FILE_NAME if file.is_dir() else file
        if not given.is_file():
            raise NotFound(f"no such project file: {given}", hint="--file takes a fnctl.yaml, or its folder")
        return given.resolve()
    folder = start.resolve()
    return next((path for path in (each / FILE_NAME for each in (folder, *folder.parents)) if path.is_file()), None)


def here() -> Path:
    """The working folder as the user names it: by `PWD` where that is the same one, so that a link such as `current`
    in a path stays a link, which may lead elsewhere later."""
    said = os.environ.get("PWD", "")
    with contextlib.suppress(OSError):
        if Path(said).is_absolute() and Path(said).samefile(Path.cwd()):
            return Path(said)
    return Path.cwd()


def named(root: Path, given: Path | None = None) -> Path:
    """The project's folder as the user names it, by the `given` file or from the working folder; else as it is."""
    if given is not None:
        above = given.absolute() if given.is_dir() else given.absolute().parent
        places: tuple[Path, ...] = (above,)
    else:
        start = here()
        places = (start, *start.parents)
    with contextlib.suppress(OSError):
        return next((place for place in places if place.samefile(root)), root)
    return root


def project_name(file: Path) -> str | None:
    """What the file says at `name:`, also where the rest of it is broken."""
    try:
        found = _NAME.search(file.read_text(errors="replace"))
    except OSError:
        return None
    return found["name"] if found is not None else None


def project_id(root: Path, given: Path | None = None) -> str:
    """12 hex digits: state folders, container names and labels carry it (fnctl/projects.py says what it goes by).
    `given`: the file, or its folder, that the user named."""
    file = given if given is not None and given.is_file() else root / FILE_NAME
    return projects.project_id(named(root, given), project_name(file))

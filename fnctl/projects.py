"""Which project a folder is, over renames, releases and names: what this home remembers of projects, and how a folder
is told to be one of them. Not what is in a project."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fnctl import paths
from fnctl.paths import ProjectPaths

RECORD = "project.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is asked from. `folder`: as the user names it, a link such as `current` staying one; `real`:
    where that leads. `name`: what its file says; None where it says none. `tag`: the id that the folder carries."""

    folder: Path
    real: Path
    name: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A project that this home has worked for. `declared`: its name stands in its file, and is not just its folder's.
    `there`: its folder is still where it was."""

    id: str
    name: str
    declared: bool
    folder: Path
    real: Path
    there: bool = True


def identify(place: Place, known: Iterable[Known], old: frozenset[str] = frozenset()) -> str:
    """The id of the project at this place: 12 hex digits. `old`: ids of which nothing but the id is remembered.

    A declared name goes before everything. Else a folder that carries the tag of a project whose own folder is gone was
    moved; else it is the project that was last asked for by this path, or at the folder that the path leads to.
    """
    projects = list(known)
    found = _declared(place, projects) if place.name else None
    found = found or _moved(place, projects) or _at(place, projects)
    if found is not None and _may_be(place, found):
        return found.id
    if place.name:
        left = next((one for one in projects if one.name == place.name and not one.declared and not one.there), None)
        return left.id if left is not None else _fresh(f"name\0{place.name}", projects)
    by_path = _hash(str(place.real))
    if by_path in old:
        return by_path
    return _fresh(str(place.folder), projects)


def _declared(place: Place, projects: Iterable[Known]) -> Known | None:
    return next((one for one in projects if one.declared and one.name == place.name), None)


def _moved(place: Place, projects: Iterable[Known]) -> Known | None:
    return next((one for one in projects if one.id == place.tag and not one.there), None)


def _at(place: Place, projects: list[Known]) -> Known | None:
    by_name = next((one for one in projects if one.folder == place.folder), None)
    return by_name or next((one for one in projects if one.real == place.real), None)


def _may_be(place: Place, one: Known) -> bool:
    """A folder whose file has another name now is another project."""
    return not (place.name and one.declared and one.name != place.name)


def _fresh(of: str, projects: Iterable[Known]) -> str:
    """The hash, or where another project has that already (its folder has moved on), one beside it."""
    taken = {one.id for one in projects}
    made, turn = _hash(of), 0
    while made in taken:
        turn += 1
        made = _hash(f"{of}\0{turn}")
    return made


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


# -- what this home remembers ------------------------------------------------------------------------------------------


def project_id(folder: Path, name: str | None = None) -> str:
    """Of the project in this folder, as the user names the folder. Writes nothing."""
    real = folder.resolve()
    place = Place(folder.absolute(), real, name, _tag(real))
    known = recall()
    states = (paths.home() / "projects").glob("*/lock")  # a project of an older fnctl has no record
    return identify(place, known, frozenset(each.parent.name for each in states) - {one.id for one in known})


def recall() -> list[Known]:
    """Every project with a record. One that cannot be read is not known."""
    found = []
    for file in sorted((paths.home() / "projects").glob(f"*/{RECORD}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            said = json.loads(file.read_text())
            folder, identity = Path(said["folder"]), file.parent.name
            there = folder.is_dir() and _tag(folder) in (identity, None)
            found.append(Known(identity, str(said["name"]), bool(said["declared"]), folder, Path(said["real"]), there))
    return found


def of(identity: str) -> Known | None:
    return next((one for one in recall() if one.id == identity), None)


def remember(identity: str, folder: Path, name: str | None) -> None:
    """This folder is that project. Best effort: a project of a folder that cannot be marked is told by its path."""
    real = folder.resolve()
    said = {"name": name or folder.name, "declared": bool(name), "folder": str(folder.absolute()), "real": str(real)}
    file = ProjectPaths.of(identity).ensure().root / RECORD
    text = json.dumps(said, indent=1)
    with contextlib.suppress(OSError):
        if file.read_text() == text:
            return
    fresh = file.with_name(f".{RECORD}-{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)
    if _tag(real) != identity:
        with contextlib.suppress(OSError):
            os.setxattr(real, _attribute(), identity.encode())


def _attribute() -> str:
    """A folder keeps it when it is renamed, and so do some copies: whose it is, is told by where the record points."""
    return f"user.fnctl.{paths.home_id()}"


def _tag(folder: Path) -> str | None:
    if not paths.home().is_dir():
        return None  # nothing is made by asking
    try:
        return os.getxattr(folder, _attribute()).decode("ascii", "replace")
    except OSError:
        return None

"""Restoring a backup into a project that does not run: everything is checked first, and then all of it takes the place
of what is there, or nothing does."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fnctl.builder.base_image import base_image
from fnctl.control.backup import labels_of, volumes_of
from fnctl.control.backup_file import STATE, VOLUMES, Manifest, no_room, unpack
from fnctl.engine import ownership
from fnctl.engine.port import Engine
from fnctl.errors import ConflictError
from fnctl.model import Project
from fnctl.paths import ProjectPaths, home_id
from fnctl.progress import Progress, told

_ASIDE = ".restore-"
_MARK = "restoring"  # there while the state is half of one time and half of another
# All that a backup is of. What it has none of is removed: it was not there when it was made.
_NAMES = ("store.db", "store.db-wal", "store.db-shm", "keys.json", "versions.json", "releases")


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup that is whole, unpacked in `folder`, and what it would take the place of."""

    manifest: Manifest
    folder: Path
    replaced: tuple[str, ...]


@contextlib.contextmanager
def checked(source: Path, paths: ProjectPaths, engine: Engine, progress: Progress) -> Iterator[Checked]:
    """For who holds the project's lock. Nothing is changed, and nothing is left of it afterwards. BackupError."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=paths.root))
    except OSError as error:
        raise no_room(error, paths.root) from error
    try:
        with told(progress, f"Checking {source.name}") as tell:
            manifest = unpack(source, folder)
            tell(f"{len(manifest.parts)} parts")
        there = volumes_of(engine, paths.root.name) if manifest.services else {}
        replaced = [name for name in _NAMES if not name.startswith("store.db-") and _has(paths.root / name)]
        replaced += [f"volume {there[service]}" for service in manifest.services if service in there]
        yield Checked(manifest, folder, tuple(replaced))
    finally:
        if not (paths.root / _MARK).exists():  # else it has what was there before
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(found: Checked, project: Project, paths: ProjectPaths, engine: Engine, progress: Progress) -> None:
    """FnctlError and OSError leave all as it was. Where they cannot, or after a power cut, `check_whole` tells."""
    image = base_image(engine, progress) if found.manifest.services else ""
    mark, undo = paths.root / _MARK, _Undo()
    mark.touch()
    try:
        for service in found.manifest.services:
            with told(progress, f"Restoring the volume of {service}"):
                _volume(found, service, project, engine, image, undo)
        _state(found, paths.root, undo)
        _on_disk(paths.root)
    except BaseException:
        undo.all()
        mark.unlink()
        raise
    mark.unlink()
    for left in paths.root.glob(f"{_ASIDE}*"):  # and of one that was cut short
        shutil.rmtree(left, ignore_errors=True)


class _Undo:
    """What takes back what was done, the last first."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def by(self, step: Callable[..., object], *args: object) -> None:
        self._steps.append(partial(step, *args))

    def all(self) -> None:
        while self._steps:
            self._steps.pop()()


def _on_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_whole(paths: ProjectPaths) -> None:
    """ConflictError where a restore was cut short: what is there is of two times."""
    if (paths.root / _MARK).exists():
        raise ConflictError(
            "the last `fnctl restore` of this project did not end: its state is incomplete",
            hint="run it again, with --yes",
            code="restoring",
        )


def _has(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()


def _volume(found: Checked, service: str, project: Project, engine: Engine, image: str, undo: _Undo) -> None:
    name = f"fnctl-{home_id()}-{project.id}-{service}"
    labels, helper = ownership.labels(project), labels_of(project.id)

    def fill(content: Path) -> None:
        engine.ensure_volume(name, labels)
        with content.open("rb") as archive:
            engine.write_volume(name, image, helper, archive)

    if name in engine.volumes(ownership.owned(project.id)):
        old = found.folder / f"old-{service}.tar"
        with old.open("xb") as out:
            engine.read_volume(name, image, helper, out)
        undo.by(fill, old)
        engine.remove_volume(name)
    undo.by(engine.remove_volume, name)
    fill(found.folder / f"{VOLUMES}{service}.tar")


def _state(found: Checked, root: Path, undo: _Undo) -> None:
    """By renames alone."""
    old, new = found.folder / "old", found.folder / STATE
    old.mkdir()
    (new / "releases").mkdir(parents=True, exist_ok=True)
    for name in _NAMES:
        if (root / name).exists():
            (root / name).rename(old / name)
            undo.by((old / name).rename, root / name)
        if (new / name).exists():
            (new / name).rename(root / name)
            undo.by((root / name).rename, new / name)

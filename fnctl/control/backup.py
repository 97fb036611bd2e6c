"""Making a backup of a project: its store, keys and releases, and the volumes of its services, all of one moment.

While a service runs, its processes stand still as its volume is copied, so that no file is copied in the middle of a
write: what is restored is what a power cut would have left, which a database recovers from. The store is copied while
all services stand still: it never says of a call that it is done whose effect on a service is not in the backup.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fnctl.builder.base_image import base_image
from fnctl.control import client, holding
from fnctl.control.backup_file import STATE, VOLUMES, Manifest, no_room, write
from fnctl.control.holder import holder
from fnctl.control.lock import ProjectLock
from fnctl.engine import ownership
from fnctl.engine.port import LABEL, LABEL_HOME, LABEL_PROJECT, LABEL_ROLE, Engine
from fnctl.errors import ConflictError, NotFound
from fnctl.paths import ProjectPaths, home_id
from fnctl.progress import Progress, told

PAUSE_S = 60.0  # for the engine to stop every service where it is
_FILES = ("keys.json", "versions.json")


def back_up(paths: ProjectPaths, target: Path, name: str, engine: Engine, progress: Progress) -> Manifest:
    """Into the file `target`, which is complete or not there. FnctlError."""
    if not paths.root.is_dir():
        raise NotFound("this project has no state yet", hint="`fnctl run` makes some")
    volumes = volumes_of(engine, paths.root.name)
    image = base_image(engine, progress) if volumes else ""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise no_room(error, target.parent) from error
    try:
        with at_rest(paths, services=bool(volumes)):
            parts = _copied(paths, aside, volumes, image, engine, progress)
        with told(progress, f"Writing {target.name}") as tell:
            manifest = write(target, name, parts)
            tell(f"{target.stat().st_size / 1e6:.1f} MB")
    except (OSError, sqlite3.Error) as error:
        raise no_room(error if isinstance(error, OSError) else OSError(0, str(error)), target) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return manifest


def volumes_of(engine: Engine, project: str) -> dict[str, str]:
    """The volumes of this home's project, by the names of their services."""
    own, old = f"fnctl-{home_id()}-{project}-", f"fnctl-{project}-"  # the second: of before volumes had a home
    found: dict[str, str] = {}
    for volume, labels in sorted(engine.volumes({LABEL_PROJECT: project}).items()):
        if volume.startswith(own):
            found[volume.removeprefix(own)] = volume
        elif volume.startswith(old) and LABEL_HOME not in labels:
            found.setdefault(volume.removeprefix(old), volume)
    return found


def labels_of(project: str) -> dict[str, str]:
    """Of a container that is there while a volume is read or written; what is left of one goes with `fnctl prune`."""
    return {LABEL: "1", **ownership.owned(project), LABEL_ROLE: "build"}


@contextlib.contextmanager
def at_rest(paths: ProjectPaths, *, services: bool) -> Iterator[None]:
    """The project's volumes do not change within: its services stand still, or nothing of it runs nor can start.
    `services`: whether there are volumes at all."""
    if holder(paths.lock) is None:
        lock = ProjectLock(paths.lock)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()
    elif not services:
        yield
    else:
        with client.held(paths.admin_socket, PAUSE_S):
            began = time.monotonic()
            yield
            if time.monotonic() - began > holding.HOLD_S:
                raise ConflictError(
                    f"copying took longer than {holding.HOLD_S / 60:g} minutes: the services went on meanwhile",
                    hint="`fnctl stop`, make the backup, and start again",
                )


def _copied(
    paths: ProjectPaths, aside: Path, volumes: Mapping[str, str], image: str, engine: Engine, progress: Progress
) -> dict[str, Path]:
    """Every part, by its name in the file."""
    parts: dict[str, Path] = {}
    if paths.store.exists():
        with told(progress, "Copying the store"):
            parts[f"{STATE}store.db"] = _store(paths.store, aside / "store.db")
    for file in (*(paths.root / name for name in _FILES), *sorted(paths.releases.glob("*.json"))):
        if file.is_file():
            name = file.relative_to(paths.root).as_posix()
            copy = aside / name.replace("/", "--")
            shutil.copyfile(file, copy)
            parts[f"{STATE}{name}"] = copy
    for service, volume in volumes.items():
        with told(progress, f"Copying the volume of {service}") as tell:
            copy = aside / f"volume-{service}.tar"
            with copy.open("xb") as out:
                engine.read_volume(volume, image, labels_of(paths.root.name), out)
            parts[f"{VOLUMES}{service}.tar"] = copy
            tell(f"{copy.stat().st_size / 1e6:.1f} MB")
    return parts


def _store(source: Path, copy: Path) -> Path:
    """As of one transaction, whoever writes to it meanwhile (sqlite.org/backup.html)."""
    with contextlib.closing(sqlite3.connect(source)) as there, contextlib.closing(sqlite3.connect(copy)) as here:
        there.backup(here)
        here.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it; a run sets it again
    return copy

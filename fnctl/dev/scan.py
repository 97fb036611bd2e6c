"""Changes found by looking again and again: for file systems and machines where the kernel does not tell them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from fnctl.dev.area import Areas

Stamp = tuple[int, int, int, int]

# Their changes are made by other machines, or by the host of this one, and this kernel does not hear of them.
REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "afs", "ceph", "glusterfs", "lustre", "fakeowner"}
)


def stamp(path: str | Path) -> Stamp | None:
    """Differs where the thing at this path is another one, or has changed; links are followed. None: nothing there."""
    try:
        status = os.stat(path)  # noqa: PTH116 - called for every file of a project
    except OSError:
        return None
    if stat.S_ISDIR(status.st_mode):  # what is in it is another matter
        return (status.st_dev, status.st_ino, 0, 0)
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def identity(path: str | Path) -> tuple[int, int] | None:
    """Differs where another folder has come to be at this path."""
    found = stamp(path)
    return found and found[:2]


class Scan:
    """What the files below some folders were when they were looked at last."""

    def __init__(self, areas: Areas, roots: Iterable[str]) -> None:
        self._areas = areas
        self._roots = tuple(roots)
        self._known = self._look()

    @property
    def count(self) -> int:
        return len(self._known)

    def changed(self) -> set[str]:
        """The functions that were edited since the last look."""
        now, before = self._look(), self._known
        self._known = now
        paths = [path for path in now.keys() | before.keys() if now.get(path) != before.get(path)]
        return {function for path in paths for function in self._areas.of_file(path)}

    def _look(self) -> dict[str, Stamp]:
        found: dict[str, Stamp] = {}
        for root in self._roots:
            for folder in self._areas.folders(root):
                found.update(_files(folder))
        return found


def _files(folder: str) -> dict[str, Stamp]:
    try:
        with os.scandir(folder) as entries:
            return {
                each.path: (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
                for each in entries
                if not each.is_dir(follow_symlinks=False)
                for status in [each.stat(follow_symlinks=False)]
            }
    except OSError:
        return {}  # it is being changed: the next look tells


def is_remote(path: str, mounts: Mapping[str, str]) -> bool:
    """Whether changes below this path can be made without this kernel. `mounts`: place → type of file system."""
    holding = max((place for place in mounts if _holds(place, path)), key=len, default="/")
    kind = mounts.get(holding, "")
    return kind in REMOTE or kind.startswith("fuse.")


def _holds(place: str, path: str) -> bool:
    return path == place or path.startswith(place.rstrip("/") + "/")


def mounted(table: Path = Path("/proc/self/mounts")) -> dict[str, str]:
    """Place → type of every file system; nothing where the system does not tell."""
    try:
        rows = [line.split() for line in table.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return {}
    return {row[1].replace("\\040", " "): row[2] for row in rows if len(row) > 2}

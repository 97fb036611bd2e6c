"""The bundles on this machine: folders named by their digest, complete or not there. Made beside, then renamed.

A killed process leaves a working folder, which `sweep` removes; never half a bundle. Files of a bundle are readable by
all (a sandbox's user is another than the one who builds), and are never written again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.builder import tree
from fnctl.builder.bundle import FILE, FOLDER, LINK, PROGRAM, Item
from fnctl.builder.tree import Entry
from fnctl.errors import BuildError
from fnctl.model import Bundle

_WORK = ".work-"
_CHUNK = 1 << 20


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A folder beside the finished ones, for one making; gone afterwards, unless it was renamed to its place."""
    parent.mkdir(parents=True, exist_ok=True)
    parent.chmod(0o700)
    folder = parent / f"{_WORK}{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        remove(folder)


def sweep(parent: Path) -> None:
    """Remove working folders of processes that are gone."""
    for folder in parent.glob(f"{_WORK}*"):
        pid = folder.name.removeprefix(_WORK).split("-")[0]
        if pid.isdigit() and not is_alive(int(pid)):
            remove(folder)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove(folder: Path) -> None:
    """Remove a tree, folders that were made unwritable included. Not there already is fine."""

    def unlock(function: object, path: str, error: object) -> None:
        with contextlib.suppress(OSError):
            for each in (Path(path).parent, Path(path)):
                if not each.is_symlink():
                    each.chmod(0o700)
            Path(path).unlink() if Path(path).is_symlink() or not Path(path).is_dir() else shutil.rmtree(path)

    shutil.rmtree(folder, onerror=unlock)


def copy(entries: Iterable[Entry], source: Path, target: Path) -> tuple[Item, ...]:
    """Copy files, symlinks and empty folders into the folder `target`, and tell what they hold."""
    folders: set[Path] = set()
    return tuple(_copy(entry, source, target, folders) for entry in entries)


def _copy(entry: Entry, source: Path, target: Path, folders: set[Path]) -> Item:
    there = target / entry.name
    if entry.folder:
        _make_folder(there, target, folders)
        return Item(entry.name, FOLDER, "")
    _make_folder(there.parent, target, folders)
    if entry.target:
        there.symlink_to(entry.target)
        return Item(entry.name, LINK, entry.target)
    content, size = _copy_file(source / entry.name, there, 0o755 if entry.executable else 0o644)
    return Item(entry.name, PROGRAM if entry.executable else FILE, content, size)


def _copy_file(source: Path, target: Path, mode: int) -> tuple[str, int]:
    """The content's SHA-256 in hex and its size. The time of change goes with it: servers make ETags of that."""
    content = hashlib.sha256()
    size = 0
    # it was a regular file when the folder was read; a symlink put there since is not followed
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(reader, "rb") as data, target.open("xb") as out:
        while chunk := data.read(_CHUNK):
            content.update(chunk)
            size += out.write(chunk)
        status = os.fstat(data.fileno())
        out.flush()
        os.fchmod(out.fileno(), mode)
        os.utime(out.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
    return content.hexdigest(), size


def _make_folder(folder: Path, root: Path, known: set[Path]) -> None:
    """Make the folder and those above it, to be passed by any user whatever the umask."""
    if folder in known or folder == root:
        return
    _make_folder(folder.parent, root, known)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    known.add(folder)


def index(folder: Path) -> tuple[Item, ...]:
    """What a folder holds, read whole. BuildError for what no bundle can hold."""
    return tuple(_item(entry, folder) for entry in tree.scan(folder))


def _item(entry: Entry, folder: Path) -> Item:
    if entry.target:
        return Item(entry.name, LINK, entry.target)
    if entry.folder:
        return Item(entry.name, FOLDER, "")
    content = hashlib.sha256()
    reader = os.open(folder / entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(reader, "rb") as data:
        while chunk := data.read(_CHUNK):
            content.update(chunk)
    return Item(entry.name, PROGRAM if entry.executable else FILE, content.hexdigest(), entry.size)


def link(items: Sequence[Item], source: Path, root: Path) -> None:
    """Hard-link files that fnctl owns to `root`; the others anew. Copies where the file system cannot link."""
    folders: set[Path] = set()
    for item in items:
        there = root / item.name
        _make_folder(there if item.kind == FOLDER else there.parent, root, folders)
        if item.kind == FOLDER:
            continue
        if item.kind == LINK:
            there.symlink_to(item.value)
            continue
        try:
            os.link(source / item.name, there, follow_symlinks=False)
        except OSError:
            _copy_file(source / item.name, there, 0o755 if item.kind == PROGRAM else 0o644)


def adopt(made: Path, digest: str) -> Path:
    """Rename a finished folder to the place of its digest; that folder. One that is there and whole stays."""
    made.chmod(0o755)
    place = bundles.folder(paths.bundles(), digest)
    if place.is_dir():
        if not damage(place, digest):
            return place
        remove(place)
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was first, with the same contents
            raise
    return place


def seal(folder: Path) -> str | None:
    """A cheap witness of a folder as it lies: sizes, times of change, inodes. None where it is not there."""
    if not folder.is_dir():
        return None
    whole = hashlib.sha256()
    for entry in tree.scan(folder, leaves_out=bundles.is_derived):
        # not the time of the inode's change: a hard link to the file, made into a slot, alters it
        changed, _, inode = entry.stamp
        whole.update(repr((entry.name, entry.executable, entry.size, changed, inode, entry.target)).encode())
    return whole.hexdigest()


def damage(folder: Path, digest: str) -> str | None:
    """What the folder's digest is in truth, where it is not this one. Reads every byte."""
    try:
        found = bundles.digest(index(folder))
    except (OSError, BuildError) as error:
        return str(error)
    return found if found != digest else None


def verify_tree(bundle: Bundle) -> None:
    """BuildError where the bundle's files are not what its digest says: nothing of it may run then."""
    found = damage(bundle.root, bundle.digest)
    if found is not None:
        raise BuildError(
            f"the stored code of {bundle.function} does not match its digest: expected {bundle.digest}, found {found}",
            hint=f"`fnctl build --no-cache {bundle.function}` builds it again",
            code="damaged",
        )

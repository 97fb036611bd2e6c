"""What a folder holds, as a bundle takes it: files, symlinks that stay inside, empty folders. Reads no contents."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fnctl.errors import BuildError

# Bounds on what one bundle may hold, so that a runaway install cannot fill the disk twice over.
MAX_FILES = 200_000
MAX_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a symlink where `target` is set, or an empty folder. `stamp` changes whenever the content may have."""

    name: str  # relative, "/" between its parts
    executable: bool
    size: int
    stamp: tuple[int, int, int]  # mtime and ctime in ns, inode
    target: str = ""
    folder: bool = False

    @property
    def order(self) -> bytes:
        """Sorting key: by bytes, the same whatever the locale or the file system's own order."""
        return os.fsencode(self.name)


def everything(name: str) -> bool:
    """The rule that leaves nothing out."""
    return False


def scan(
    root: Path,
    *,
    leaves_out: Callable[[str], bool] = everything,
    skips: Callable[[str], bool] = everything,
    within: Sequence[str] = ("",),
) -> tuple[Entry, ...]:
    """Every file and symlink below `root`, sorted, and every folder that holds nothing at all: programs count on one
    that they cannot make. One whose files are all left out is not listed.
    `within`: of these folders of it alone, named from `root` on, which symlinks lead to any place of.

    Raises BuildError for what no bundle can hold: a symlink that leaves the folder, a device, a socket, a pipe, and
    more than the bounds. Nothing was written by then.
    """
    real = os.path.realpath(root)
    found: list[Entry] = []
    size = 0
    tops = ((root / folder, f"{folder}/" if folder else "") for folder in within)
    for entry in (each for top, prefix in tops for each in _walk(top, prefix, leaves_out, skips, real)):
        found.append(entry)
        size += entry.size
        if len(found) > MAX_FILES or size > MAX_BYTES:
            raise BuildError(
                f"{root} is too large for a bundle: more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB",
                hint="exclude what the function does not need, in its .dockerignore",
            )
    return tuple(sorted(found, key=lambda entry: entry.order))


def _walk(
    folder: Path, prefix: str, leaves_out: Callable[[str], bool], skips: Callable[[str], bool], real: str
) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if not entry.is_dir(follow_symlinks=False):
                if not leaves_out(name):
                    yield _entry(entry, name, real)
            elif not skips(name) and not _is_virtualenv(Path(entry.path)):
                if _is_empty(entry.path) and not leaves_out(name):
                    yield Entry(name, False, 0, _stamp(entry.stat(follow_symlinks=False)), folder=True)
                yield from _walk(Path(entry.path), f"{name}/", leaves_out, skips, real)


def _is_empty(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def _is_virtualenv(folder: Path) -> bool:
    """A Python environment of the host, under any name: it cannot run anywhere else."""
    return (folder / "pyvenv.cfg").is_file()


def _entry(entry: os.DirEntry[str], name: str, real: str) -> Entry:
    status = entry.stat(follow_symlinks=False)
    stamp = _stamp(status)
    if stat.S_ISLNK(status.st_mode):
        return Entry(name, False, 0, stamp, _link_target(entry.path, name, real))
    if not stat.S_ISREG(status.st_mode):
        raise BuildError(
            f"{name} is {_kind(status.st_mode)}, which cannot be in a bundle",
            hint="remove it, or add it to .dockerignore",
        )
    return Entry(name, bool(status.st_mode & 0o111), status.st_size, stamp)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _link_target(path: str, name: str, real: str) -> str:
    """What the symlink says, where that is relative and both its words and the real thing lie inside."""
    target = str(Path(path).readlink())
    lexical = os.path.normpath(os.path.join(os.path.dirname(name), target))  # noqa: PTH118, PTH120
    where = os.path.realpath(path)
    inside = where == real or where.startswith(real + os.sep)
    if os.path.isabs(target) or lexical == ".." or lexical.startswith("../") or not inside:  # noqa: PTH117
        raise BuildError(
            f"symlink {name} leaves the function's folder: it points to {target}",
            hint="copy the file into the folder, or exclude the link in .dockerignore",
        )
    return target


def _kind(mode: int) -> str:
    named = ((stat.S_ISSOCK, "a socket"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISBLK, "a device"))
    return next((words for test, words in named if test(mode)), "a device")

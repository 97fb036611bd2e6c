"""Where the slots of a run lie: in a folder whose path tells a sandbox nothing, since every sandbox can read it.

A mount shows the path of its source, below the root of the file system, in /proc/self/mountinfo: with the slots in the
project's state, the user's name, the home and the project. Nothing hides it, and so it is a path of random letters
below a temporary folder, which the project's own `slots` leads to. Slots are hard links of bundles, and so it has to be
on their file system; where no temporary folder is, `slots` itself has to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

PARENTS = (Path("/var/tmp"), Path("/tmp"), Path("/dev/shm"))


class SlotsFolder:
    """`path` from `__init__` until `close`. For who holds the project's lock."""

    def __init__(self, link: Path, parents: Iterable[Path] = PARENTS) -> None:
        """`link`: the project's `slots`, a folder or a link to one that a killed run has left."""
        self._link = link
        parent = next((each for each in parents if _fits(each, link.parent)), None)
        held = None
        while held is None:
            self.path = self._inside() if parent is None else self._outside(parent)
            held = _locked(self.path)
        self._held = held

    def _inside(self) -> Path:
        if self._link.is_symlink():  # to where a run was that could have them outside
            self._link.unlink()
        self._link.mkdir(mode=0o700, exist_ok=True)
        return self._link

    def _outside(self, parent: Path) -> Path:
        if self._link.is_symlink():
            left = self._link.readlink()
            if _is_ours(left):
                return left
            self._link.unlink()
        else:
            shutil.rmtree(self._link, ignore_errors=True)  # of a version that kept them here, or empty
        made = Path(tempfile.mkdtemp(prefix="fnctl-", dir=parent))
        self._link.symlink_to(made)
        return made

    def close(self) -> None:
        """An empty one is not left outside; `slots` is an empty folder again."""
        os.close(self._held)
        if self.path != self._link:
            with contextlib.suppress(OSError):
                self.path.rmdir()
                self._link.unlink()
                self._link.mkdir(mode=0o700)


def discard(folder: Path) -> bool:
    """Remove what a run that was killed left there, secrets with it. False: another run has taken it over."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return True  # it is gone
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for each in folder.iterdir():
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each, ignore_errors=True)
            else:
                each.unlink()
        if folder.name != "slots":
            folder.rmdir()
    except BlockingIOError:
        return False
    except OSError:
        pass  # the next run finds the rest
    finally:
        os.close(held)
    return True


def _locked(folder: Path) -> int | None:
    """A descriptor that holds it: what cleans temporary folders leaves what somebody has locked (tmpfiles.d(5)), and so
    does `discard`. None: it was removed just now."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_SH)
    with contextlib.suppress(OSError):
        if folder.stat().st_ino == os.fstat(held).st_ino:
            return held
    os.close(held)
    return None


def _fits(parent: Path, state: Path) -> bool:
    try:
        return parent.stat().st_dev == state.stat().st_dev and os.access(parent, os.W_OK | os.X_OK)
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Temporary folders are everybody's to make things in: one that was cleaned away may be another user's by now."""
    try:
        seen = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid() and stat.S_IMODE(seen.st_mode) == 0o700

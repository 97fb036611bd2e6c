"""Trees of hard links to bundles, made ahead of the sandboxes that they are placed into."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import defaultdict, deque
from pathlib import Path

from fnctl.model import Bundle


class ReadyTrees:
    """Trees of hard links to bundles, made ahead, each to be renamed into one slot.

    Linking a tree costs about 10 µs a file; made ahead, placing it costs one rename. Each sandbox sees the code of its
    own function and no name of any other's (docs/adr/0003). Thread-safe by the atomicity of deque.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready: dict[str, deque[Path]] = defaultdict(deque)
        self._serial = 0

    def take(self, bundle: Bundle) -> Path | None:
        """A tree made ahead, if there is one."""
        try:
            return self._ready[bundle.digest].popleft()
        except IndexError:
            return None

    def make(self, bundle: Bundle) -> Path:
        """Link a tree now (blocking)."""
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._serial += 1
        target = self._root / f"{bundle.digest[-12:]}-{self._serial}-{os.getpid()}"
        link_tree(bundle.root, target)
        return target

    def fill(self, bundle: Bundle, count: int) -> None:
        """Have `count` trees of this bundle ready (blocking)."""
        while len(self._ready[bundle.digest]) < count:
            self._ready[bundle.digest].append(self.make(bundle))

    def forget(self, bundle: Bundle) -> None:
        """Drop what was made ahead for a version that is gone (blocking)."""
        for tree in self._ready.pop(bundle.digest, ()):
            shutil.rmtree(tree, ignore_errors=True)

    def clear(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)
        self._ready.clear()


def link_tree(source: Path, target: Path) -> None:
    """Hard-link every file of `source` under a new folder `target`, symlinks anew; copies where it cannot link."""
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    with os.scandir(source) as entries:
        for entry in entries:
            there = target / entry.name
            if entry.is_symlink():
                there.symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                link_tree(Path(entry.path), there)
            else:
                _link(entry.path, there)


def _link(source: str, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        # another file system, or a file with as many links as it may have
        if error.errno not in (errno.EXDEV, errno.EMLINK, errno.EPERM):
            raise
        shutil.copy2(source, target)
        with contextlib.suppress(OSError):
            target.chmod(0o644 if not os.access(source, os.X_OK) else 0o755)

"""A slot: the folder and the user that one sandbox gets on the host, and how code is placed into it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.model import Bundle

# What `localhost` is, where the engine does not say it: over IPv4 alone, since that is where a program that listens on
# the name is looked for.
HOSTS = "127.0.0.1\tlocalhost\n::1\tip6-localhost ip6-loopback\n"


@dataclass(frozen=True, slots=True)
class Slot:
    """`folder` is mounted read-only at /fn in the sandbox; `uid` is the only user inside."""

    id: str
    uid: int
    folder: Path

    def make(self) -> None:
        self.folder.mkdir(mode=0o755)
        self.folder.chmod(0o755)  # whatever the umask: the slot's own user must pass
        self.hosts.write_text(HOSTS)
        self.hosts.chmod(0o644)

    @property
    def hosts(self) -> Path:
        """The /etc/hosts of a sandbox that is on no network: the engine hides the image's, and gives it none."""
        return self.folder / "hosts"

    def place(self, staged: Path) -> None:
        """Put a staged tree at `app`: one rename, so that the sandbox sees all of it or nothing."""
        staged.rename(self.folder / "app")

    def give(self, secrets: Mapping[str, bytes]) -> None:
        """Put secrets at `secrets`, one rename, for the slot's user alone.

        Where fnctl is not root it can give no file away: then others are kept out by the folders above (0700).
        """
        fresh = self.folder / ".secrets"
        fresh.mkdir(mode=0o755)
        fresh.chmod(0o755)
        owned = os.getuid() == 0
        for name, content in secrets.items():
            path = fresh / name
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(content)
            path.chmod(0o400 if owned else 0o444)
            if owned:
                os.chown(path, self.uid, self.uid)
        fresh.rename(self.folder / "secrets")

    def place_ahead(self, cache: Path) -> None:
        """Put a bundle's cache at `ahead`, before any of its code (blocking)."""
        partial = self.folder / "ahead.partial"
        link_tree(cache, partial)
        partial.rename(self.folder / "ahead")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Slots:
    """Hands out slots; a uid is not reused while its slot lives. One owner, on the loop's thread."""

    def __init__(self, root: Path, run: str, claim: Callable[[], Iterable[int]]) -> None:
        """`claim` gives further uids, of this run alone, whenever all are in use."""
        self._root = root
        self._run = run
        self._serial = 0
        self._claim = claim
        self._uids: deque[int] = deque()

    def acquire(self) -> Slot:
        """OSError where there is no room for its folder; what `claim` raises where there are no uids."""
        if not self._uids:
            self._uids.extend(self._claim())
        self._serial += 1
        slot = Slot(id=f"{self._run}-{self._serial}", uid=self._uids.popleft(), folder=self._root / f"{self._serial}")
        try:
            slot.make()
        except OSError:
            slot.remove()
            self._uids.append(slot.uid)
            raise
        return slot

    def release(self, slot: Slot) -> None:
        """Give the uid back; the folder is the caller's to remove (it may take long)."""
        self._uids.append(slot.uid)


class Stage:
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

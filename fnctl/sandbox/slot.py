"""A slot: the folder and the user that one sandbox gets on the host, and how code is placed into it."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.model import OWN_NAME
from fnctl.sandbox.staging import link_tree

# Where a service is looked for that is not up: nobody listens there, so that a connection is refused at once.
NOWHERE = "127.127.127.127"
HOSTS_BYTES = 1024  # a file of names is as long as a multiple of this: written over in place, none is seen half
# What `localhost` and the sandbox's own name are, where the engine does not say it: over IPv4 alone, since that is
# where a program that listens on the name is looked for.
HOSTS = f"127.0.0.1\tlocalhost\n127.0.0.1\t{OWN_NAME}\n::1\tip6-localhost ip6-loopback\n"
USER = "fn"  # who the slot's uid is inside; the supervisor says so, too (USER in supervisor.pl)
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
GROUP = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"


@dataclass(frozen=True, slots=True)
class Slot:
    """`folder` is mounted read-only at /fn in the sandbox; `uid` is the only user inside."""

    id: str
    uid: int
    folder: Path

    def make(self) -> None:
        self.folder.mkdir(mode=0o755)
        self.folder.chmod(0o755)  # whatever the umask: the slot's own user must pass
        self._write(self.hosts, HOSTS)
        self._write(self.folder / "passwd", f"{PASSWD}{USER}:x:{self.uid}:{self.uid}::/tmp:/bin/sh\n")
        self._write(self.folder / "group", f"{GROUP}{USER}:x:{self.uid}:\n")

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o644)

    @property
    def hosts(self) -> Path:
        """Its sandbox's /etc/hosts: names are looked up without the engine's help."""
        return self.folder / "hosts"

    def name(self, services: Mapping[str, str | None]) -> None:
        """Let its sandbox find these services, also while it runs: over the same file, in one write."""
        names = "".join(f"{address or NOWHERE}\t{name}\n" for name, address in services.items())
        content = (HOSTS + names).encode()
        file = os.open(self.hosts, os.O_WRONLY | os.O_CLOEXEC)
        try:
            there = os.fstat(file).st_size
            size = max(there, -(-len(content) // HOSTS_BYTES) * HOSTS_BYTES)
            os.pwrite(file, content.ljust(size, b"\n"), 0)
        finally:
            os.close(file)

    @property
    def users(self) -> tuple[tuple[Path, str], ...]:
        """The files that give the slot's user and its group a name, each with where it belongs."""
        return tuple((self.folder / name, f"/etc/{name}") for name in ("passwd", "group"))

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

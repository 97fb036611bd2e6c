"""A disk whose power can be cut: a VFS for SQLite under which only what was synced is sure to be there afterwards.

Files are real, so that SQLite maps and locks them as always. Beside each stands what the disk is sure of, and what has
been written since: of that, a cut keeps any part, in sectors, as disks do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any

import apsw

from fnctl.store.sqlite import LOCKED_MS

SECTOR = 512


class PowerCut(sqlite3.OperationalError):
    """What every access meets after the cut."""


@dataclass
class _Write:
    offset: int
    data: bytes


@dataclass
class _Image:
    """One file: what survives for sure, and what was written (or cut off, an int) since the last sync."""

    durable: bytearray | None = None  # None: not even its name
    pending: list[_Write | int] = field(default_factory=list)

    def sync(self) -> None:
        self.durable = self._after(self.pending)
        self.pending = []

    def survivor(self, random: Random, kept: float) -> bytearray | None:
        if self.durable is None and not (self.pending and random.random() < kept):
            return None
        pieces: list[_Write | int] = []
        for each in self.pending:
            if isinstance(each, int):
                pieces += [each] if random.random() < kept else []
                continue
            for start in range(0, len(each.data), SECTOR):
                if random.random() < kept:
                    pieces.append(_Write(each.offset + start, each.data[start : start + SECTOR]))
        return self._after(pieces)

    def _after(self, pieces: Iterable[_Write | int]) -> bytearray:
        content = bytearray(self.durable or b"")
        for each in pieces:
            if isinstance(each, int):
                del content[each:]
                continue
            content.extend(bytes(max(0, each.offset - len(content))))
            content[each.offset : each.offset + len(each.data)] = each.data
        return content


class Disk:
    """A folder of files under one VFS. `cut_after` accesses that change something, the power is gone."""

    def __init__(self, folder: Path, random: Random) -> None:
        self.folder = folder
        self._random = random
        self._images: dict[str, _Image] = {}
        self._left = 0
        self.dead = False
        self.lock = Lock()

    @property
    def database(self) -> Path:
        return self.folder / "store.db"

    def power_on(self, cut_after: int) -> None:
        """What survived is what there is now."""
        self._left, self.dead = cut_after, False
        self._images = {str(path): _Image(bytearray(path.read_bytes())) for path in self.folder.iterdir()}

    def cut(self) -> None:
        """End of power, and of the machine: files become what the disk holds."""
        with self.lock:
            self.dead = True
            kept = self._random.choice((0.0, 1.0, self._random.random()))
            for path in self.folder.iterdir():
                path.unlink()
            for name, image in self._images.items():
                content = image.survivor(self._random, kept)
                if content is not None:
                    Path(name).write_bytes(content)

    # -- for its files ---------------------------------------------------------------------------------------------

    def spend(self) -> None:
        if not self.dead:
            self._left -= 1
            self.dead = self._left < 0
        self.check()

    def check(self) -> None:
        if self.dead:
            raise PowerCut("the power is off")

    def image(self, name: str) -> _Image:
        return self._images.setdefault(name, _Image())

    def removed(self, name: str) -> None:
        self._images.pop(name, None)


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        disk.image(self._name)

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.spend()
            self._disk.image(self._name).pending.append(_Write(offset, bytes(data)))
            super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        with self._disk.lock:
            self._disk.spend()
            self._disk.image(self._name).pending.append(newsize)
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            self._disk.spend()
            self._disk.image(self._name).sync()


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "unix")
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        self._disk.check()
        return _File(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self._disk.lock:
            self._disk.spend()
            self._disk.removed(filename)
            super().xDelete(filename, syncdir)


class _Rows(list[Any]):
    def fetchone(self) -> Any:
        return self[0] if self else None

    def fetchall(self) -> list[Any]:
        return self


class Powered:
    """The store's connections to a database on a disk. Its own SQL and pragmas, by another binding of SQLite.

    `synchronous`: another word than the store's own, to see what that one is for.
    """

    def __init__(self, disk: Disk, synchronous: str | None = None) -> None:
        self._name = f"power-{id(disk)}-{synchronous}"
        self._vfs = _Vfs(self._name, disk)
        self._synchronous = synchronous

    def connect(self, path: str) -> _Connection:
        return _Connection(path, self._name, self._synchronous)


class _Connection:
    """A `Connection` (fnctl/store/sql.py)."""

    slot = 0
    broken = False
    for_update = skip_locked = ""

    def __init__(self, path: str, vfs: str, synchronous: str | None) -> None:
        self._synchronous = synchronous
        self._connection = apsw.Connection(path, vfs=vfs)
        self._connection.set_busy_timeout(LOCKED_MS)

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> _Rows:
        if self._synchronous is not None and sql.startswith("PRAGMA synchronous"):
            sql = f"PRAGMA synchronous={self._synchronous}"
        return self._told(sql, values)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> None:
        for each in values:
            self._told(sql, each)

    def _told(self, sql: str, values: Sequence[Any]) -> _Rows:
        try:
            return _Rows(self._connection.execute(sql, values))
        except apsw.Error as error:
            raise PowerCut(str(error)) from error

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def lock(self, name: str) -> None:
        pass

    def next_version(self) -> int:
        return int(self.execute("UPDATE versions SET last = last + 1 RETURNING last").fetchone()[0])

    def commit(self, touched: Iterable[str] = ()) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        self.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()

"""The store in SQLite: in one file of the project, or in memory."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from fnctl.store import key_values, logs, queues
from fnctl.store.key_values import SqlKeys
from fnctl.store.logs import SqlLogs
from fnctl.store.port import Heard, StoreUnavailable
from fnctl.store.queues import SqlQueues
from fnctl.store.sql import Connection, in_words_of
from fnctl.store.writer import Writer

LOCKED_MS = 2000  # how long to wait for somebody else's lock on the file
SCHEMA = queues.SCHEMA + logs.SCHEMA + key_values.SCHEMA
TYPES = {"NUMBERED": "INTEGER", "NUMBER": "INTEGER", "BYTES": "BLOB", "SECONDS": "REAL", "TEXT": "TEXT"}
_VERSIONS = """
CREATE TABLE IF NOT EXISTS versions (one INTEGER PRIMARY KEY CHECK (one = 1), last INTEGER NOT NULL);
INSERT OR IGNORE INTO versions VALUES (1, 0);
"""
# Accepted means on disk, whatever happens to the machine. The log is copied into the file of the database at every
# 4,000 pages (16 MB) of it: by default that is every 1,000, under load one commit in a hundred.
PRAGMAS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=4000")


class SqliteConnection(sqlite3.Connection):
    """A `Connection` (sql.py). One process has the file, and one thread this: no row needs a lock of its own."""

    slot = 0
    broken = False
    for_update = skip_locked = ""

    def begin(self) -> None:
        self.execute("BEGIN IMMEDIATE")

    def lock(self, name: str) -> None:
        pass

    def next_version(self) -> int:
        (made,) = self.execute("UPDATE versions SET last = last + 1 RETURNING last").fetchone()
        return int(made)

    def commit(self, touched: Iterable[str] = ()) -> None:
        self.execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")


Connect = Callable[[str], Connection]


def connected(path: str) -> SqliteConnection:
    return sqlite3.connect(path, isolation_level=None, timeout=LOCKED_MS / 1000, factory=SqliteConnection)


class SqliteDatabase:
    """A `Database` (sql.py)."""

    def __init__(self, path: Path | None, connect: Connect) -> None:
        self._path = path
        self._connect = connect

    def connect(self, schema: str) -> Connection:
        if self._path is not None:
            _create(self._path)
        connection = self._connect(str(self._path or ":memory:"))
        try:
            for line in (*PRAGMAS, *in_words_of(TYPES, schema + _VERSIONS)):
                connection.execute(line)
        except BaseException:
            connection.close()
            raise
        return connection

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        if not isinstance(error, sqlite3.Error | OSError):
            return None
        where = "in memory" if self._path is None else str(self._path)
        return StoreUnavailable(
            f"cannot use the store {where}: {error}",
            hint="free disk space, or stop the program that keeps it open",
            retry_after_s=1,
        )

    def collided(self, error: Exception) -> bool:
        return False


def _create(path: Path) -> None:
    """The file and its place in the folder: SQLite syncs what it writes into a file, not that the file is there."""
    if path.exists():
        return
    path.touch(mode=0o600)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class SqliteStore:
    """A `Store` (port.py). One process at a time; the caller holds the project's lock."""

    shared = False

    def __init__(self, path: Path | None = None, connect: Connect = connected) -> None:
        """`path` None: in memory, for tests and for calls that leave nothing behind."""
        self._writer = Writer(SqliteDatabase(path, connect), SCHEMA)
        self.queues = SqlQueues(self._writer)
        self.logs = SqlLogs(self._writer)
        self.keys = SqlKeys(self._writer)

    @property
    def commits(self) -> int:
        """Transactions so far: how well the writer groups."""
        return self._writer.commits

    def listen(self, heard: Heard) -> None:
        """Nobody else is here to be heard."""

    async def open(self) -> None:
        await self._writer.start()

    async def close(self) -> None:
        await self._writer.stop()

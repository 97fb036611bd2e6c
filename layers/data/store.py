"""The records on disk: SQLite in WAL mode, one writer, several readers. Knows nothing of HTTP.

A commit is in the operating system's hands when a call returns: it survives the end of this process in any way. A power
cut may lose the last moments (`synchronous=NORMAL`), never the file's consistency.
"""

from __future__ import annotations

import json
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from query import OWN_FIELDS, Filter, ListQuery

READERS = 4
BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (collection, id)
)
"""
_COLUMNS = "id, revision, created, updated, body"


@dataclass(frozen=True, slots=True)
class Record:
    """A stored record. `revision` starts at 1 and grows with each write to it."""

    id: str
    revision: int
    created: str
    updated: str
    fields: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """What the client sees: its own fields and the service's."""
        return {"id": self.id, **self.fields, "created": self.created, "updated": self.updated}


class Conflict(Exception):
    """The record is not at the revision that the writer expected. Nothing was written."""

    def __init__(self, found: int | None) -> None:
        super().__init__(f"found revision {found}")
        self.found = found


class Ids:
    """Makes ids that sort by the time they were made, and in order within one process. Not thread-safe.

    26 characters as in ULID: 48 bits of milliseconds, 80 random bits. When the clock stands still or steps back, the
    next id is the last one plus one.
    """

    _ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._last = 0

    def next(self) -> str:
        now = self._clock_ms()
        fresh = now << 80 | secrets.randbits(80)
        self._last = fresh if now > self._last >> 80 else self._last + 1
        return "".join(self._ALPHABET[self._last >> shift & 31] for shift in range(125, -1, -5))


class Store:
    """All tables of one database file. Every method may be called from any thread.

    Reads see one moment; writes happen one at a time, each whole or not at all.
    Raises `sqlite3.Error` where the disk does (full, read-only, corrupt).
    """

    def __init__(self, path: Path) -> None:
        self._writer = _open(path)
        self._writer.execute("PRAGMA journal_mode=WAL").fetchone()
        self._writer.execute(_SCHEMA)
        self._writing = threading.Lock()
        self._ids = Ids(lambda: time.time_ns() // 1_000_000)
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(_open(path))

    def check(self) -> None:
        """Raises where the database cannot be read."""
        with self._read() as reader:
            reader.execute("SELECT 1 FROM records LIMIT 1").fetchone()

    def list(self, table: str, query: ListQuery) -> tuple[list[Record], int]:
        """One page, and how many records pass the filters in all."""
        where, values = _where(table, query.filters)
        order, order_values = _order(query.sort)
        page = f"SELECT {_COLUMNS} FROM records WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?"
        with self._read() as reader:
            total = reader.execute(f"SELECT count(*) FROM records WHERE {where}", values).fetchone()[0]
            rows = reader.execute(page, [*values, *order_values, query.limit, query.offset]).fetchall()
        return [_record(row) for row in rows], total

    def get(self, table: str, record_id: str) -> Record | None:
        with self._read() as reader:
            return _find(reader, table, record_id)

    def insert(self, table: str, fields: dict[str, Any]) -> Record:
        with self._write() as writer:
            now = _now()
            return _save(writer, table, Record(self._ids.next(), 1, now, now, fields))

    def replace(
        self, table: str, record_id: str, fields: dict[str, Any], expected: int | None = None
    ) -> tuple[Record, bool]:
        """The record with exactly these fields, and whether it is new. `Conflict` if not at revision `expected`."""
        with self._write() as writer:
            old, now = _expect(_find(writer, table, record_id), expected), _now()
            made = Record(record_id, old.revision + 1 if old else 1, old.created if old else now, now, fields)
            return _save(writer, table, made), old is None

    def merge(self, table: str, record_id: str, fields: dict[str, Any], expected: int | None = None) -> Record | None:
        """These fields over the record's own; None where there is no record. `Conflict` as in `replace`."""
        with self._write() as writer:
            old = _expect(_find(writer, table, record_id), expected)
            if old is None:
                return None
            made = Record(old.id, old.revision + 1, old.created, _now(), {**old.fields, **fields})
            return _save(writer, table, made)

    def delete(self, table: str, record_id: str, expected: int | None = None) -> bool:
        """Whether there was one. `Conflict` as in `replace`."""
        with self._write() as writer:
            if _expect(_find(writer, table, record_id), expected) is None:
                return False
            writer.execute("DELETE FROM records WHERE collection = ? AND id = ?", (table, record_id))
            return True

    def close(self) -> None:
        """No call may run or follow. Folds the write-ahead log into the file."""
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self._writer.close()

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        reader = self._readers.get()
        try:
            reader.execute("BEGIN")
            yield reader
        finally:
            if reader.in_transaction:
                reader.execute("ROLLBACK")
            self._readers.put(reader)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            # IMMEDIATE: the lock is had before the read that the write depends on.
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:  # a full disk may have rolled it back already
                    self._writer.execute("ROLLBACK")


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA temp_store=MEMORY")  # the sandbox's root cannot be written
    return connection


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _record(row: tuple[str, int, str, str, str]) -> Record:
    return Record(*row[:4], json.loads(row[4]))


def _find(connection: sqlite3.Connection, table: str, record_id: str) -> Record | None:
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM records WHERE collection = ? AND id = ?", (table, record_id)
    ).fetchone()
    return _record(found) if found else None


def _save(writer: sqlite3.Connection, table: str, record: Record) -> Record:
    body = json.dumps(record.fields, separators=(",", ":"))
    writer.execute(
        "INSERT OR REPLACE INTO records (collection, id, revision, created, updated, body) VALUES (?, ?, ?, ?, ?, ?)",
        (table, record.id, record.revision, record.created, record.updated, body),
    )
    return record


def _expect(found: Record | None, expected: int | None) -> Record | None:
    revision = found.revision if found else None
    if expected is not None and revision != expected:
        raise Conflict(revision)
    return found


def _where(table: str, filters: tuple[Filter, ...]) -> tuple[str, list[object]]:
    """A WHERE clause and its values. Fields and values of clients go in as parameters only."""
    clauses, values = ["collection = ?"], [table]
    for item in filters:
        text, text_values = _text(item.field)
        clauses.append(f"instr(lower({text}), lower(?)) > 0" if item.contains else f"{text} = ?")
        values += [*text_values, item.value]
    return " AND ".join(clauses), list(values)


def _text(field: str) -> tuple[str, list[str]]:
    """A field's value as text, as JSON writes it: SQLite's own booleans would read as 0 and 1."""
    if field in OWN_FIELDS:
        return field, []
    path = _path(field)
    literal = "WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' WHEN 'null' THEN 'null'"
    return f"(CASE json_type(body, ?) {literal} ELSE CAST(json_extract(body, ?) AS TEXT) END)", [path, path]


def _order(sort: tuple[tuple[str, bool], ...]) -> tuple[str, list[str]]:
    terms, values = [], []
    for field, descending in (*sort, ("id", False)):
        terms.append((field if field in OWN_FIELDS else "json_extract(body, ?)") + (" DESC" if descending else ""))
        values += [] if field in OWN_FIELDS else [_path(field)]
    return ", ".join(terms), values


def _path(field: str) -> str:
    return f'$."{field}"'

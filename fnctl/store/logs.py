"""Logs in SQL: one row an entry."""

from __future__ import annotations

from collections.abc import Sequence

from fnctl.store import key_values as rows
from fnctl.store.port import Entry, Stale, Write
from fnctl.store.sql import Transaction
from fnctl.store.writer import Writer

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  log <TEXT> NOT NULL,
  number BIGINT NOT NULL,
  at <SECONDS> NOT NULL,
  data <BYTES> NOT NULL,
  PRIMARY KEY (log, number)
);
"""


class SqlLogs:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def append(self, log: str, after: int, data: Sequence[bytes], at: float, keys: Sequence[Write] = ()) -> int:
        return await self._writer.run(lambda db: _append(db, log, after, data, at, keys))

    async def read(self, log: str, after: int = 0, limit: int = 1000) -> list[Entry]:
        rows = "SELECT number, at, data FROM entries WHERE log = ? AND number > ? ORDER BY number LIMIT ?"
        return await self._writer.run(lambda db: [Entry(*row) for row in db.execute(rows, (log, after, limit))])

    async def forget(self, logs: Sequence[str]) -> None:
        gone = [(log,) for log in sorted(logs)]
        if gone:
            await self._writer.run(lambda db: db.executemany("DELETE FROM entries WHERE log = ?", gone))


def _append(db: Transaction, log: str, after: int, data: Sequence[bytes], at: float, keys: Sequence[Write]) -> int:
    db.lock(f"log {log}")
    (length,) = db.execute("SELECT COALESCE(MAX(number), 0) FROM entries WHERE log = ?", (log,)).fetchone()
    if length != after:
        raise Stale(f"the log {log} has {length} entries, not {after}")
    db.executemany(
        "INSERT INTO entries (log, number, at, data) VALUES (?, ?, ?, ?)",
        [(log, after + index, at, entry) for index, entry in enumerate(data, 1)],
    )
    for each in keys:
        rows.write(db, each)
    return after + len(data)

"""Key-value pairs in SQL. All keys share one version counter, so no version occurs twice."""

from __future__ import annotations

from collections.abc import Sequence

from fnctl.store.port import Stale, Value, Write
from fnctl.store.sql import Transaction
from fnctl.store.writer import Writer

SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
  key <TEXT> PRIMARY KEY,
  data <BYTES> NOT NULL,
  version BIGINT NOT NULL,
  expires <SECONDS>
);
"""
_LIVE = "(expires IS NULL OR expires > ?)"


class SqlKeys:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def get(self, key: str, now: float) -> Value | None:
        return await self._writer.run(lambda db: _get(db, key, now))

    async def set(
        self, key: str, data: bytes, now: float, *, version: int | None = None, expires: float | None = None
    ) -> int:
        return await self._writer.run(lambda db: _set(db, key, data, now, version, expires))

    async def delete(self, key: str, now: float, *, version: int | None = None) -> bool:
        return await self._writer.run(lambda db: _delete(db, key, now, version))

    async def scan(self, prefix: str, now: float, limit: int = 1000) -> list[tuple[str, Value]]:
        rows = (
            f"SELECT key, data, version, expires FROM keys WHERE substr(key, 1, ?) = ? AND key >= ? AND {_LIVE}"
            " ORDER BY key LIMIT ?"
        )
        values = (len(prefix), prefix, prefix, now, limit)
        return await self._writer.run(lambda db: [(row[0], Value(*row[1:])) for row in db.execute(rows, values)])

    async def expired(self, now: float, limit: int = 1000) -> list[str]:
        rows = "SELECT key FROM keys WHERE expires <= ? LIMIT ?"
        return await self._writer.run(lambda db: [key for (key,) in db.execute(rows, (now, limit))])

    async def purge(self, keys: Sequence[str], now: float) -> None:
        gone = [(key, now) for key in sorted(keys)]  # in one order, so that two who purge do not wait for each other
        await self._writer.run(lambda db: db.executemany("DELETE FROM keys WHERE key = ? AND expires <= ?", gone))


def _get(db: Transaction, key: str, now: float) -> Value | None:
    row = db.execute(f"SELECT data, version, expires FROM keys WHERE key = ? AND {_LIVE}", (key, now)).fetchone()
    return None if row is None else Value(*row)


def _check(db: Transaction, key: str, now: float, version: int | None) -> Value | None:
    db.lock(f"key {key}")
    found = _get(db, key, now)
    has = 0 if found is None else found.version
    if version is not None and version != has:
        raise Stale(f"the key {key} has {f'version {has}' if has else 'no value'}, not version {version}")
    return found


def _set(db: Transaction, key: str, data: bytes, now: float, version: int | None, expires: float | None) -> int:
    if version is not None:
        _check(db, key, now, version)
    return _put(db, key, data, expires)


def write(db: Transaction, said: Write) -> None:
    """Within a transaction that others are part of."""
    if said.data is None:
        db.execute("DELETE FROM keys WHERE key = ?", (said.key,))
    else:
        _put(db, said.key, said.data, said.expires)


def _put(db: Transaction, key: str, data: bytes, expires: float | None) -> int:
    made = db.next_version()
    db.execute(
        "INSERT INTO keys (key, data, version, expires) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
        " SET data = excluded.data, version = excluded.version, expires = excluded.expires",
        (key, data, made, expires),
    )
    return made


def _delete(db: Transaction, key: str, now: float, version: int | None) -> bool:
    found = _check(db, key, now, version)
    db.execute("DELETE FROM keys WHERE key = ?", (key,))
    return found is not None

"""What stores in SQL have in common: a connection as the store needs it, and a transaction. No dialect, no thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any, Protocol

from fnctl.store.port import StoreUnavailable


class Rows(Protocol):
    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection, used by one thread. Values stand as `?` in all SQL."""

    @property
    def slot(self) -> int:
        """Of those that are connected at the same time, each has another: its counts are in rows of its own."""
        ...

    @property
    def for_update(self) -> str:
        """What follows a SELECT so that nobody else changes its rows before the end of this transaction."""
        ...

    @property
    def skip_locked(self) -> str:
        """The same, without the rows that somebody else holds."""
        ...

    @property
    def broken(self) -> bool:
        """It is of no use any more."""
        ...

    def begin(self) -> None: ...

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows: ...

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> object: ...

    def lock(self, name: str) -> None:
        """Until the end of this transaction, nobody else has this name."""
        ...

    def next_version(self) -> int:
        """A number that never came before."""
        ...

    def commit(self, touched: Iterable[str]) -> None:
        """`touched`: queues in which more waits now, for others who share the store."""
        ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


class Database(Protocol):
    """Where connections come from."""

    def connect(self, schema: str) -> Connection:
        """Connected, with the tables of `schema` there."""
        ...

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        """The error as its caller sees it; None: it is a fault of ours."""
        ...

    def collided(self, error: Exception) -> bool:
        """Whether the transaction came into the way of another's, and can be tried again."""
        ...


def in_words_of(types: Mapping[str, str], schema: str) -> tuple[str, ...]:
    """The statements of a schema. Its types are words in angle brackets, which each database has others for."""
    for word, type_ in types.items():
        schema = schema.replace(f"<{word}>", type_)
    return tuple(each.strip() for each in schema.split(";") if each.strip())


COUNTED = ("accepted", "waiting", "running", "done", "dead", "cancelled")
COUNTS = f"""
CREATE TABLE IF NOT EXISTS counts (
  queue <TEXT> NOT NULL,
  slot INTEGER NOT NULL,
  {", ".join(f"{column} BIGINT NOT NULL DEFAULT 0" for column in COUNTED)},
  PRIMARY KEY (queue, slot)
);
"""
_SUMS = ", ".join(f"{column} = counts.{column} + excluded.{column}" for column in COUNTED)
_ADD = (
    f"INSERT INTO counts (queue, slot, {', '.join(COUNTED)}) VALUES (?, ?{', ?' * len(COUNTED)})"
    f" ON CONFLICT (queue, slot) DO UPDATE SET {_SUMS}"
)


TOGETHER = 64  # rows in one statement at most: each number of rows is a statement of its own, prepared once


@cache
def _inserting(into: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{into} VALUES {', '.join([row] * rows)}"


class Transaction:
    """One at a time on its connection. Counts are kept here until its end: one row a queue, however many messages.

    So are rows that are added one after the other, until something else is asked: one statement for many of them. Each
    statement lets the event loop's thread run, and waits until it is this one's turn again.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._changes: dict[str, dict[str, int]] = {}
        self._waiting: dict[str, int] = {}  # as stored when this transaction first asked
        self._into = ""
        self._rows: list[Sequence[Any]] = []  # for there, not yet inserted
        self.lock = connection.lock
        self.next_version = connection.next_version
        self.for_update = connection.for_update
        self.skip_locked = connection.skip_locked

    @property
    def broken(self) -> bool:
        return self._connection.broken

    def begin(self) -> None:
        self._waiting.clear()
        self._connection.begin()

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        if self._rows:
            self._insert()
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> None:
        if self._rows:
            self._insert()
        self._connection.executemany(sql, values)

    def add(self, into: str, row: Sequence[Any]) -> None:
        """Insert a row, before anything else is asked or this ends. `into`: INSERT INTO and its columns."""
        if self._into != into:
            self._insert()
            self._into = into
        self._rows.append(row)

    def _insert(self) -> None:
        rows, self._rows = self._rows, []
        for first in range(0, len(rows), TOGETHER):
            some = rows[first : first + TOGETHER]
            sql = _inserting(self._into, len(some[0]), len(some))
            self._connection.execute(sql, tuple(chain.from_iterable(some)))

    def waiting(self, queue: str) -> int:
        """How many messages of this queue wait now."""
        stored = self._waiting.get(queue)
        if stored is None:
            (stored,) = self.execute(
                "SELECT COALESCE(SUM(waiting), 0) FROM counts WHERE queue = ?", (queue,)
            ).fetchone()
            self._waiting[queue] = stored = int(stored)
        changes = self._changes.get(queue)
        return stored if changes is None else stored + changes["waiting"]

    def count(self, queue: str, **changes: int) -> None:
        sums = self._changes.get(queue)
        if sums is None:
            sums = self._changes[queue] = dict.fromkeys(COUNTED, 0)
        for column, change in changes.items():
            sums[column] += change

    def counted(self) -> None:
        """Write down what was counted: whoever reads counts says this first."""
        if self._changes:
            slot = self._connection.slot
            rows = [(queue, slot, *sums.values()) for queue, sums in self._changes.items()]
            self._changes.clear()
            self._waiting.clear()
            self.executemany(_ADD, rows)

    def commit(self) -> None:
        self._insert()
        touched = [queue for queue, sums in self._changes.items() if sums["waiting"] > 0]
        self.counted()
        self._connection.commit(touched)

    def rollback(self) -> None:
        self._changes.clear()
        self._rows.clear()
        self._connection.rollback()

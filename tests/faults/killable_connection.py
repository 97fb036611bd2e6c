"""A connection of the store that tells of each step it takes: processes that are to be killed write through it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from fnctl.store.sqlite import LOCKED_MS, SqliteConnection


def connection(path: str, at: Callable[[str], None]) -> SqliteConnection:
    """Of the store, telling `at` of each point at which a run of fnctl can be killed."""

    class Connection(SqliteConnection):
        def begin(self) -> None:
            at("begin")
            super().begin()
            at("begun")

        def execute(self, *args: Any) -> sqlite3.Cursor:
            rows = super().execute(*args)
            at("statement")
            return rows

        def commit(self, touched: Iterable[str] = ()) -> None:
            at("commit")
            super().commit(touched)
            at("committed")

    return sqlite3.connect(path, isolation_level=None, timeout=LOCKED_MS / 1000, factory=Connection)

"""The store in Postgres, for several processes on one project. One schema a project; needs `psycopg` (an extra).

Rows are leased with SKIP LOCKED, so that nobody waits for another's lease; what has to be decided in one place (a
group's order, a deduplication word, a key's version, a log's end) is decided under an advisory lock of its name. Who
puts something tells the others by NOTIFY.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import psycopg.sql
from psycopg.conninfo import conninfo_to_dict

from fnctl.errors import ConfigError
from fnctl.store import key_values, logs, queues
from fnctl.store.key_values import SqlKeys
from fnctl.store.logs import SqlLogs
from fnctl.store.port import Heard, StoreUnavailable
from fnctl.store.queues import SqlQueues
from fnctl.store.sql import Connection, Rows, in_words_of
from fnctl.store.writer import AGAIN_S, Writer

SCHEMA = queues.SCHEMA + logs.SCHEMA + key_values.SCHEMA + "CREATE SEQUENCE IF NOT EXISTS versions;"
TYPES = {
    "NUMBERED": "BIGINT GENERATED ALWAYS AS IDENTITY",
    "NUMBER": "BIGINT",
    "BYTES": "BYTEA",
    "SECONDS": "DOUBLE PRECISION",
    "TEXT": 'TEXT COLLATE "C"',  # in the order of their bytes, as everywhere
}
CONNECT_S = 5
ANSWER_S = 10
# For each connection: what it waits for at most, and that a commit is on disk, whatever the server's default is.
SETTINGS = (
    f"SET statement_timeout = '{ANSWER_S}s'",
    f"SET lock_timeout = '{ANSWER_S // 2}s'",
    f"SET idle_in_transaction_session_timeout = '{2 * ANSWER_S}s'",
)
_COLLISIONS = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation)


class Address:
    """Where a database is, and how that may be shown: without its password."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError, without a word of the URL: it may be the password that makes it unreadable."""
        parts = _parts(url)
        self.url = url
        self._password = str(parts.get("password") or "")
        user, host, name = (str(parts.get(key) or "") for key in ("user", "host", "dbname"))
        port = f":{parts['port']}" if parts.get("port") else ""
        self.shown = f"postgres://{user}{'@' if user else ''}{host}{port}/{name}"

    def scrubbed(self, text: str) -> str:
        return text.replace(self._password, "***") if self._password else text

    def connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url, autocommit=True, **_LIMITS)

    async def connected_for_long(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True, **_LIMITS)


def _parts(url: str) -> dict[str, Any]:
    """Where a password has a `/` in it, its beginning is taken for the port."""
    with contextlib.suppress(psycopg.ProgrammingError):
        parts = conninfo_to_dict(url)
        if all(port.isdigit() for port in str(parts.get("port", 5432)).split(",") if port):
            return parts
    raise ConfigError(
        "the URL of the store cannot be read",
        hint="postgres://USER:PASSWORD@HOST:PORT/DATABASE; write %40 for an @ in a password, %2F for a /",
    )


_LIMITS: dict[str, Any] = {
    "connect_timeout": CONNECT_S,
    "tcp_user_timeout": ANSWER_S * 1000,  # of a server that has vanished without a word
    "keepalives_idle": ANSWER_S,
    "fallback_application_name": "fnctl",
}


class PostgresConnection:
    """A `Connection` (sql.py)."""

    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], schema: str, slot: int) -> None:
        self._connection = connection
        self._schema = schema
        self.slot = slot
        self._marked: dict[str, str] = {}  # SQL with `?` → with `%s`

    @property
    def broken(self) -> bool:
        return self._connection.closed or self._connection.broken

    def begin(self) -> None:
        self._connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Rows:
        return self._connection.execute(self._with_marks(sql), values)

    def executemany(self, sql: str, values: Iterable[Sequence[Any]], /) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(self._with_marks(sql), values)

    def _with_marks(self, sql: str) -> Any:
        marked = self._marked.get(sql)
        if marked is None:
            marked = self._marked[sql] = sql.replace("?", "%s")
        return marked

    def lock(self, name: str) -> None:
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"{self._schema} {name}",))

    def next_version(self) -> int:
        (made,) = self.execute("SELECT nextval('versions')").fetchone()
        return int(made)

    def commit(self, touched: Iterable[str]) -> None:
        names = [f"{self.slot} {queue}" for queue in touched]
        if names:
            self.execute("SELECT pg_notify(?, name) FROM unnest(?::text[]) AS name", (self._schema, names))
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


class PostgresDatabase:
    """A `Database` (sql.py)."""

    def __init__(self, address: Address, schema: str) -> None:
        self._address = address
        self._schema = schema
        self.slot = -1  # of the connection that there is, or was last

    def connect(self, schema: str) -> Connection:
        connection = self._address.connected()
        try:
            for setting in SETTINGS:
                connection.execute(setting.encode())
            if connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
                connection.execute("SET synchronous_commit = on")
            self._create(connection, in_words_of(TYPES, schema))
            self.slot = self._free_slot(connection)
        except BaseException:
            connection.close()
            raise
        return PostgresConnection(connection, self._schema, self.slot)

    def _create(self, connection: psycopg.Connection[tuple[Any, ...]], tables: Sequence[str]) -> None:
        """One process at a time: `IF NOT EXISTS` is no word about what another one is about to make."""
        name = psycopg.sql.Identifier(self._schema)
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (self._schema,))
            if connection.execute("SELECT to_regnamespace(quote_ident(%s))", (self._schema,)).fetchone() == (None,):
                connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(name))
            connection.execute(psycopg.sql.SQL("SET search_path TO {}").format(name))
            if connection.execute("SELECT to_regclass('versions')").fetchone() == (None,):  # the last that is made
                for statement in tables:
                    connection.execute(statement.encode())

    def _free_slot(self, connection: psycopg.Connection[tuple[Any, ...]]) -> int:
        """The first that nobody has. It is free again when this connection ends, however that comes."""
        kind = int.from_bytes(hashlib.sha256(self._schema.encode()).digest()[:4], "big", signed=True)
        for slot in range(1_000_000):
            if connection.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", (kind, slot)).fetchone() == (True,):
                return slot
        raise AssertionError("more connections than Postgres can have")

    def unavailable(self, error: Exception) -> StoreUnavailable | None:
        if not isinstance(error, psycopg.Error):
            return None
        text = self._address.scrubbed(str(error).strip().splitlines()[0] if str(error).strip() else repr(error))
        return StoreUnavailable(
            f"cannot use the store {self._address.shown}: {text}",
            hint="check that the server runs, and that the URL of `store` in fnctl.yaml is right",
            retry_after_s=1,
        )

    def collided(self, error: Exception) -> bool:
        return isinstance(error, _COLLISIONS)


class PostgresStore:
    """A `Store` (port.py) that several processes may have open, each on its own connections."""

    shared = True

    def __init__(self, url: str, schema: str) -> None:
        """Raises ConfigError where the URL is none."""
        self._address = Address(url)
        self._schema = schema
        self._database = PostgresDatabase(self._address, schema)
        self._writer = Writer(self._database, SCHEMA)
        self.queues = SqlQueues(self._writer)
        self.logs = SqlLogs(self._writer)
        self.keys = SqlKeys(self._writer)
        self._heard: Heard = lambda queue: None
        self._listening: asyncio.Task[None] | None = None

    @property
    def commits(self) -> int:
        """Transactions so far: how well the writer groups."""
        return self._writer.commits

    def listen(self, heard: Heard) -> None:
        self._heard = heard

    async def open(self) -> None:
        await self._writer.start()
        tried = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(tried))
        await tried.wait()

    async def close(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._writer.stop()

    async def _listen(self, tried: asyncio.Event) -> None:
        """For ever, again after each loss. `tried`: with or without success."""
        least_s, most_s = AGAIN_S
        pause_s = least_s
        while True:
            try:
                connection = await self._address.connected_for_long()
                async with contextlib.aclosing(_Closing(connection)):
                    await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._schema)))
                    pause_s = least_s
                    tried.set()
                    self._heard(None)
                    async for note in connection.notifies():
                        slot, _, queue = note.payload.partition(" ")
                        if slot != str(self._database.slot):
                            self._heard(queue)
            except psycopg.Error:
                tried.set()
            await asyncio.sleep(pause_s)
            pause_s = min(most_s, pause_s * 2)


class _Closing:
    """A connection to be closed by `aclosing`, also where the server is gone."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def aclose(self) -> None:
        with contextlib.suppress(psycopg.Error):
            await self._connection.close()

"""Notifications of Postgres (NOTIFY). At most once: nobody acknowledges them, and what is sent while nobody listens is
lost. What is not kept yet waits: with the server, for as long as the connection lives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fnctl.model import BrokerTrigger
from fnctl.triggers.broker.port import BrokerLost, NoLibrary, Taken

# A server that has vanished without a word is noticed within a minute, though nothing is sent.
LIMITS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "fallback_application_name": "fnctl",
}


class PostgresSource:
    def __init__(self, trigger: BrokerTrigger, consumer: str) -> None:
        """Raises NoLibrary."""
        try:
            import psycopg
            from psycopg import sql
        except ImportError:
            raise NoLibrary("postgres", "psycopg", extra="postgres") from None
        self._psycopg: Any = psycopg
        self._listen = sql.SQL("LISTEN {}").format(sql.Identifier(trigger.address))
        self._trigger = trigger

    async def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        connection = None
        try:
            connection = await self._psycopg.AsyncConnection.connect(self._trigger.url, autocommit=True, **LIMITS)
            await connection.execute(self._listen)
            number = 0
            async for note in connection.notifies():
                number += 1
                id = f"{connection.info.backend_pid}-{number}"
                yield [Taken(id, note.payload.encode(), note.channel, None, None, _nothing)]
            raise BrokerLost("postgres: the connection ended")
        except self._psycopg.ProgrammingError as error:  # the library says it with the URL, perhaps with a password
            raise BrokerLost("postgres: the URL cannot be read, or the channel cannot be listened to") from error
        except self._psycopg.Error as error:
            raise BrokerLost(f"postgres: {_first_line(error)}") from error
        finally:
            if connection is not None:
                await connection.close()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


async def _nothing() -> None:
    """Postgres takes no word back."""

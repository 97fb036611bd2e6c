"""Redis and Valkey streams, with a consumer group. At least once: acknowledged when the call is on disk.

What an earlier run took and did not acknowledge comes first. A consumer has its function's name, so that it is the same
one in each run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from fnctl.model import BrokerTrigger
from fnctl.triggers.broker.port import AT_ONCE, BrokerLost, NoLibrary, Taken

BLOCK_MS = 30_000  # then asked again: a connection that is gone is noticed
CONNECT_S = 10.0


class RedisSource:
    def __init__(self, trigger: BrokerTrigger, consumer: str) -> None:
        """Raises NoLibrary."""
        try:
            import redis.asyncio as client
            from redis.exceptions import RedisError, ResponseError
        except ImportError:
            raise NoLibrary("redis", "redis") from None
        self._client = client
        self._errors = (RedisError, OSError)
        self._refused = ResponseError
        self._trigger = trigger
        self._consumer = consumer

    async def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        trigger = self._trigger
        connection: Any = self._client.Redis.from_url(
            trigger.url, socket_connect_timeout=CONNECT_S, socket_timeout=BLOCK_MS / 1000 + CONNECT_S
        )
        try:
            await self._make_group(connection)
            after = "0"  # what this consumer has not acknowledged; then what is new
            while True:
                said = await connection.xreadgroup(
                    trigger.group, self._consumer, {trigger.address: after}, count=AT_ONCE, block=BLOCK_MS
                )
                entries = _entries(said)
                if entries:
                    yield [self._taken(connection, id, fields) for id, fields in entries]
                elif after == "0":
                    after = ">"
        except self._errors as error:
            raise BrokerLost(f"redis: {error}") from error
        finally:
            await connection.aclose()

    async def _make_group(self, connection: Any) -> None:
        try:
            await connection.xgroup_create(self._trigger.address, self._trigger.group, id="$", mkstream=True)
        except self._refused as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _taken(self, connection: Any, id: str, fields: Mapping[bytes, bytes] | None) -> Taken:
        trigger = self._trigger

        async def kept() -> None:
            try:
                await connection.xack(trigger.address, trigger.group, id)
            except self._errors as error:
                raise BrokerLost(f"redis: {error}") from error

        data = json.dumps({key.decode("utf-8", "replace"): _text(value) for key, value in (fields or {}).items()})
        word = f"redis {trigger.address} {trigger.group} {id}"
        return Taken(id, data.encode(), trigger.address, "application/json", word, kept)


def _entries(said: Any) -> list[tuple[str, Mapping[bytes, bytes] | None]]:
    """Of the one stream that was asked for. A list of pairs (RESP2) or a map (RESP3)."""
    found = [entries for _, entries in (said.items() if isinstance(said, dict) else said or ())]
    flat = [entry for entries in found for entry in entries]
    if flat and isinstance(flat[0], list) and flat[0] and isinstance(flat[0][0], (list, tuple)):
        flat = [entry for entries in flat for entry in entries]  # RESP3 has one list more
    return [(id.decode(), fields) for id, fields in flat]


def _text(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}

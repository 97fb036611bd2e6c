"""MQTT. With `qos` 1 or 2 at least once: acknowledged when the call is on disk, and the session is kept while
`fnctl run` is away. With 0 at most once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from fnctl.model import BrokerTrigger
from fnctl.triggers.broker.port import BrokerLost, NoLibrary, Taken

PORTS = {"mqtt": 1883, "mqtts": 8883}
KEEP_ALIVE_S = 30


class MqttSource:
    def __init__(self, trigger: BrokerTrigger, consumer: str) -> None:
        """Raises NoLibrary."""
        try:
            import aiomqtt
        except ImportError:
            raise NoLibrary("mqtt", "aiomqtt") from None
        self._library = aiomqtt
        self._trigger = trigger
        self._consumer = consumer

    async def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        try:
            async with self._client() as client:
                # The library acknowledges what it has read. Here a message is acknowledged when it is kept, which is
                # a setting of the client below it (paho), that the library does not hand through.
                below: Any = client._client
                below.manual_ack_set(True)
                await client.subscribe(self._trigger.address, qos=self._trigger.qos)
                async for message in client.messages:
                    yield [self._taken(below, message)]
        except (self._library.MqttError, OSError) as error:
            raise BrokerLost(f"mqtt: {error}") from error

    def _client(self) -> Any:
        parts = urlsplit(self._trigger.url)
        return self._library.Client(
            hostname=parts.hostname or "localhost",
            port=parts.port or PORTS[parts.scheme],
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            identifier=self._consumer,
            clean_session=self._trigger.qos == 0,
            keepalive=KEEP_ALIVE_S,
            tls_params=self._library.TLSParameters() if parts.scheme == "mqtts" else None,
        )

    def _taken(self, below: Any, message: Any) -> Taken:
        async def kept() -> None:
            if message.qos:
                below.ack(message.mid, message.qos)

        data = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
        return Taken(f"{self._consumer}-{message.mid}", data, str(message.topic), None, None, kept)

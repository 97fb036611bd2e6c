"""NATS. With `stream` (JetStream) at least once: acknowledged when the call is on disk. Without it, at most once: core
NATS knows no acknowledgement, and what comes while `fnctl run` is away is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fnctl.model import BrokerTrigger
from fnctl.triggers.broker.port import AT_ONCE, BrokerLost, NoLibrary, Taken

CONNECT_S = 10.0
FETCH_S = 30.0  # then asked again
PENDING = 4096  # messages of core NATS that wait here, past which the library drops them


class NatsSource:
    def __init__(self, trigger: BrokerTrigger, consumer: str) -> None:
        """Raises NoLibrary."""
        try:
            import nats
            from nats.errors import Error, TimeoutError
            from nats.js.errors import Error as JetStreamError
        except ImportError:
            raise NoLibrary("nats", "nats-py") from None
        self._nats = nats
        self._errors = (Error, JetStreamError, OSError)
        self._silence = (TimeoutError, asyncio.TimeoutError)
        self._trigger = trigger
        self._group = trigger.group or consumer

    async def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        client = None
        try:
            lost = asyncio.Event()
            client = await self._connect(lost)
            feed = self._stream(client) if self._trigger.stream else self._core(client, lost)
            async with contextlib.aclosing(feed):
                async for batch in feed:
                    yield batch
        except self._errors as error:
            raise BrokerLost(f"nats: {error or type(error).__name__}") from error
        finally:
            if client is not None:
                await client.close()

    async def _connect(self, lost: asyncio.Event) -> Any:
        async def ended() -> None:
            lost.set()

        async def told(error: Exception) -> None:
            """Of the library; whoever reads hears of it."""

        # Connected anew by who runs this source, with its own back-off.
        return await self._nats.connect(
            self._trigger.url,
            allow_reconnect=False,
            connect_timeout=CONNECT_S,
            closed_cb=ended,
            disconnected_cb=ended,
            error_cb=told,
        )

    async def _core(self, client: Any, lost: asyncio.Event) -> AsyncGenerator[Sequence[Taken], None]:
        subscription = await client.subscribe(
            self._trigger.address, queue=self._trigger.group, pending_msgs_limit=PENDING
        )
        number = 0
        ending = asyncio.ensure_future(lost.wait())
        try:
            while True:
                coming = asyncio.ensure_future(subscription.next_msg(timeout=None))
                await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait({coming})
                    raise BrokerLost("nats: the connection ended")
                number += 1
                message = coming.result()
                id = (message.headers or {}).get("Nats-Msg-Id") or f"{client.client_id}-{number}"
                yield [Taken(id, message.data, message.subject, _kind(message), None, _nothing)]
        finally:
            ending.cancel()

    async def _stream(self, client: Any) -> AsyncGenerator[Sequence[Taken], None]:
        stream = client.jetstream()
        subscription = await stream.pull_subscribe(
            self._trigger.address, durable=self._group, stream=self._trigger.stream
        )
        open_: list[Any] = []  # taken, and perhaps not kept
        try:
            while client.is_connected:
                try:
                    open_ = await subscription.fetch(AT_ONCE, timeout=FETCH_S)
                except self._silence:
                    continue
                yield [self._of_stream(message) for message in open_]
                open_ = []
            raise BrokerLost("nats: the connection ended")
        finally:
            for message in open_:  # else they come again only when the server's patience (30 s) is over
                if client.is_connected and not message._ackd:
                    await message.nak()

    def _of_stream(self, message: Any) -> Taken:
        about = message.metadata
        number = about.sequence.stream

        # A stream that is deleted and made again counts from 1 again: the time tells them apart.
        async def kept() -> None:
            try:
                await message.ack()
            except self._errors as error:
                raise BrokerLost(f"nats: {error}") from error

        word = f"nats {self._trigger.stream} {self._group} {number} {about.timestamp.timestamp()}"
        id = f"{self._trigger.stream}-{number}"
        return Taken(id, message.data, message.subject, _kind(message), word, kept)


def _kind(message: Any) -> str | None:
    return next((value for key, value in (message.headers or {}).items() if key.lower() == "content-type"), None)


async def _nothing() -> None:
    """Core NATS takes no word back."""

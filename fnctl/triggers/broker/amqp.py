"""AMQP 0-9-1 (RabbitMQ): messages of a queue that exists. At least once: acknowledged when the call is on disk.

A message that is delivered twice can be told only by its `message_id`, if its publisher set one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fnctl.model import BrokerTrigger
from fnctl.triggers.broker.port import AT_ONCE, BrokerLost, NoLibrary, Taken

CONNECT_S = 10.0
CLOSE_S = 3.0


class AmqpSource:
    def __init__(self, trigger: BrokerTrigger, consumer: str) -> None:
        """Raises NoLibrary."""
        try:
            import aio_pika
        except ImportError:
            raise NoLibrary("amqp", "aio-pika") from None
        self._library = aio_pika
        self._errors: tuple[type[BaseException], ...] = (TimeoutError, *aio_pika.exceptions.CONNECTION_EXCEPTIONS)
        self._trigger = trigger
        self._consumer = consumer

    async def batches(self) -> AsyncGenerator[Sequence[Taken], None]:
        connection: Any = None
        try:
            connection = await self._library.connect(
                self._trigger.url, timeout=CONNECT_S, client_properties={"connection_name": self._consumer}
            )
            arrived = await self._consume(connection)
            while True:
                batch = [await arrived.get()]
                while not arrived.empty():
                    batch.append(arrived.get_nowait())
                if None in batch:
                    raise BrokerLost("amqp: the broker ended the connection, or the queue was deleted")
                yield [self._taken(each) for each in batch]
        except ValueError as error:  # the library says it with the URL, perhaps with a password
            raise BrokerLost("amqp: the URL cannot be read") from error
        except self._errors as error:
            raise BrokerLost(f"amqp: {_said(error)}") from error
        finally:
            if connection is not None:
                await self._close(connection)

    async def _consume(self, connection: Any) -> asyncio.Queue[Any]:
        """The messages as they come; None after the last one."""
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        async def put(message: Any) -> None:
            arrived.put_nowait(message)

        def ended(*_: Any) -> None:
            arrived.put_nowait(None)

        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=AT_ONCE)
        queue = await channel.declare_queue(self._trigger.address, passive=True, timeout=CONNECT_S)
        channel.close_callbacks.add(ended)
        # A queue that is deleted ends its consumers, and not their channel; only the client below says so.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(ended)
        await queue.consume(put)
        return arrived

    async def _close(self, connection: Any) -> None:
        """What was not acknowledged goes back into the queue. The library would wait for ever for a dead server."""
        with contextlib.suppress(*self._errors):
            await asyncio.wait_for(connection.close(), CLOSE_S)

    def _taken(self, message: Any) -> Taken:
        async def kept() -> None:
            try:
                await message.ack()
            except self._errors as error:
                raise BrokerLost(f"amqp: {_said(error)}") from error

        id = message.message_id or f"{self._consumer}-{message.delivery_tag}"
        word = f"amqp {self._trigger.address} {message.message_id}" if message.message_id else None
        return Taken(id, message.body, message.routing_key or "", message.content_type, word, kept)


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__

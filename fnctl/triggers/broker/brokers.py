"""The triggers of a run that listen to brokers: each has a connection, and makes a deferred call of each message.

A message is acknowledged when its call is on disk. Where the broker is gone, or the store takes nothing, the trigger
waits, for longer each time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from fnctl.errors import FnctlError, QueueFull
from fnctl.model import Broker, BrokerTrigger, Function
from fnctl.store.port import StoreUnavailable
from fnctl.triggers.broker.amqp import AmqpSource
from fnctl.triggers.broker.mqtt import MqttSource
from fnctl.triggers.broker.nats import NatsSource
from fnctl.triggers.broker.port import BrokerLost, Source, Taken
from fnctl.triggers.broker.postgres import PostgresSource
from fnctl.triggers.broker.redis_streams import RedisSource
from fnctl.triggers.broker.request import broker_request
from fnctl.triggers.http.call import CallRequest, When

FIRST_S, LONGEST_S = 0.5, 30.0  # before a broker is tried again
STORE_S = 1.0  # before the store is
END_S = 5

Tell = Callable[[str, str], None]
SOURCES: Mapping[Broker, Callable[[BrokerTrigger, str], Source]] = {
    Broker.REDIS: RedisSource,
    Broker.NATS: NatsSource,
    Broker.MQTT: MqttSource,
    Broker.POSTGRES: PostgresSource,
    Broker.AMQP: AmqpSource,
}


class Accept(Protocol):
    def __call__(self, function: Function, request: CallRequest, when: When) -> Awaitable[str]: ...


class _Key(NamedTuple):
    function: str
    trigger: BrokerTrigger


class Brokers:
    """refresh … → close. On the event loop's thread."""

    def __init__(
        self,
        accept: Accept,
        functions: Callable[[], Mapping[str, Function]],
        tell: Tell,
        sources: Mapping[Broker, Callable[[BrokerTrigger, str], Source]] = SOURCES,
    ) -> None:
        """`functions`: those of the project by name, as they are now. `tell`: a line for a function's log."""
        self._accept = accept
        self._functions = functions
        self._tell = tell
        self._sources = sources
        self._tasks: dict[_Key, asyncio.Task[None]] = {}

    async def refresh(self, functions: Iterable[Function]) -> None:
        """These are the functions now. A trigger that stays as it is keeps its connection. Raises NoLibrary."""
        wanted = {_Key(each.name, trigger) for each in functions for trigger in each.brokers}
        sources = {key: self._source(key) for key in wanted - self._tasks.keys()}
        await self._end(self._tasks.keys() - wanted)
        for key, source in sources.items():
            self._tasks[key] = asyncio.create_task(self._run(key, source), name=f"{key.trigger.broker} {key.function}")

    async def close(self) -> None:
        """What is taken and not kept comes again from the broker."""
        await self._end(set(self._tasks))

    async def _end(self, keys: Iterable[_Key]) -> None:
        """Said again while a library is slow to hear it; not for longer than END_S."""
        ending = {self._tasks.pop(key) for key in list(keys)}
        for _ in range(END_S):
            for task in ending:
                task.cancel()
            if ending:
                _, ending = await asyncio.wait(ending, timeout=1)

    def _source(self, key: _Key) -> Source:
        return self._sources[key.trigger.broker](key.trigger, f"fnctl-{key.function}")

    async def _run(self, key: _Key, source: Source) -> None:
        wait_s, what = FIRST_S, f"trigger {key.trigger.broker} {key.trigger.address}"
        while True:
            try:
                async with contextlib.aclosing(source.batches()) as batches:
                    async for batch in batches:
                        if wait_s > FIRST_S:
                            self._tell(key.function, f"{what}: connected again")
                        wait_s = FIRST_S
                        await self._keep_all(key, batch)
            except BrokerLost as error:
                self._tell(key.function, f"{what}: {error.message}; trying again in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_S, wait_s * 2)

    async def _keep_all(self, key: _Key, batch: Sequence[Taken]) -> None:
        """Together, so that they share what it costs to bring something to the disk. Raises BrokerLost."""
        said = await asyncio.gather(*(self._keep(key, taken) for taken in batch), return_exceptions=True)
        for error in said:
            if error is not None:
                raise error

    async def _keep(self, key: _Key, taken: Taken) -> None:
        """As long as it takes: the broker keeps what we do not take."""
        told = False
        while (function := self._functions().get(key.function)) is not None:
            request = broker_request(function, key.trigger, taken)
            try:
                await self._accept(function, request, When(dedup=taken.word))
                break
            except (QueueFull, StoreUnavailable) as error:
                if not told:
                    self._tell(key.function, f"trigger {key.trigger.broker} {key.trigger.address}: {_short(error)}")
                told = True
                await asyncio.sleep(STORE_S)
        else:
            return  # the function is gone: its trigger ends too, and the message stays with the broker
        await taken.kept()


def _short(error: FnctlError) -> str:
    return f"{error.message}; its messages wait at the broker"

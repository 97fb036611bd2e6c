"""Brokers as sources of calls, on the real servers: kept before they are acknowledged, and connected again."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import aiomqtt
import nats
import pytest
import redis.asyncio

from fnctl.errors import ConfigError, QueueFull
from fnctl.model import Broker, BrokerTrigger, Contract, Function
from fnctl.triggers.broker.brokers import Accept, Brokers
from fnctl.triggers.broker.port import NoLibrary
from tests.contract.broker_servers import SERVERS, Server, server
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, play
from tests.support.turning import until

KINDS = sorted(SERVERS)


@pytest.fixture(scope="module", params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = server(request.param, tmp_path_factory.mktemp(request.param))
    made.start()
    yield made
    made.stop()


def listening(broker: Server, address: str, contract: Contract | None = None) -> Function:
    kind = Broker(broker.scheme)
    trigger = BrokerTrigger(kind, broker.url, address, group="fnctl" if kind is Broker.REDIS else "", path="/in")
    if kind is Broker.NATS:
        trigger = replace(trigger, stream=f"S-{address}")
    return replace(app(), contract=contract, triggers=(trigger,))


async def prepare(broker: Server, address: str) -> None:
    """What a broker's owner makes before anybody listens."""
    if broker.scheme == "nats":
        async with await nats.connect(broker.url) as client:
            await client.jetstream().add_stream(name=f"S-{address}", subjects=[address])
    elif broker.scheme == "amqp":
        async with await aio_pika.connect(broker.url) as connection:
            await (await connection.channel()).declare_queue(address, durable=True)


async def publish(broker: Server, address: str, text: str) -> None:
    if broker.scheme == "redis":
        client = redis.asyncio.Redis.from_url(broker.url)
        await client.xadd(address, {"text": text})
        await client.aclose()
    elif broker.scheme == "nats":
        async with await nats.connect(broker.url) as connection:
            await connection.jetstream().publish(address, text.encode())
    elif broker.scheme == "amqp":
        async with await aio_pika.connect(broker.url) as connection:
            message = aio_pika.Message(text.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await (await connection.channel()).default_exchange.publish(message, address)
    else:
        async with aiomqtt.Client("127.0.0.1", broker.port) as talker:
            await talker.publish(address, text, qos=1)


async def listens(broker: Server, address: str, said: list[str]) -> None:
    """Until the trigger's subscription is there, which the first message of some brokers must not be before."""
    if broker.scheme == "redis":
        client = redis.asyncio.Redis.from_url(broker.url)
        while not await client.exists(address) or not await client.xinfo_groups(address):
            await _turn()
        await client.aclose()
    elif broker.scheme == "amqp":
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            while not (await channel.declare_queue(address, passive=True)).declaration_result.consumer_count:
                await _turn()
    elif broker.scheme == "mqtt":
        log = broker.folder / "said"
        # "TIME: fnctl-app 1 ADDRESS"; that it has connected comes before, and is not enough
        await until(lambda: any(line.endswith(f" 1 {address}") for line in log.read_text().splitlines()))


async def _turn() -> None:
    turns = iter((False, True))
    await until(lambda: next(turns))


def text_of(seen: Seen) -> str:
    body = seen.body.decode()
    return str(json.loads(body)["text"]) if body.startswith("{") else body


def play_broker(
    folder: Path, broker: Server, address: str, story: Callable[[Stage, list[Seen], list[str]], Awaitable[None]]
) -> None:
    async def scene(made: Stage) -> None:
        await prepare(broker, address)
        seen: list[Seen] = []
        said: list[str] = []
        await made.add(listening(broker, address), answering(HELLO, seen))
        await story(made, seen, said)

    play(folder, scene)


def brokers(made: Stage, said: list[str], accept: Accept | None = None) -> Brokers:
    return Brokers(accept or made.deferred.accept, made.functions, lambda function, text: said.append(text))


def test_a_message_is_a_call_with_its_event(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        listener = brokers(made, said)
        await listener.refresh(made.functions().values())
        await listens(broker, "plain", said)
        await publish(broker, "plain", "hello")
        await until(lambda: len(seen) == 1)
        assert seen[0].line == b"POST /in HTTP/1.1"
        assert text_of(seen[0]) == "hello"
        assert seen[0].one(b"ce-type") == f"dev.fnctl.{broker.scheme}".encode()
        assert seen[0].one(b"ce-source") == f"/{broker.scheme}/plain".encode()
        assert seen[0].one(b"ce-subject") == b"plain"
        await listener.close()
        assert said == []

    play_broker(tmp_path, broker, "plain", story)


def test_what_could_not_be_kept_comes_again_to_the_next_run(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        async def full(function: Any, request: Any, when: Any) -> str:
            raise QueueFull("the queue is full", retry_after_s=1)

        first = brokers(made, said, full)
        await first.refresh(made.functions().values())
        await listens(broker, "kept", said)
        await publish(broker, "kept", "once")
        await until(lambda: any("wait at the broker" in line for line in said))
        await first.close()
        assert seen == []
        second = brokers(made, said)
        await second.refresh(made.functions().values())
        await until(lambda: len(seen) == 1)
        await publish(broker, "kept", "twice")
        await until(lambda: len(seen) == 2)
        await second.close()
        third = brokers(made, said)  # nothing of it comes a third time
        await third.refresh(made.functions().values())
        await publish(broker, "kept", "thrice")
        await until(lambda: len(seen) == 3)
        await third.close()
        assert [text_of(each) for each in seen] == ["once", "twice", "thrice"]

    play_broker(tmp_path, broker, "kept", story)


def test_a_broker_that_was_away_is_found_again(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        listener = brokers(made, said)
        await listener.refresh(made.functions().values())
        await listens(broker, "again", said)
        await publish(broker, "again", "before")
        await until(lambda: len(seen) == 1)
        broker.stop()
        await until(lambda: any("trying again in" in line for line in said))
        broker.start()
        await publish(broker, "again", "after")
        await until(lambda: len(seen) == 2)
        await listener.close()
        assert text_of(seen[1]) == "after"

    play_broker(tmp_path, broker, "again", story)


def test_a_trigger_that_is_taken_away_listens_no_more(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        listener = brokers(made, said)
        await listener.refresh(made.functions().values())
        await listens(broker, "gone", said)
        await listener.refresh([])
        await publish(broker, "gone", "unheard")
        await listener.close()
        assert seen == []

    play_broker(tmp_path, broker, "gone", story)


def test_code_for_lambda_gets_the_event_as_json(tmp_path: Path) -> None:
    made = server("redis", tmp_path)
    made.start()

    async def scene(stage: Stage) -> None:
        seen: list[Seen] = []
        await stage.add(listening(made, "jobs", Contract.LAMBDA), answering(HELLO, seen))
        listener = brokers(stage, [])
        await listener.refresh(stage.functions().values())
        await listens(made, "jobs", [])
        await publish(made, "jobs", "hello")
        await until(lambda: len(seen) == 1)
        await listener.close()
        event = json.loads(seen[0].body)
        assert seen[0].line == b"POST /2015-03-31/functions/app/invocations HTTP/1.1"
        assert (event["type"], event["data"]) == ("dev.fnctl.redis", {"text": "hello"})

    try:
        play(tmp_path, scene)
    finally:
        made.stop()


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    def missing(trigger: BrokerTrigger, consumer: str) -> Any:
        raise NoLibrary("redis", "redis")

    async def scene(stage: Stage) -> None:
        trigger = BrokerTrigger(Broker.REDIS, "redis://127.0.0.1:1", "jobs")
        listener = Brokers(stage.deferred.accept, stage.functions, lambda *said: None, {Broker.REDIS: missing})
        with pytest.raises(ConfigError) as caught:
            await listener.refresh([replace(app(), triggers=(trigger,))])
        assert caught.value.hint == "pip install 'fnctl[brokers]'"

    play(tmp_path, scene)


@pytest.mark.parametrize("broker", ["amqp"], indirect=True)
def test_amqp_tells_of_a_queue_that_is_missing_or_deleted(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        async with await aio_pika.connect(broker.url) as connection:
            channel = await connection.channel()
            listener = brokers(made, said)
            await listener.refresh(made.functions().values())
            await listens(broker, "short", said)
            await channel.queue_delete("short")
            await until(lambda: any("the queue was deleted" in line for line in said))
            await until(lambda: any("no queue 'short'" in line for line in said))
            await prepare(broker, "short")
            await publish(broker, "short", "there again")
            await until(lambda: len(seen) == 1)
            await listener.close()

    play_broker(tmp_path, broker, "short", story)


@pytest.mark.parametrize("broker", ["amqp"], indirect=True)
def test_amqp_messages_with_one_id_are_one_call(tmp_path: Path, broker: Server) -> None:
    async def story(made: Stage, seen: list[Seen], said: list[str]) -> None:
        listener = brokers(made, said)
        await listener.refresh(made.functions().values())
        async with await aio_pika.connect(broker.url) as connection:
            exchange = (await connection.channel()).default_exchange
            for id in ("m-1", "m-1", "m-2"):
                await exchange.publish(aio_pika.Message(b"{}", message_id=id, content_type="application/json"), "ids")
            await until(lambda: len(seen) == 2)
            await publish(broker, "ids", "the last")
            await until(lambda: len(seen) == 3)
        await listener.close()
        assert [each.one(b"ce-id") for each in seen[:2]] == [b"m-1", b"m-2"]
        assert seen[0].one(b"content-type") == b"application/json"

    play_broker(tmp_path, broker, "ids", story)

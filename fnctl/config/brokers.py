"""A broker's entry under `triggers` as a trigger."""

from __future__ import annotations

from fnctl.config.document import Document, Loc
from fnctl.config.trigger_keys import TriggerEntry
from fnctl.model import Broker, BrokerTrigger


def broker_of(entry: TriggerEntry, document: Document, loc: Loc) -> BrokerTrigger | None:
    """None where something is wrong; the document's problems then say what."""
    made = _made(entry)
    if made is not None and not made.address:
        document.problem((*loc, made.broker), f"the trigger `{made.broker}` names nothing to listen to")
        return None
    return made


def _made(entry: TriggerEntry) -> BrokerTrigger | None:
    if (redis := entry.redis) is not None:
        return BrokerTrigger(Broker.REDIS, redis.url, redis.stream, redis.group, path=redis.path)
    if (nats := entry.nats) is not None:
        return BrokerTrigger(Broker.NATS, nats.url, nats.subject, nats.group, nats.stream, path=nats.path)
    if (mqtt := entry.mqtt) is not None:
        return BrokerTrigger(Broker.MQTT, mqtt.url, mqtt.topic, qos=mqtt.qos, path=mqtt.path)
    if (postgres := entry.postgres) is not None:
        return BrokerTrigger(Broker.POSTGRES, postgres.url, postgres.channel, path=postgres.path)
    if (amqp := entry.amqp) is not None:
        return BrokerTrigger(Broker.AMQP, amqp.url, amqp.queue, path=amqp.path)
    return None

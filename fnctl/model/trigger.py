"""What starts a function's invocations: a value a kind of trigger."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias


class TriggerKind(enum.StrEnum):
    """What starts a function's invocations; in fnctl.yaml, the key of an entry under `triggers`."""

    HTTP = "http"
    TIMER = "timer"
    EVENT = "event"
    QUEUE = "queue"
    BROKER = "broker"  # there, the key is the broker's own


@dataclass(frozen=True, slots=True)
class HttpTrigger:
    """An HTTP route. `path` may hold `{name}` segments and a last `{name...}`; "": the function's usual addresses. No
    `methods`: any, no `host`: any."""

    kind: ClassVar[Literal[TriggerKind.HTTP]] = TriggerKind.HTTP
    path: str = ""
    methods: frozenset[str] = frozenset()
    host: str | None = None


class Missed(enum.StrEnum):
    """What is done for the times that a timer was due while nothing ran."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class Overlap(enum.StrEnum):
    """What is done at a timer's time where the call before has not ended."""

    FORBID = "forbid"
    ALLOW = "allow"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class TimerTrigger:
    """Times at which the function is called: one of `cron`, `every_s` and `at` is set."""

    kind: ClassVar[Literal[TriggerKind.TIMER]] = TriggerKind.TIMER
    cron: str | None = None
    timezone: str = "UTC"  # IANA's name
    every_s: float | None = None
    at: float | None = None  # seconds since the epoch
    name: str = ""
    path: str = "/"  # of the request, where the contract is a web app
    missed: Missed = Missed.ONE
    overlap: Overlap = Overlap.FORBID


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Events of the project's bus. `filter`: in CESQL; none: every event."""

    kind: ClassVar[Literal[TriggerKind.EVENT]] = TriggerKind.EVENT
    filter: str = ""
    path: str = "/"


@dataclass(frozen=True, slots=True)
class QueueTrigger:
    """Messages of a named queue, in batches."""

    kind: ClassVar[Literal[TriggerKind.QUEUE]] = TriggerKind.QUEUE
    name: str = ""
    batch: int = 10  # messages in one call, at most
    window_s: float = 0.0  # how long a batch that is not full waits for more
    concurrency: int = 10  # batches at once
    path: str = "/"


class Broker(enum.StrEnum):
    """What messages come from, that is no part of the project; in fnctl.yaml, the key of an entry under `triggers`."""

    REDIS = "redis"
    NATS = "nats"
    MQTT = "mqtt"
    POSTGRES = "postgres"
    AMQP = "amqp"


@dataclass(frozen=True, slots=True)
class BrokerTrigger:
    """Messages of a broker. `address`: its stream, subject, topic, channel or queue."""

    kind: ClassVar[Literal[TriggerKind.BROKER]] = TriggerKind.BROKER
    broker: Broker
    url: str
    address: str
    group: str = ""  # of consumers that share the messages
    stream: str = ""  # of NATS JetStream
    qos: int = 1  # of MQTT
    path: str = "/"


# A value with a tag: `kind` says which class it is. A kind more is a class more here, joined by `|`.
Trigger: TypeAlias = HttpTrigger | TimerTrigger | EventTrigger | QueueTrigger | BrokerTrigger

"""The keys of an entry under `triggers`: one kind of entry a source of events."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from fnctl.config.kinds import Count, Duration, Entry, Name, Path, QueueName
from fnctl.model import BrokerTrigger, Missed, Overlap, QueueTrigger

TRIGGER: dict[str, Any] = {each.name: each.default for each in fields(QueueTrigger)}
BROKER: dict[str, Any] = {each.name: each.default for each in fields(BrokerTrigger)}
Text = Annotated[str, StringConstraints(pattern=r"^[!-~]{0,250}$")]  # a name that brokers take
PATH = "The path of the POST request that a web app gets."


class HttpEntry(Entry):
    """An HTTP route to the function."""

    path: Path | None = Field(
        default=None,
        description="The path (default: the function's usual addresses). `{name}` matches one segment; `{name...}` at "
        "the end matches the rest.",
        examples=["/api/todos/{id}"],
    )
    methods: list[Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]+$")]] = Field(
        default=[], description="HTTP methods (default: all).", examples=[["GET", "POST"]]
    )
    host: str | None = Field(default=None, description="Host name (default: any).")


class TimerEntry(Entry):
    """Times at which the function is called. Needs one of `cron`, `every` and `at`."""

    cron: str | None = Field(
        default=None,
        description="A cron expression with five fields, as for Debian's cron (with six: seconds first).",
        examples=["0 3 * * *", "*/5 * * * MON-FRI"],
    )
    timezone: str = Field(
        default="UTC", description="The time zone of `cron`, by its IANA name.", examples=["Europe/Berlin"]
    )
    every: Duration | None = Field(default=None, description="An interval, counted from 1970-01-01T00:00Z.")
    at: str | None = Field(
        default=None, description="One time, with its UTC offset.", examples=["2027-01-31T09:00:00Z"]
    )
    name: Name | None = Field(
        default=None, description="The timer's name in logs and in the event (default: the function's)."
    )
    path: Path = Field(default="/", description=PATH)
    missed: Missed = Field(
        default=Missed.ONE,
        description="For times at which `fnctl run` was not running: `skip` them, make `one` call for all, or `all` "
        "calls.",
    )
    overlap: Overlap = Field(
        default=Overlap.FORBID,
        description="If the previous call has not ended: `forbid` makes no call, `allow` makes another one, `replace` "
        "cancels the previous one.",
    )


class EventEntry(Entry):
    """CloudEvents of the project's bus."""

    filter: str = Field(
        default="",
        description="An expression in CESQL that selects events (default: all).",
        examples=["type = 'order.paid' AND INT(amount) > 100"],
    )
    path: Path = Field(default="/", description=PATH)


class QueueEntry(Entry):
    """Messages of a named queue, in batches."""

    name: QueueName = Field(
        description="The queue. Names that end in `.fifo` keep the order within each group.", examples=["jobs"]
    )
    batch: Count = Field(
        default=TRIGGER["batch"], ge=1, le=10_000, description="Maximum number of messages in one call."
    )
    window: Duration = Field(
        default=TRIGGER["window_s"], le=300, description="How long a batch that is not full waits for more messages."
    )
    concurrency: Count = Field(
        default=TRIGGER["concurrency"], ge=1, le=10_000, description="Batches of this queue that run at the same time."
    )
    path: Path = Field(default="/", description=PATH)


class RedisEntry(Entry):
    """Messages of a stream of Redis or Valkey."""

    url: Annotated[str, StringConstraints(pattern=r"^(rediss?|unix)://")] = Field(
        description="The server.", examples=["redis://127.0.0.1:6379/0", "rediss://user:${REDIS_PASSWORD}@example.org"]
    )
    stream: Text = Field(description="The stream; created if it does not exist.", examples=["orders"])
    group: Text = Field(
        default="fnctl", description="The consumer group. A new one starts with entries that are added later."
    )
    path: Path = Field(default="/", description=PATH)


class NatsEntry(Entry):
    """Messages of NATS."""

    url: Annotated[str, StringConstraints(pattern=r"^(nats|tls|ws|wss)://")] = Field(
        description="The server.", examples=["nats://127.0.0.1:4222"]
    )
    subject: Text = Field(description="The subject, wildcards allowed.", examples=["orders.*"])
    stream: Text = Field(
        default="",
        description="The JetStream stream: messages are delivered at least once. Without a stream: at most once, and "
        "not those that are sent while `fnctl run` is not running.",
    )
    group: Text = Field(
        default="",
        description="The queue group; with `stream`, the durable consumer (default: `fnctl-` and the function's name).",
    )
    path: Path = Field(default="/", description=PATH)


class MqttEntry(Entry):
    """Messages of MQTT."""

    url: Annotated[str, StringConstraints(pattern=r"^mqtts?://")] = Field(
        description="The server.", examples=["mqtt://127.0.0.1:1883"]
    )
    topic: Text = Field(description="The topic filter.", examples=["sensors/+/temperature"])
    qos: Count = Field(default=BROKER["qos"], ge=0, le=2, description="1 and 2: messages are delivered at least once.")
    path: Path = Field(default="/", description=PATH)


class PostgresEntry(Entry):
    """Notifications of Postgres."""

    url: Annotated[str, StringConstraints(pattern=r"^postgres(ql)?://")] = Field(
        description="The database.", examples=["postgres://app:${PG_PASSWORD}@127.0.0.1/shop"]
    )
    channel: Text = Field(
        description="The channel, as `pg_notify` has it: notifications come at most once, and none of those that were "
        "sent while `fnctl run` was away.",
        examples=["orders"],
    )
    path: Path = Field(default="/", description=PATH)


class AmqpEntry(Entry):
    """Messages of a queue of RabbitMQ, or of another broker that speaks AMQP 0-9-1."""

    url: Annotated[str, StringConstraints(pattern=r"^amqps?://")] = Field(
        description="The server, and its virtual host.", examples=["amqp://app:${AMQP_PASSWORD}@127.0.0.1/shop"]
    )
    queue: Text = Field(description="The queue. It must exist.", examples=["orders"])
    path: Path = Field(default="/", description=PATH)


class TriggerEntry(Entry):
    """Binds an event source to the function. Each entry has one of these keys."""

    http: HttpEntry | None = Field(default=None, description="An HTTP route.")
    timer: TimerEntry | None = Field(default=None, description="Times at which the function is called.")
    event: EventEntry | None = Field(default=None, description="Events of the project's bus.")
    queue: QueueEntry | None = Field(default=None, description="Messages of a named queue.")
    redis: RedisEntry | None = Field(default=None, description="Messages of a stream of Redis or Valkey.")
    nats: NatsEntry | None = Field(default=None, description="Messages of NATS.")
    mqtt: MqttEntry | None = Field(default=None, description="Messages of MQTT.")
    postgres: PostgresEntry | None = Field(default=None, description="Notifications of Postgres (`NOTIFY`).")
    amqp: AmqpEntry | None = Field(default=None, description="Messages of a queue of RabbitMQ (AMQP).")

    @model_validator(mode="after")
    def _one_source(self) -> TriggerEntry:
        kinds = list(type(self).model_fields)
        if [getattr(self, kind) for kind in kinds].count(None) != len(kinds) - 1:
            known = ", ".join(f"`{kind}`" for kind in kinds)
            raise ValueError(f"needs one of {known}; give each source an entry of its own")
        return self

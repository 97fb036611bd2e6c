"""The keys about what is done later: calls that are accepted now, where their outcomes go, and named queues."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from fnctl.config.kinds import Count, Duration, Entry, Name, PerSecond, QueueName, SecretName
from fnctl.model import AsyncRule, Queue

# model.py declares the defaults, once. (A slotted dataclass keeps them in its fields only.)
ASYNC: dict[str, Any] = {each.name: each.default for each in fields(AsyncRule)}
QUEUE: dict[str, Any] = {each.name: each.default for each in fields(Queue)}


class DestinationEntry(Entry):
    """Where the outcome of a call goes. Needs one of `function`, `queue` and `url`."""

    function: Name | None = Field(default=None, description="A function, which is called asynchronously with it.")
    queue: QueueName | None = Field(default=None, description="A named queue.")
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = Field(
        default=None,
        description="A webhook: gets a POST, repeated until it answers with a 2xx.",
        examples=["https://example.org/hooks/orders"],
    )
    secret: SecretName | None = Field(
        default=None,
        description="With `url`: the name of the secret (`whsec_…`, in the top-level `secrets`) that signs the "
        "request, by Standard Webhooks.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> DestinationEntry:
        if [self.function, self.queue, self.url].count(None) != 2:
            raise ValueError("needs one of `function`, `queue` and `url`")
        if (self.url is None) != (self.secret is None):
            raise ValueError("needs `url` and `secret` together; the secret signs what the URL gets")
        return self


class AsyncEntry(Entry):
    """Asynchronous calls: with `Prefer: respond-async`, and of timers, events, queues and brokers."""

    retries: Count = Field(default=ASYNC["retries"], ge=0, le=1000, description="Attempts after the first one failed.")
    backoff: Duration = Field(
        default=ASYNC["backoff_s"],
        description="Wait before the second attempt; doubled before each further one, up to 5 minutes.",
    )
    max_age: Duration = Field(
        default=ASYNC["max_age_s"], description="A call that is later than this is not made; it is dead."
    )
    concurrency: Count = Field(
        default=ASYNC["concurrency"], ge=1, le=10_000, description="Calls made at the same time."
    )
    backlog: Count = Field(
        default=ASYNC["backlog"],
        ge=0,
        le=10_000_000,
        description="Maximum number of waiting calls; then the response is 429.",
    )
    rate: PerSecond | None = Field(
        default=None,
        description="How many calls and batches of queues are started in a period (default: no limit).",
        examples=["10/s", "600/m"],
    )
    burst: Count | None = Field(
        default=None, ge=1, le=10_000, description="With `rate`: calls at once after a pause (default: those of 1s)."
    )
    on_success: DestinationEntry | None = Field(default=None, description="Where the result of a successful call goes.")
    on_failure: DestinationEntry | None = Field(default=None, description="Where the error of a dead call goes.")

    @model_validator(mode="after")
    def _burst_of_a_rate(self) -> AsyncEntry:
        if self.burst is not None and self.rate is None:
            raise ValueError("has `burst` without `rate`; set both, or remove `burst`")
        return self


class NamedQueueEntry(Entry):
    """The rules of a named queue."""

    visibility: Duration | None = Field(
        default=None,
        gt=0,
        le=43_200,
        description="How long a received message is hidden from other receivers. Must be longer than the `timeout` of "
        "the queue's function (default: as long as the function can take; 30s for other receivers).",
    )
    receives: Count = Field(
        default=QUEUE["receives"],
        ge=1,
        le=1000,
        description="Maximum number of deliveries of one message; then it is dead.",
    )
    backoff: Duration = Field(
        default=QUEUE["backoff_s"],
        description="Wait before the second delivery to a function; doubled before each further one, up to 5 minutes.",
    )
    dead_letters: QueueName | None = Field(
        default=None, description="The queue to which dead messages move (default: they stay in this one)."
    )
    retention: Duration = Field(
        default=QUEUE["retention_s"],
        gt=0,
        description="A message that is older is not delivered; it is dead.",
    )
    delay: Duration = Field(default=QUEUE["delay_s"], description="How long each message waits before its delivery.")
    backlog: Count = Field(
        default=QUEUE["backlog"],
        ge=1,
        le=100_000_000,
        description="Maximum number of waiting messages; then the response is 429.",
    )
    content_dedup: bool = Field(
        default=QUEUE["content_dedup"], description="Count messages with equal bodies within 5 minutes as one."
    )

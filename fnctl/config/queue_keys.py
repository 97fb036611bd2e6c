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

    function: Name | None = Field(default=None, description="A function that is called with it, later.")
    queue: QueueName | None = Field(default=None, description="A named queue.")
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")] | None = Field(
        default=None,
        description="A webhook: it gets a POST, again and again until it answers with a 2xx.",
        examples=["https://example.org/hooks/orders"],
    )
    secret: SecretName | None = Field(
        default=None,
        description="With `url`: the secret (`whsec_…`, of the top-level `secrets`) that signs the request, as "
        "Standard Webhooks has it.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> DestinationEntry:
        if [self.function, self.queue, self.url].count(None) != 2:
            raise ValueError("needs one of `function`, `queue` and `url`")
        if (self.url is None) != (self.secret is None):
            raise ValueError("needs `url` and `secret` together; the secret signs what the URL gets")
        return self


class AsyncEntry(Entry):
    """Calls that are accepted now and made later: those with `Prefer: respond-async`, and those of timers."""

    retries: Count = Field(default=ASYNC["retries"], ge=0, le=1000, description="Further attempts after a failed one.")
    backoff: Duration = Field(
        default=ASYNC["backoff_s"],
        description="Wait before the second attempt; doubled before each further one, up to 5 minutes.",
    )
    max_age: Duration = Field(
        default=ASYNC["max_age_s"], description="A call that is this late is not begun any more; it is dead."
    )
    concurrency: Count = Field(default=ASYNC["concurrency"], ge=1, le=10_000, description="Such calls at once.")
    backlog: Count = Field(
        default=ASYNC["backlog"], ge=0, le=10_000_000, description="Calls that may wait; then the response is 429."
    )
    rate: PerSecond | None = Field(
        default=None,
        description="How many calls are begun in a time, batches of queues too (default: as fast as it goes).",
        examples=["10/s", "600/m"],
    )
    burst: Count | None = Field(
        default=None, ge=1, le=10_000, description="With `rate`: calls at once after a silence (default: those of 1s)."
    )
    on_success: DestinationEntry | None = Field(
        default=None, description="Where the result of a call goes that succeeded."
    )
    on_failure: DestinationEntry | None = Field(
        default=None, description="Where the error of a call goes that is dead."
    )

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
        description="How long a received message is nobody else's, until it is deleted. Must be longer than the "
        "`timeout` of the queue's function (default: as long as the function may take; 30s for others that receive).",
    )
    receives: Count = Field(
        default=QUEUE["receives"], ge=1, le=1000, description="Deliveries of one message; then it is dead."
    )
    backoff: Duration = Field(
        default=QUEUE["backoff_s"],
        description="Wait before the second delivery to a function; doubled before each further one, up to 5 minutes.",
    )
    dead_letters: QueueName | None = Field(
        default=None, description="The queue that dead messages move to (default: they are kept in this one)."
    )
    retention: Duration = Field(
        default=QUEUE["retention_s"],
        gt=0,
        description="A message that is this old is not delivered any more; it is dead.",
    )
    delay: Duration = Field(default=QUEUE["delay_s"], description="How long each message waits before its delivery.")
    backlog: Count = Field(
        default=QUEUE["backlog"], ge=1, le=100_000_000, description="Messages that may wait; then the response is 429."
    )
    content_dedup: bool = Field(
        default=QUEUE["content_dedup"], description="Count messages of equal bodies within 5 minutes as one."
    )

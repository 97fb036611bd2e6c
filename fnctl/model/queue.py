"""Named queues, and where the outcome of a call made later is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fnctl.model.secret import Secret

FIFO = ".fifo"


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue of messages, as `fnctl.yaml` declares it or somebody made it by its API.

    `visibility_s`: how long a message is nobody else's once it was received; None: as long as its function may take.
    `receives`: deliveries of one message before it is dead; None: until it is too old. `dead_letters`: the queue that
    dead messages move to; None: they stay here. `content_dedup`: equal bodies are one message for five minutes.
    """

    name: str
    visibility_s: float | None = None
    receives: int | None = 3
    backoff_s: float = 1.0  # before the second delivery to a function; twice as long before each one after
    dead_letters: str | None = None
    retention_s: float = 345_600.0
    delay_s: float = 0.0
    wait_s: float = 0.0  # of those who receive by the API and say no time themselves
    backlog: int = 1_000_000  # messages that may wait, past which 429
    content_dedup: bool = False

    @property
    def fifo(self) -> bool:
        """Its messages have a group each, and those of a group come one at a time, in their order."""
        return self.name.endswith(FIFO)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the outcome of a call goes: one of `function`, `queue` and `url` is set. `secret` signs what a URL gets."""

    function: str | None = None
    queue: str | None = None
    url: str | None = None
    secret: Secret | None = None


class Rate(NamedTuple):
    """Calls begun in a time: `per_s` in the long run, `burst` at once after a silence."""

    per_s: float
    burst: int

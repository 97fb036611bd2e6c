"""The store as everything else sees it: three capabilities and the values that go in and out. No SQL, no files.

Whatever returns has happened for good: a `put` that came back is on disk. All times are seconds since the epoch, by the
caller's clock; the store has none of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fnctl.errors import ConflictError, FnctlError


class StoreUnavailable(FnctlError):
    """Nothing was stored: the disk is full, the file is locked by somebody else or broken."""

    http_status = 503
    code = "store"


class Stale(ConflictError):
    """Somebody else was first: another version or length is stored than the caller expected."""

    code = "stale"


class MessageState(enum.StrEnum):
    """`waiting` and `running` go on; the other three are ends, and each message comes to exactly one of them."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    CANCELLED = "cancelled"


ENDED = frozenset({MessageState.DONE, MessageState.DEAD, MessageState.CANCELLED})


class Message(NamedTuple):
    """What is put into a queue. A tuple, not a dataclass: one is made for each call that is accepted.

    `group`: messages of one group run one at a time, in the order in which they were put. `dedup`: while a message of
    this queue with the same word is known (kept ones too), another is not put; with `dedup_s`, for so long after the
    earlier one was accepted at most.
    """

    id: str
    queue: str
    body: bytes
    due: float  # not before
    accepted: float
    expires: float | None = None  # not begun after
    group: str | None = None
    dedup: str | None = None
    dedup_s: float | None = None


@dataclass(frozen=True, slots=True)
class Leased:
    """A message that is the caller's until `until`. `epoch` rises with each lease: a word under an old one is void."""

    id: str
    queue: str
    body: bytes
    due: float
    accepted: float
    expires: float | None
    group: str | None
    attempt: int  # this one counted; from 1
    epoch: int
    until: float


@dataclass(frozen=True, slots=True)
class Settlement:
    """The word on one lease. `state`: an end, or WAITING for another attempt at `due`.

    `counts`: whether the attempt does; it does not where the function was never reached. `then`: messages that are put
    in the same step, if the word is not void. `keep`: an ended message stays to be looked at until it is forgotten;
    otherwise it is dropped at once, but for one with a `dedup` word, which has to be known. `queue`: the word is void
    for a message of another queue; None: whoever speaks has the lease from the store itself.
    """

    id: str
    epoch: int
    state: MessageState
    at: float
    due: float = 0.0
    counts: bool = True
    result: bytes | None = None
    then: tuple[Message, ...] = ()
    keep: bool = True
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a message."""

    id: str
    queue: str
    state: MessageState
    due: float
    accepted: float
    attempts: int
    group: str | None = None
    ended: float | None = None
    body: bytes = b""
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one queue, since it was first used: `accepted` is the sum of the five states at every instant."""

    accepted: int = 0
    waiting: int = 0
    running: int = 0
    done: int = 0
    dead: int = 0
    cancelled: int = 0
    letters: int = 0  # of the dead, those that are still kept: to be looked at, redriven or purged

    @property
    def drift(self) -> int:
        """0, or messages were lost (> 0) or made from nothing (< 0)."""
        return self.accepted - self.waiting - self.running - self.done - self.dead - self.cancelled


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log; `number` from 1."""

    number: int
    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Value:
    """What a key holds. `version` never comes twice, not even where the key was deleted in between."""

    data: bytes
    version: int
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """What a key is to hold from now on; `data` None: nothing."""

    key: str
    data: bytes | None
    expires: float | None = None


class Queues(Protocol):
    """Messages by queue, each delivered at least once and settled exactly once."""

    def put(self, messages: Sequence[Message], most: int | None = None) -> Awaitable[list[str]]:
        """The ids under which they are known: a message's own, or that of the earlier one with its `dedup`.

        Raises QueueFull, with none of them put, where one finds `most` of its queue waiting already.
        """
        ...

    def put_and_lease(
        self, messages: Sequence[Message], most: int | None, now: float, until: float
    ) -> Awaitable[tuple[list[str], list[Leased]]]:
        """`put` messages of one queue, and `lease` as many of what is due in it, in the same step."""
        ...

    async def lease(self, queue: str, limit: int, now: float, until: float) -> list[Leased]:
        """Up to `limit` messages that are due, the oldest first."""
        ...

    async def settle(self, words: Sequence[Settlement]) -> list[bool]:
        """Which of them counted. False: the lease was lost meanwhile."""
        ...

    async def extend(self, id: str, epoch: int, until: float, queue: str | None = None) -> bool:
        """Let a lease end at another time. False: it was lost meanwhile. `queue`: as in a Settlement."""
        ...

    async def reclaim(self, now: float) -> int:
        """Make leases that ended by `now` waiting again; how many. `inf`: all, where their holder is known dead."""
        ...

    async def next_due(self, queue: str) -> float | None:
        """When the next message that waits is due; None where none waits."""
        ...

    async def oldest(self, queue: str) -> float | None:
        """When the first was accepted of those that wait or run and were not redriven; None where there is none."""
        ...

    async def delayed(self, queue: str, now: float) -> int:
        """How many of those that wait are due after `now`."""
        ...

    async def cancel(self, id: str, now: float) -> MessageState | None:
        """End a message that waits, and tell its state after that: CANCELLED, or what it was. None: not known."""
        ...

    async def find(self, id: str) -> Known | None: ...

    async def peek(self, queue: str, state: MessageState, limit: int) -> list[Known]:
        """The oldest first."""
        ...

    async def purge(self, queue: str, state: MessageState, now: float) -> int:
        """Forget all in this state; those that waited count as cancelled. How many."""
        ...

    async def redrive(self, queue: str, now: float) -> int:
        """Give each dead message all its attempts again, as a new message would have them; how many."""
        ...

    async def forget(self, before: float, *, dead: bool = False) -> int:
        """Drop what was done or cancelled before this time, or (`dead`) what died; how many. The counts keep them."""
        ...

    async def counts(self) -> dict[str, Counts]: ...


class Logs(Protocol):
    """Append-only, by name."""

    async def append(self, log: str, after: int, data: Sequence[bytes], at: float, keys: Sequence[Write] = ()) -> int:
        """Append where the log has exactly `after` entries; how many it has then. Raises Stale.

        `keys` are written in the same step: all of it is on disk, or nothing.
        """
        ...

    async def read(self, log: str, after: int = 0, limit: int = 1000) -> list[Entry]: ...

    async def forget(self, logs: Sequence[str]) -> None:
        """Drop them with all their entries; nothing where there are none."""
        ...


class Keys(Protocol):
    """Values by key."""

    async def get(self, key: str, now: float) -> Value | None: ...

    async def set(
        self, key: str, data: bytes, now: float, *, version: int | None = None, expires: float | None = None
    ) -> int:
        """The new version. `version`: only where the key has this one, 0: only where there is none. Raises Stale."""
        ...

    async def delete(self, key: str, now: float, *, version: int | None = None) -> bool:
        """Whether there was one. Raises Stale."""
        ...

    async def scan(self, prefix: str, now: float, limit: int = 1000) -> list[tuple[str, Value]]:
        """In the order of the keys."""
        ...

    async def expired(self, now: float, limit: int = 1000) -> list[str]:
        """Keys whose time was over by `now`: nobody reads them any more, and they are there until `purge`."""
        ...

    async def purge(self, keys: Sequence[str], now: float) -> None:
        """Drop those of them whose time is over."""
        ...


Heard = Callable[[str | None], None]


class Store(Protocol):
    """The three together, on one event loop. Each call raises StoreUnavailable where nothing could be stored."""

    @property
    def shared(self) -> bool:
        """Other processes may use it at the same time: leases that are not over may be theirs."""
        ...

    def listen(self, heard: Heard) -> None:
        """Before `open`: call this on the loop's thread when another process has put something into a queue. With the
        queue's name, or None where it may be any: after a connection was lost, things may have gone unheard."""
        ...

    @property
    def queues(self) -> Queues: ...

    @property
    def logs(self) -> Logs: ...

    @property
    def keys(self) -> Keys: ...

    async def open(self) -> None: ...

    async def close(self) -> None:
        """What was asked before is done first."""
        ...

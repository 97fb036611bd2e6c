"""One append-only log a run, on the store's event log. What its events mean is each kind of run's own.

    tail = await Tail.load(logs, id, State(), apply)   state = all events of the log, applied in order
    await tail.say(event, at=now)                      applied at once; returns when it is on disk

An event is a JSON object. Only `Tail` appends, always behind the entry that it read or wrote last (compare-and-append):
of two that would write the same run, one is told `Stale`, and has to load the log anew before it says anything more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from fnctl.errors import FnctlError
from fnctl.store.port import Logs, Stale, Write
from fnctl.tasks import Tasks

S = TypeVar("S")
Event = dict[str, Any]
_PAGE = 1000
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode  # made once: json.dumps makes one a call


def log_of(run: str) -> str:
    """The log's name in the store."""
    return f"run/{run}"


def packed(event: Event) -> bytes:
    return _encode(event).encode("utf-8", "surrogatepass")


def unpacked(data: bytes) -> Event:
    event: Event = json.loads(data.decode("utf-8", "surrogatepass"))
    return event


async def read(logs: Logs, run: str) -> list[Event]:
    """All events of a run, in order; none where there is no such run."""
    events: list[Event] = []
    while page := await logs.read(log_of(run), len(events), _PAGE):
        events += [unpacked(entry.data) for entry in page]
        if len(page) < _PAGE:
            break
    return events


class Tail(Generic[S]):
    """The end of one run's log, and the state that its events make. On the event loop's thread.

    What is said while an append is on its way goes together into the next, also what follows from what was said before:
    nobody waits for the disk but who asks. Where an append fails, all that was said since is void, the tail is `broken`
    and says nothing more: its owner drops it, and loads the run anew.
    """

    def __init__(self, logs: Logs, run: str, state: S, apply: Callable[[S, Event], object], length: int = 0) -> None:
        """`apply` changes the state by one event, and may not fail for one that was said before."""
        self.run = run
        self.state = state
        self.broken: FnctlError | None = None
        self._logs = logs
        self._apply = apply
        self._length = length  # on disk
        self._unwritten: list[tuple[list[bytes], float, Sequence[Write], asyncio.Future[None]]] = []
        self._writing = False
        self._tasks = Tasks()

    @classmethod
    async def load(cls, logs: Logs, run: str, state: S, apply: Callable[[S, Event], object]) -> Tail[S]:
        """`state`: that of a run without events, which this one changes."""
        events = await read(logs, run)
        for event in events:
            apply(state, event)
        return cls(logs, run, state, apply, len(events))

    @property
    def length(self) -> int:
        """Events on disk."""
        return self._length

    def __bool__(self) -> bool:
        """Whether anything is on its way to the disk."""
        return self._writing

    def say(self, *events: Event, at: float, keys: Sequence[Write] = ()) -> asyncio.Future[None]:
        """Apply now; awaited, they are on disk, `keys` with them. Raises Stale and StoreUnavailable there, and here
        once it is broken."""
        if self.broken is not None:
            raise self.broken
        data = [packed(event) for event in events]
        for event in events:
            self._apply(self.state, event)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.add_done_callback(_looked_at)
        self._unwritten.append((data, at, keys, written))
        if not self._writing:
            self._writing = True
            self._tasks.spawn(self._write())
        return written

    async def settled(self) -> None:
        """Until all that was said is on disk, or void."""
        await self._tasks.wait()

    async def _write(self) -> None:
        while self._unwritten and self.broken is None:
            batch, self._unwritten = self._unwritten, []
            data = [each for part, _, _, _ in batch for each in part]
            keys = [each for _, _, part, _ in batch for each in part]
            try:
                self._length = await self._logs.append(log_of(self.run), self._length, data, batch[-1][1], keys)
            except FnctlError as error:
                self.broken = error
                batch += self._unwritten
                self._unwritten = []
            for _, _, _, written in batch:
                if not written.done():
                    written.set_exception(self.broken) if self.broken else written.set_result(None)
        self._writing = False


def _looked_at(written: asyncio.Future[None]) -> None:
    """Nobody has to: a broken tail says it to whoever speaks next."""
    if not written.cancelled():
        written.exception()


__all__ = ["Event", "Stale", "Tail", "log_of", "packed", "read", "unpacked"]

"""One thread that owns a connection and groups what it is asked into transactions. Knows no table and no dialect.

A transaction on disk costs one `fdatasync`, however much it holds. So nothing waits for company on purpose: what comes
while one transaction is on its way to the disk goes together into the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from fnctl.errors import FnctlError
from fnctl.store.port import StoreUnavailable
from fnctl.store.sql import Database, Transaction

T = TypeVar("T")
Work = Callable[[Transaction], Any]
_Job = tuple[Work, "asyncio.Future[Any]"]

GROUP = 512  # jobs in a transaction at most, so that no one waits long
COLLISIONS = 20  # with others on the same store, before a caller hears of it
AGAIN_S = (0.1, 5.0)  # after a lost connection: what is asked meanwhile fails at once


class Writer:
    """start → run … → stop."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._schema = schema
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transaction: Transaction | None = None  # None: the connection was lost
        self._closing: Callable[[], None] = lambda: None
        self._pause_s = 0.0
        self._not_before = 0.0
        self._why: StoreUnavailable | None = None  # the connection cannot be had
        self.commits = 0

    async def start(self) -> None:
        """Raises StoreUnavailable where the store is none of ours or cannot be opened."""
        loop = self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._thread = threading.Thread(target=self._serve, args=(loop, opened), name="store", daemon=True)
        self._thread.start()
        await opened

    def run(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """`work`'s result, once the transaction that it ran in is on disk. To be awaited, or called back by.

        `work` checks before it writes: where it raises an FnctlError, what it wrote until then would stay. It may run
        again, after a collision. Raises StoreUnavailable where the store fails; then nothing of the transaction is
        stored, unless a connection was lost just when it was asked to be.
        """
        if self._thread is None or self._loop is None:
            raise StoreUnavailable("the store is closed")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((work, answer))
        return answer

    async def stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    # -- on the thread ---------------------------------------------------------------------------------------------

    def _serve(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            self._connect()
        except Exception as error:
            _tell(loop, [(opened, None, self._told(error))])
            return
        _tell(loop, [(opened, None, None)])
        while jobs := self._next():
            _tell(loop, self._done(jobs))
        self._disconnect()

    def _connect(self) -> Transaction:
        connection = self._database.connect(self._schema)
        self._closing = connection.close
        self._pause_s = 0.0
        self._transaction = Transaction(connection)
        return self._transaction

    def _disconnect(self) -> None:
        self._transaction = None
        closing, self._closing = self._closing, lambda: None
        with contextlib.suppress(Exception):  # it may be broken
            closing()

    def _next(self) -> list[_Job]:
        """All that is asked by now, at least one; nothing: the end."""
        jobs = [self._jobs.get()]
        with contextlib.suppress(Empty):
            while jobs[-1] is not None and len(jobs) < GROUP:
                jobs.append(self._jobs.get_nowait())
        if jobs[-1] is None and len(jobs) > 1:
            self._jobs.put(None)  # the end comes by itself, after these
        return [job for job in jobs if job is not None]

    def _done(self, jobs: list[_Job]) -> list[_Told]:
        """All in one transaction; after a collision, each in one of its own, since one may be in the way of all."""
        try:
            return self._transact(jobs)
        except Exception as error:  # a fault of ours, too, is told to those who wait: the thread lives on
            if not self._database.collided(error):
                why = self._told(error)
                return [(answer, None, why) for _, answer in jobs]
        return [told for job in jobs for told in self._insisted(job)]

    def _insisted(self, job: _Job) -> list[_Told]:
        for left in reversed(range(COLLISIONS)):
            try:
                return self._transact([job])
            except Exception as error:
                if not left or not self._database.collided(error):
                    return [(job[1], None, self._told(error))]
        raise AssertionError("unreachable")

    def _transact(self, jobs: list[_Job]) -> list[_Told]:
        told: list[_Told] = []
        transaction = self._transaction or self._connected_again()
        try:
            transaction.begin()
            for work, answer in jobs:
                try:
                    told.append((answer, work(transaction), None))
                except FnctlError as error:
                    told.append((answer, None, error))
            transaction.commit()
        except Exception:
            if transaction.broken:
                self._disconnect()
            else:
                with contextlib.suppress(Exception):  # what failed first is what is told
                    transaction.rollback()
            raise
        self.commits += 1
        return told

    def _connected_again(self) -> Transaction:
        """Not at each call, where nobody answers: all who ask in between hear at once why."""
        if self._why is not None and time.monotonic() < self._not_before:
            raise self._why
        try:
            transaction = self._connect()
        except Exception as error:
            least, most = AGAIN_S
            self._pause_s = min(most, max(least, self._pause_s * 2))
            self._not_before = time.monotonic() + self._pause_s
            self._why = self._database.unavailable(error)
            raise
        self._why = None
        return transaction

    def _told(self, error: Exception) -> Exception:
        return self._database.unavailable(error) or error


_Told = tuple["asyncio.Future[Any]", Any, Exception | None]


def _tell(loop: asyncio.AbstractEventLoop, told: list[_Told]) -> None:
    """One call into the loop for a whole transaction."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: list[_Told]) -> None:
    for answer, result, error in told:
        if answer.done():  # its caller was cancelled
            continue
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)

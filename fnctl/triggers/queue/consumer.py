"""The messages of one named queue on their way to one function: in batches, as many at once as its trigger allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.model import Function, Queue, QueueTrigger
from fnctl.store.port import Leased, MessageState, Queues, Settlement, StoreUnavailable
from fnctl.tasks import Tasks
from fnctl.triggers.http.call import Answer, Call
from fnctl.triggers.queue.batch import batch_request, failed_of
from fnctl.triggers.queue.lane import LEASE_MORE_S
from fnctl.triggers.queue.letter import Letter, stored_as, unpacked
from fnctl.triggers.queue.outcome import NOT_BEGUN, backoff_s, failed
from fnctl.triggers.queue.rate import Bucket
from fnctl.triggers.queue.wakeups import AGAIN_S, Watch


class Bound(NamedTuple):
    """What a consumer goes by, as it is now."""

    queue: Queue
    function: Function
    trigger: QueueTrigger


Bury = Callable[[Queue, Leased, str], Settlement]


class Consumer:
    """Guarantees: a message that is leased here is settled here, or its lease is left to be reclaimed.

    A batch that is not full waits for more, for as long as the trigger's window, with its messages leased.
    """

    def __init__(
        self,
        queue: str,
        bound: Callable[[], Bound | None],
        queues: Queues,
        invocations: Invocations,
        clock: Clock,
        random: Random,
        bucket: Bucket,
        bury: Bury,
        kick: Callable[[str], None],
    ) -> None:
        """`bound` None: the function takes no messages of this queue any more. `bury`: the word on what is dead.
        `kick`: something was put into a named queue."""
        self._stored = stored_as(queue)
        self._bound = bound
        self._queues = queues
        self._invocations = invocations
        self._clock = clock
        self._random = random
        self._bucket = bucket
        self._bury = bury
        self._kick = kick
        self._tasks = Tasks()
        self._calls: dict[str, Call] = {}
        self._gathered: list[Leased] = []
        self._since = 0.0  # when the first of them was
        self._watch = Watch(clock, self._tasks, self._begin_what_is_due, self._next_due)

    def __bool__(self) -> bool:
        """Whether anything is under way. A batch that is being gathered waits for the clock, and is not."""
        return bool(self._tasks) or bool(self._calls)

    def kick(self) -> None:
        self._watch.kick()

    async def rest(self) -> None:
        while self:
            await (self._tasks.wait() if self._tasks else asyncio.sleep(0.001))

    async def close(self, cut: bool) -> None:
        """Begin nothing more, give back what is gathered, and wait for what runs, or cut it off."""
        self._watch.close()
        back, self._gathered = self._gathered, []
        self._settle([_given_back(each, self._clock.now()) for each in back])
        if cut:
            for call in list(self._calls.values()):
                call.cancel("stopped")
        await self.rest()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _begin_what_is_due(self) -> bool:
        """Whether there is room for more than what was due."""
        more = True
        while more and (bound := self._bound()) is not None and not self._watch.closed:
            if len(self._calls) >= bound.trigger.concurrency:
                return False
            rate = bound.function.deferred.rate
            if rate is None:
                more = await self._begin_one(bound)
                continue
            async with self._bucket.turn:
                now = self._clock.now()
                if self._bucket.free(rate, now) <= 0:
                    self._watch.ring_at(self._bucket.next_at(rate, now))
                    return False
                more = await self._begin_one(bound)
        return not more

    async def _begin_one(self, bound: Bound) -> bool:
        """Gather a batch, and begin it where it is ready. Whether there may be another."""
        more = await self._gather_more(bound)
        full = len(self._gathered) >= bound.trigger.batch
        if not self._gathered or not (full or self._clock.now() >= self._since + bound.trigger.window_s):
            return more
        self._bucket.take(bound.function.deferred.rate, self._clock.now(), 1)
        batch, self._gathered = self._gathered, []
        self._call(bound, batch)
        return True

    async def _gather_more(self, bound: Bound) -> bool:
        """Lease what the batch has room for. Whether there may be more than that."""
        wanted = bound.trigger.batch - len(self._gathered)
        leased = await self._lease(bound, wanted)
        if self._watch.closed:  # while the lease was on its way
            self._settle([_given_back(each, self._clock.now()) for each in leased])
            return False
        self._gather(bound, leased)
        return len(leased) >= wanted > 0

    async def _lease(self, bound: Bound, wanted: int) -> list[Leased]:
        if wanted <= 0:
            return []
        now = self._clock.now()
        longest = max(bound.function.timeout_s, self._invocations.queue_s) * 2 + LEASE_MORE_S
        until = now + bound.trigger.window_s + max(longest, bound.queue.visibility_s or 0.0)
        return await self._queues.lease(self._stored, wanted, now, until)

    def _gather(self, bound: Bound, leased: Sequence[Leased]) -> None:
        now = self._clock.now()
        dead = []
        for each in leased:
            if each.expires is not None and each.expires < now:
                dead.append(self._bury(bound.queue, each, "older than retention"))
            elif bound.queue.receives is not None and each.attempt > bound.queue.receives:
                dead.append(self._bury(bound.queue, each, "the run ended during its last delivery"))
            else:
                if not self._gathered:
                    self._since = now
                self._gathered.append(each)
        self._settle(dead)

    async def _next_due(self) -> float | None:
        due = await self._queues.next_due(self._stored)
        bound = self._bound()
        if not self._gathered or bound is None:
            return due
        full = self._since + bound.trigger.window_s
        return full if due is None else min(due, full)

    # -- calling ---------------------------------------------------------------------------------------------------

    def _call(self, bound: Bound, batch: Sequence[Leased]) -> None:
        now = self._clock.now()
        id = self._invocations.next_id(now)
        letters: list[tuple[Leased, Letter]] = [(each, unpacked(each.body)) for each in batch]

        def tell(answer: Answer) -> None:
            self._calls.pop(id, None)
            self._settle(self._words(bound, batch, answer))

        call = self._calls[id] = Call(
            self._invocations,
            bound.function,
            batch_request(bound.function, bound.trigger, letters, id, now),
            tell,
            id=id,
            attempt=max(each.attempt for each in batch),
            at=now,
        )
        call.start()

    def _words(self, bound: Bound, batch: Sequence[Leased], answer: Answer) -> list[Settlement]:
        now = self._clock.now()
        ids = [each.id for each in batch]
        lost = frozenset(ids) if failed(answer) else failed_of(answer, ids)
        counts = answer.error is None or answer.error.code not in NOT_BEGUN
        words = []
        for each in batch:
            if each.id not in lost:
                words.append(Settlement(each.id, each.epoch, MessageState.DONE, now, keep=False))
            elif counts and bound.queue.receives is not None and each.attempt >= bound.queue.receives:
                words.append(self._bury(bound.queue, each, _why(answer)))
            else:
                due = now + backoff_s(each.attempt, bound.queue.backoff_s, self._random)
                words.append(Settlement(each.id, each.epoch, MessageState.WAITING, now, due=due, counts=counts))
        return words

    def _settle(self, words: list[Settlement]) -> None:
        if words:
            self._tasks.spawn(self._settled(words))

    async def _settled(self, words: list[Settlement]) -> None:
        """The words are kept until the store takes them, or the run ends: then the leases are reclaimed by the next."""
        while True:
            try:
                await self._queues.settle(words)
                break
            except StoreUnavailable:
                if self._watch.closed:
                    return
                await asyncio.sleep(AGAIN_S)
        for queue in {message.queue for word in words for message in word.then}:
            self._kick(queue)
        self.kick()


def _given_back(leased: Leased, now: float) -> Settlement:
    return Settlement(leased.id, leased.epoch, MessageState.WAITING, now, due=leased.due, counts=False)


def _why(answer: Answer) -> str:
    """In a few words, for whoever looks at dead letters."""
    if answer.error is not None:
        return answer.error.message[:500]
    return f"status {answer.status}" if failed(answer) else "its function named it in batchItemFailures"

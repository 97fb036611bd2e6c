"""The calls of one function on their way from the store: as many at once as its rule allows, the oldest first.

Nothing polls: a lane looks when something was put, when something ended, and when the next message is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Protocol

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Pinned, Versions
from fnctl.errors import DeadlineExceeded
from fnctl.model import Function
from fnctl.store.port import Leased, Message, MessageState, Queues, Settlement, StoreUnavailable
from fnctl.tasks import Tasks
from fnctl.triggers.http.call import Answer, Call, CallRequest
from fnctl.triggers.queue.outcome import settlement
from fnctl.triggers.queue.rate import Bucket
from fnctl.triggers.queue.records import outcome, queue_of, unpacked
from fnctl.triggers.queue.wakeups import AGAIN_S, Watch

LEASE_MORE_S = 60.0  # its word must find the lease its own, also where the machine is slow


class Outcomes(Protocol):
    """Where the ends of calls go (destinations.py)."""

    def messages(self, function: Function, leased: Leased, answer: Answer, word: Settlement) -> tuple[Message, ...]:
        """What is put in the same step as the word; nothing where the call goes on."""
        ...

    def kick(self, put: Iterable[Message]) -> None:
        """These were put."""
        ...


class Beginner(Protocol):
    async def from_call(
        self, function: Function, request: CallRequest, id: str, tell: Callable[[Answer], None]
    ) -> None:
        """Begin an execution under this id, if it has not begun, and tell that it has, or why it could not."""
        ...


class Lane:
    """Guarantees: a message that is leased here is settled here, or its lease is left to be reclaimed.

    On the event loop's thread. `function` is asked for at each look, so that a change of it holds from the next call.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[], Function | None],
        queues: Queues,
        invocations: Invocations,
        clock: Clock,
        random: Random,
        bucket: Bucket,
        outcomes: Outcomes,
        lease_more_s: float = LEASE_MORE_S,
        durable: Beginner | None = None,
        versions: Versions | None = None,
    ) -> None:
        """`bucket`: what the function's rate allows, of this and of other sources. `outcomes`: what follows an end.
        `lease_more_s`: how much longer a lease is than what its call may take. `durable`: begins an execution in place
        of a call, where the function is durable. `versions`: serve calls that were accepted before the current one."""
        self.name = name
        self._queue = queue_of(name)
        self._function = function
        self._queues = queues
        self._invocations = invocations
        self._clock = clock
        self._random = random
        self._outcomes = outcomes
        self._lease_more_s = lease_more_s
        self._durable = durable
        self._versions = versions
        self._tasks = Tasks()
        self._calls: dict[str, Call] = {}
        self._stopped: set[str] = set()  # of these, those that were cut off for good
        self._held = 0  # places for calls whose lease is on its way
        self._full = True  # more may be due than there was room for
        self._bucket = bucket
        self._watch = Watch(clock, self._tasks, self._begin_what_is_due, lambda: queues.next_due(self._queue))

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self._tasks) or bool(self._calls)

    def kick(self) -> None:
        """Something may be due."""
        self._watch.kick()

    def expect(self, due: float) -> None:
        """Something was put that is due then."""
        if due <= self._clock.now():
            self._watch.kick()
        else:
            self._watch.expect(due)

    def hold(self) -> float | None:
        """Keep a place for a call that is put and leased in one step, and its part of the rate: until when to lease
        it. None: there is none.

        Whoever has one says `begin_held`, whatever came of it.
        """
        function = self._function()
        if self._watch.closed or function is None or self._room(function) <= 0:
            return None
        if (rate := function.deferred.rate) is not None:
            now = self._clock.now()
            if self._bucket.turn.locked() or self._bucket.free(rate, now) <= 0:
                return None
            self._bucket.take(rate, now, 1)
        self._held += 1
        return self._until(function)

    def begin_held(self, leased: Sequence[Leased]) -> None:
        """What was leased for one `hold`: one call, or none."""
        self._held -= 1
        function = self._function()
        if not leased and function is not None:
            self._bucket.take(function.deferred.rate, self._clock.now(), -1)
        for each in leased:
            self._begin(function, each)

    def stop(self, id: str) -> None:
        """Cut a call off for good: it ends as cancelled."""
        call = self._calls.get(id)
        if call is not None:
            self._stopped.add(id)
            call.cancel("cancelled")

    async def rest(self) -> None:
        """Until nothing is under way."""
        while self:
            await (self._tasks.wait() if self._tasks else asyncio.sleep(0.001))

    async def close(self, cut: bool) -> None:
        """Begin nothing more, and wait for what runs, or cut it off: it counts as not begun, and comes again."""
        self._watch.close()
        if cut:
            for call in list(self._calls.values()):
                call.cancel("stopped")
        await self.rest()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _begin_what_is_due(self) -> bool:
        """Whether there is room for more than what was due."""
        function = self._function()
        room = 0 if function is None or self._watch.closed else self._room(function)
        self._full = room <= 0
        if function is None or room <= 0:
            return False
        rate = function.deferred.rate
        if rate is None:
            self._full = await self._begin_up_to(function, room) == room
            return not self._full
        self._full = True
        async with self._bucket.turn:
            now = self._clock.now()
            free = min(room, self._bucket.free(rate, now))
            begun = await self._begin_up_to(function, free) if free > 0 else 0
            self._bucket.take(rate, now, begun)
            if begun == free < room:
                self._watch.ring_at(self._bucket.next_at(rate, now))
            return begun < free

    async def _begin_up_to(self, function: Function, most: int) -> int:
        """How many."""
        self._held += most
        try:
            leased = await self._queues.lease(self._queue, most, self._clock.now(), self._until(function))
        finally:
            self._held -= most
        for each in leased:
            self._begin(function, each)
        return len(leased)

    def _room(self, function: Function) -> int:
        return function.deferred.concurrency - len(self._calls) - self._held

    def _until(self, function: Function) -> float:
        longest_s = max(function.timeout_s, self._invocations.queue_s)
        return self._clock.now() + longest_s * 2 + self._lease_more_s

    # -- calling ---------------------------------------------------------------------------------------------------

    def _begin(self, function: Function | None, leased: Leased) -> None:
        now = self._clock.now()
        if self._watch.closed or function is None:  # while the lease was on its way
            back = Settlement(leased.id, leased.epoch, MessageState.WAITING, now, due=leased.due, counts=False)
            self._settle(back)
            return
        rule = function.deferred
        if leased.attempt > rule.retries + 1:
            lost = Answer(502, error=DeadlineExceeded("the run ended during its last attempt", code="stopped"))
            self._give_up(function, leased, lost, "lost")
            return
        if leased.expires is not None and leased.expires < now:
            late = Answer(504, error=DeadlineExceeded(f"waited longer than max_age ({rule.max_age_s:g} s)"))
            self._give_up(function, leased, late, "max_age")
            return

        def tell(answer: Answer) -> None:
            self._calls.pop(leased.id, None)
            at = self._clock.now()
            if leased.id in self._stopped:
                self._stopped.discard(leased.id)
                self._settle(Settlement(leased.id, leased.epoch, MessageState.CANCELLED, at, result=outcome(answer)))
            else:
                word = settlement(leased, answer, rule, at, self._random)
                then = self._outcomes.messages(function, leased, answer, word)
                self._settle(replace(word, then=then) if then else word, leased.group is not None)

        if function.durable is not None and self._durable is not None:
            self._tasks.spawn(self._durable.from_call(function, unpacked(leased.body), leased.id, tell))
            return
        # What was redriven was asked for anew: it does not expire.
        if self._versions is None or leased.expires is None or self._versions.is_current(leased.accepted):
            self._call(function, leased, tell, None)
        else:
            self._held += 1
            self._tasks.spawn(self._call_in_its_version(self._versions, function, leased, tell))

    async def _call_in_its_version(
        self, versions: Versions, function: Function, leased: Leased, tell: Callable[[Answer], None]
    ) -> None:
        try:
            pinned = await versions.since(self.name, leased.accepted)
        finally:
            self._held -= 1
        self._call(function, leased, tell, pinned)

    def _call(self, function: Function, leased: Leased, tell: Callable[[Answer], None], pinned: Pinned | None) -> None:
        call = Call(
            self._invocations,
            pinned.function if pinned is not None else function,
            unpacked(leased.body),
            tell,
            id=leased.id,
            attempt=leased.attempt,
            at=self._clock.now(),
            site=pinned.site if pinned is not None else None,
        )
        self._calls[leased.id] = call
        call.start()

    def _give_up(self, function: Function, leased: Leased, answer: Answer, why: str) -> None:
        """It is not begun any more."""
        at = self._clock.now()
        word = Settlement(leased.id, leased.epoch, MessageState.DEAD, at, result=outcome(answer, why))
        self._settle(replace(word, then=self._outcomes.messages(function, leased, answer, word)))

    def _settle(self, word: Settlement, behind: bool = True) -> None:
        self._tasks.spawn(self._settled(word, behind))

    async def _settled(self, word: Settlement, behind: bool) -> None:
        """The word is kept until the store takes it, or the run ends: then the lease is reclaimed by the next.

        `behind`: another call may have waited for this one's end. Else there is nothing to look for, where there was
        room for all that was due.
        """
        while True:
            try:
                await self._queues.settle([word])
                break
            except StoreUnavailable:
                if self._watch.closed:
                    return
                await asyncio.sleep(AGAIN_S)
        self._outcomes.kick(word.then)
        if self._full or behind or word.state is MessageState.WAITING:
            self.kick()

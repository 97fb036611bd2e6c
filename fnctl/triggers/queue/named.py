"""The named queues of a run: what is sent to them and received from them, and the functions that get their messages.

A message is settled once: deleted, dead (then it moves to the queue of dead letters, where there is one), or cancelled.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.model import Function, Queue
from fnctl.store.port import ENDED, Leased, Message, MessageState, Settlement, Store
from fnctl.tasks import Tasks
from fnctl.triggers.http.call import NOW, When
from fnctl.triggers.queue.consumer import Bound, Consumer
from fnctl.triggers.queue.letter import Letter, named, stored_as, unpacked
from fnctl.triggers.queue.rate import Allowance
from fnctl.triggers.queue.receivers import Arrivals, Presence
from fnctl.triggers.queue.rules import QueueRules

DEDUP_S = 300.0  # how long FIFO queues know a message by its deduplication word
VISIBILITY_S = 30.0  # for those who receive by the API, where the queue says nothing
MOVED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Received:
    """A message that is its receiver's until the lease ends."""

    leased: Leased
    letter: Letter


class NamedQueues:
    """open → send, receive, … → close. On the event loop's thread; the caller holds the project's lock."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        declared: Callable[[], Iterable[Queue]],
        random: Random,
        allowance: Allowance,
    ) -> None:
        """`functions`, `declared`: what the project has now. `allowance`: what their rates allow."""
        self.rules = QueueRules(store.keys, declared)
        self._queues = store.queues
        self._clock = clock
        self._invocations = invocations
        self._functions = functions
        self._random = random
        self._allowance = allowance
        self._consumers: dict[tuple[str, str], Consumer] = {}
        self._arrivals: dict[str, Arrivals] = {}
        self._tasks = Tasks()

    async def open(self) -> None:
        await self.rules.open(self._clock.now())
        self.refresh()

    def refresh(self) -> None:
        """Functions or their triggers have changed."""
        for function in self._functions().values():
            for trigger in function.queues:
                if (trigger.name, function.name) not in self._consumers:
                    self._consumers[trigger.name, function.name] = self._consumer(trigger.name, function.name)
        for consumer in self._consumers.values():
            consumer.kick()

    def _consumer(self, queue: str, function: str) -> Consumer:
        def bound() -> Bound | None:
            rule, now = self.rules.find(queue), self._functions().get(function)
            trigger = next((each for each in now.queues if each.name == queue), None) if now is not None else None
            return None if rule is None or now is None or trigger is None else Bound(rule, now, trigger)

        return Consumer(
            queue,
            bound,
            self._queues,
            self._invocations,
            self._clock,
            self._random,
            self._allowance.of(function),
            self.buried,
            self.kick,
        )

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self._tasks) or any(self._consumers.values())

    async def rest(self) -> None:
        """Until nothing is under way."""
        while self:
            await self._tasks.wait()
            for consumer in list(self._consumers.values()):
                await consumer.rest()

    async def close(self, cut: bool) -> None:
        await asyncio.gather(*(each.close(cut) for each in self._consumers.values()))
        await self._tasks.wait()

    def kick(self, stored: str) -> None:
        """Something was put into what the store knows by this name, or may be received again."""
        queue = named(stored)
        if queue is None:
            return
        for (name, _), consumer in self._consumers.items():
            if name == queue:
                consumer.kick()
        if queue in self._arrivals:
            self._arrivals[queue].kick()

    # -- sending ---------------------------------------------------------------------------------------------------

    def message(self, rule: Queue, letter: Letter, when: When = NOW, *, moved: bool = False) -> Message:
        """A letter as it is put. `moved`: it was in a queue before, and is no other message's double."""
        now = self._clock.now()
        due = now + rule.delay_s if when.due is None else when.due
        dedup = letter.dedup
        if dedup is None and rule.content_dedup and not moved:
            dedup = hashlib.sha256(letter.body).hexdigest()
            letter = replace(letter, dedup=dedup)
        return Message(
            id=self._invocations.next_id(now),
            queue=stored_as(rule.name),
            body=letter.packed(),
            due=due,
            accepted=now,
            expires=now + rule.retention_s,
            group=letter.group,
            dedup=None if moved else dedup,
            dedup_s=DEDUP_S,
        )

    async def send(self, queue: str, letters: Sequence[tuple[Letter, When]]) -> list[str]:
        """Their ids, once all are on disk. Raises NoQueue, QueueFull and StoreUnavailable; then none of them is."""
        rule = self.rules.one(queue)
        ids = await self._queues.put([self.message(rule, *each) for each in letters], most=rule.backlog)
        self.kick(stored_as(queue))
        return ids

    # -- receiving -------------------------------------------------------------------------------------------------

    async def receive(
        self, queue: str, most: int, visibility_s: float | None, wait_s: float, presence: Presence
    ) -> list[Received]:
        """Up to `most` messages; where there is none, wait for one, for `wait_s` (real) seconds at most."""
        rule = self.rules.one(queue)
        visible_s = rule.visibility_s if visibility_s is None else visibility_s
        visible_s = VISIBILITY_S if visible_s is None else visible_s
        arrivals = self._arrivals.setdefault(queue, Arrivals())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            since = arrivals.count
            found = await self._take(rule, most, visible_s)
            if found and wait_s and not presence.patient:
                await self._queues.settle([_given_back(each.leased, self._clock.now()) for each in found])
                self.kick(stored_as(queue))
                return []
            left = deadline - loop.time()
            if found or left <= 0 or not presence.patient:
                return found
            due = await self._queues.next_due(stored_as(queue))
            alarm = None if due is None else self._clock.call_at(due, arrivals.kick)
            await arrivals.wait(since, left, presence)
            if alarm is not None:
                alarm.cancel()

    def waiting(self, queue: str) -> int:
        """How many wait for a message."""
        return len(self._arrivals[queue]) if queue in self._arrivals else 0

    async def _take(self, rule: Queue, most: int, visible_s: float) -> list[Received]:
        """What is due, without those that are dead."""
        now = self._clock.now()
        leased = await self._queues.lease(stored_as(rule.name), most, now, now + visible_s)
        words, found = [], []
        for each in leased:
            if each.expires is not None and each.expires < now:
                words.append(self.buried(rule, each, "older than retention"))
            elif rule.receives is not None and each.attempt > rule.receives:
                words.append(self.buried(rule, each, f"received {rule.receives} times, and not deleted"))
            else:
                found.append(Received(each, unpacked(each.body)))
        if words:
            await self._settle(words)
        if found:
            self._clock.call_at(now + visible_s, self._lapse)
        return await self._take(rule, most, visible_s) if words and not found else found

    def _lapse(self) -> None:
        """Leases may have ended."""
        self._tasks.spawn(self._reclaimed())

    async def _reclaimed(self) -> None:
        if await self._queues.reclaim(self._clock.now()):
            for queue in self.rules.all():
                self.kick(stored_as(queue))

    async def delete(self, queue: str, id: str, epoch: int) -> bool:
        """A message is done with. False: its receiver's time was over, and somebody else may have it; or it is of
        another queue: what is shown for it can be made up."""
        now, stored = self._clock.now(), stored_as(queue)
        (done,) = await self._queues.settle([Settlement(id, epoch, MessageState.DONE, now, keep=False, queue=stored)])
        if done:
            self.kick(stored)  # the next of its group
            return True
        known = await self._queues.find(id)
        if (
            known is not None
            and known.queue == stored
            and known.state is MessageState.WAITING
            and known.attempts == epoch
        ):
            return await self._queues.cancel(id, now) is MessageState.CANCELLED  # nobody had it since
        return False

    async def is_open(self, queue: str, id: str) -> bool:
        """Whether a message waits in this queue, or is somebody's."""
        known = await self._queues.find(id)
        return known is not None and known.queue == stored_as(queue) and known.state not in ENDED

    async def change_visibility(self, queue: str, id: str, epoch: int, visible_s: float) -> bool:
        """False: its receiver's time was over, or it is of another queue."""
        now, stored = self._clock.now(), stored_as(queue)
        if visible_s <= 0:
            word = Settlement(id, epoch, MessageState.WAITING, now, due=now, queue=stored)
            (given,) = await self._queues.settle([word])
            self.kick(stored)
            return given
        self._clock.call_at(now + visible_s, self._lapse)
        return await self._queues.extend(id, epoch, now + visible_s, stored)

    # -- the dead --------------------------------------------------------------------------------------------------

    def buried(self, rule: Queue, leased: Leased, why: str) -> Settlement:
        """The word on a message that is dead: it moves to the queue of dead letters, or stays, with the reason."""
        now = self._clock.now()
        target = self.rules.find(rule.dead_letters) if rule.dead_letters is not None else None
        if target is None:
            return Settlement(leased.id, leased.epoch, MessageState.DEAD, now, result=_reason(why))
        letter = replace(unpacked(leased.body), origin=(rule.name, leased.id, why))
        moved = self.message(replace(target, delay_s=0.0), letter, moved=True)
        return Settlement(leased.id, leased.epoch, MessageState.DEAD, now, then=(moved,), keep=False)

    async def redrive(self, queue: str) -> int:
        """Have the dead of this queue delivered again, with all deliveries; of a queue of dead letters, what is in it,
        to the queues where it died. How many."""
        rule = self.rules.one(queue)
        count = await self._queues.redrive(stored_as(queue), self._clock.now())
        count += await self._move(rule, None)
        if rule.dead_letters is not None:
            count += await self._move(self.rules.one(rule.dead_letters), queue)
        self.kick(stored_as(queue))
        return count

    async def _move(self, source: Queue, origin: str | None) -> int:
        """Dead letters back to where they died, or to `origin` alone."""
        moved, left = 0, []
        while leased := await self._lease_all(source):
            words = []
            for each in leased:
                letter = unpacked(each.body)
                target = self.rules.find(letter.origin[0]) if letter.origin is not None else None
                if target is None or origin not in (None, target.name):
                    left.append(each)
                    continue
                back = self.message(replace(target, delay_s=0.0), replace(letter, origin=None), moved=True)
                words.append(
                    Settlement(each.id, each.epoch, MessageState.DONE, self._clock.now(), then=(back,), keep=False)
                )
            moved += sum(await self._settle(words))
        await self._settle([_given_back(each, self._clock.now()) for each in left])
        return moved

    async def _lease_all(self, source: Queue) -> list[Leased]:
        now = self._clock.now()
        return await self._queues.lease(stored_as(source.name), MOVED_AT_ONCE, now, now + VISIBILITY_S)

    async def _settle(self, words: Sequence[Settlement]) -> list[bool]:
        said = await self._queues.settle(words)
        for stored in {message.queue for word in words for message in word.then}:
            self.kick(stored)
        return said


def _given_back(leased: Leased, now: float) -> Settlement:
    return Settlement(leased.id, leased.epoch, MessageState.WAITING, now, due=leased.due, counts=False)


def _reason(why: str) -> bytes:
    return json.dumps({"reason": why}, ensure_ascii=False).encode("utf-8", "replace")

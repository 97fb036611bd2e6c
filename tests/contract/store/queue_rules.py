"""The rules of a queue as a small model, beside a real store: each step is taken in both, and both must agree.

Several holders lease, speak late, and die; the clock moves; messages are cancelled, purged, redriven, forgotten.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fnctl.store.port import ENDED, Counts, Leased, Message, MessageState, Queues, Settlement, Store
from fnctl.store.sqlite import SqliteStore

WAITING, RUNNING, DONE, DEAD, CANCELLED = MessageState
QUEUE = "q"
SOON = st.integers(0, 4)


@dataclass
class Kept:
    """A message as it should be."""

    id: str
    number: int
    due: float
    accepted: float
    group: str | None
    dedup: str | None
    state: MessageState = WAITING
    attempts: int = 0
    epoch: int = 0
    until: float = 0.0
    ended: float = 0.0


class QueueRules(RuleBasedStateMachine):
    """`store` may be overridden, to hold the same rules against another store."""

    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.kept: dict[str, Kept] = {}
        self.first: dict[str, Kept] = {}  # of each group: the one that is served
        self.counts: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()  # of each message, redriven ones anew
        self.held: list[Leased] = []  # every lease that was ever given, also to holders that lost it
        self.made = self.opened()
        self.queues: Queues = self.made.queues

    def opened(self) -> Store:
        store = SqliteStore()
        self.run(store.open())
        return store

    def run(self, asked: Any) -> Any:
        return self.runner.run(_awaited(asked))

    def teardown(self) -> None:
        self.run(self.made.close())

    # -- what happens ----------------------------------------------------------------------------------------------

    @rule(group=st.sampled_from((None, None, "g", "h")), dedup=st.sampled_from((None, None, "d")), delay=SOON)
    def put(self, group: str | None, dedup: str | None, delay: int) -> None:
        id = f"m{self.counts['accepted'] + 1}"
        message = Message(id, QUEUE, id.encode(), self.now + delay, self.now, group=group, dedup=dedup)
        (known,) = self.run(self.queues.put([message]))
        same = next((each for each in self.kept.values() if dedup is not None and each.dedup == dedup), None)
        if same is not None:
            assert known == same.id
            return
        assert known == id
        self.counts["accepted"] += 1
        made = self.kept[id] = Kept(id, self.counts["accepted"], message.due, self.now, group, dedup)
        if group is not None:
            self.first.setdefault(group, made)

    @rule(limit=st.integers(1, 3), length=st.integers(1, 5))
    def lease(self, limit: int, length: int) -> None:
        due = [each for each in self.kept.values() if self._may_be_leased(each)]
        expected = sorted(due, key=lambda each: (each.due, each.number))[:limit]
        leased = self.run(self.queues.lease(QUEUE, limit, self.now, self.now + length))
        assert [each.id for each in leased] == [each.id for each in expected]
        for each, one in zip(expected, leased, strict=True):
            each.state, each.until = RUNNING, self.now + length
            each.attempts += 1
            each.epoch += 1
            assert (one.epoch, one.attempt, one.body) == (each.epoch, each.attempts, each.id.encode())
        self.held += leased

    def _may_be_leased(self, each: Kept) -> bool:
        first = each.group is None or self.first.get(each.group) is each
        return each.state is WAITING and each.due <= self.now and first

    @precondition(lambda self: self.held)
    @rule(data=st.data(), state=st.sampled_from((WAITING, DONE, DEAD, CANCELLED)), delay=SOON, counts=st.booleans())
    def settle(self, data: st.DataObject, state: MessageState, delay: int, counts: bool) -> None:
        """Any holder speaks, whether its lease is still its own or not. No lease speaks twice with effect."""
        lease = data.draw(st.sampled_from(self.held))
        word = Settlement(lease.id, lease.epoch, state, self.now, due=self.now + delay, counts=counts)
        (counted,) = self.run(self.queues.settle([word]))
        each = self.kept.get(lease.id)
        if each is None or each.state is not RUNNING or each.epoch != lease.epoch:
            assert not counted, f"a stale word on {lease.id} counted"
            return
        assert counted
        if state in ENDED:
            self._end(each, state)
        else:
            each.state, each.due = WAITING, self.now + delay
            each.attempts -= not counts

    def _end(self, each: Kept, state: MessageState) -> None:
        self.ends[each.id] += 1
        assert self.ends[each.id] == 1, f"{each.id} ended twice"
        each.state, each.ended = state, self.now
        self._let_next(each.group)

    def _let_next(self, group: str | None) -> None:
        if group is not None and self.first[group].state in ENDED:
            del self.first[group]
            waiting = [each for each in self.kept.values() if each.group == group and each.state not in ENDED]
            if waiting:
                self.first[group] = min(waiting, key=lambda each: each.number)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), length=st.integers(1, 5))
    def extend(self, data: st.DataObject, length: int) -> None:
        lease = data.draw(st.sampled_from(self.held))
        extended = self.run(self.queues.extend(lease.id, lease.epoch, self.now + length))
        each = self.kept.get(lease.id)
        assert extended == (each is not None and each.state is RUNNING and each.epoch == lease.epoch)
        if each is not None and extended:
            each.until = self.now + length

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(all_died=st.booleans())
    def reclaim(self, all_died: bool) -> None:
        by = math.inf if all_died else self.now
        over = [each for each in self.kept.values() if each.state is RUNNING and each.until <= by]
        assert self.run(self.queues.reclaim(by)) == len(over)
        for each in over:
            each.state = WAITING

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        each = self.kept[data.draw(st.sampled_from(sorted(self.kept)))]
        if each.state is WAITING:
            self._end(each, CANCELLED)
        assert self.run(self.queues.cancel(each.id, self.now)) is each.state

    @rule(state=st.sampled_from((WAITING, RUNNING, DONE, DEAD, CANCELLED)))
    def purge(self, state: MessageState) -> None:
        those = [each for each in self.kept.values() if each.state is state]
        gone = self.run(self.queues.purge(QUEUE, state, self.now))
        assert gone == (0 if state is RUNNING else len(those))
        for each in those:
            if state is WAITING:
                self._end(each, CANCELLED)
            elif state is not RUNNING:
                self._forget(each)

    @rule(age=st.integers(0, 3), dead=st.booleans())
    def forget(self, age: int, dead: bool) -> None:
        before = self.now - age
        those = [
            each
            for each in self.kept.values()
            if each.state in ENDED and each.ended < before and (each.state is DEAD) == dead
        ]
        assert self.run(self.queues.forget(before, dead=dead)) == len(those)
        for each in those:
            self._forget(each)

    def _forget(self, each: Kept) -> None:
        self.counts[each.state] += 1
        del self.kept[each.id]

    @rule()
    def redrive(self) -> None:
        dead = [each for each in self.kept.values() if each.state is DEAD]
        assert self.run(self.queues.redrive(QUEUE, self.now)) == len(dead)
        for each in dead:
            each.state, each.due, each.attempts = WAITING, self.now, 0
            del self.ends[each.id]
        for group in {each.group for each in dead if each.group is not None}:
            going = [each for each in self.kept.values() if each.group == group and each.state not in ENDED]
            self.first[group] = min(going, key=lambda each: (each.state is not RUNNING, each.number))

    # -- what holds ------------------------------------------------------------------------------------------------

    @invariant()
    def the_store_is_as_it_should_be(self) -> None:
        *known, counts, due = self.run(self._looked())
        for state, messages in zip(MessageState, known, strict=True):
            assert {each.id for each in messages} == {id for id, each in self.kept.items() if each.state is state}
        self._check_counts(counts.get(QUEUE, Counts()))
        first = (each for each in self.kept.values() if each.group is None or self.first.get(each.group) is each)
        assert due == min((each.due for each in first if each.state is WAITING), default=None)

    async def _looked(self) -> list[Any]:
        queues = self.queues
        peeked = [queues.peek(QUEUE, state, 1000) for state in MessageState]
        return await asyncio.gather(*peeked, queues.counts(), queues.next_due(QUEUE))

    def _check_counts(self, counts: Counts) -> None:
        here = Counter(each.state for each in self.kept.values())
        for state in MessageState:
            assert getattr(counts, state) == here[state] + self.counts[state]
        assert (counts.accepted, counts.drift, counts.letters) == (self.counts["accepted"], 0, here[DEAD])

    @invariant()
    def of_a_group_one_runs_at_a_time(self) -> None:
        running = Counter(each.group for each in self.kept.values() if each.state is RUNNING and each.group)
        assert all(count == 1 for count in running.values())


async def _awaited(asked: Any) -> Any:
    return await asked

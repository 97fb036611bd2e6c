"""The rules of a queue, explored: real stores keep them over any interleaving, and one without epochs does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fnctl.store.port import Settlement, Store
from fnctl.store.sqlite import SqliteStore
from tests.contract.store.queue_rules import QueueRules

EXAMPLES = int(os.environ.get("TRIES", "20"))
EXPLORING = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(autouse=True)
def runner() -> Iterator[None]:
    with asyncio.Runner() as QueueRules.runner:
        yield


def test_whatever_happens_in_whichever_order_the_rules_hold() -> None:
    run_state_machine_as_test(QueueRules, settings=EXPLORING)


class WithoutEpochs:
    """The store's queues, but that a word counts whichever lease it is under."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store.queues, name)

    async def settle(self, words: Sequence[Settlement]) -> list[bool]:
        return await self._store.queues.settle([replace(word, epoch=await self._epoch(word.id)) for word in words])

    async def _epoch(self, id: str) -> int:
        row = await self._store._writer.run(
            lambda db: db.execute("SELECT epoch FROM messages WHERE id = ?", (id,)).fetchone()
        )
        return int(row[0]) if row else 0


class RulesWithoutEpochs(QueueRules):
    def opened(self) -> Store:
        store = super().opened()
        assert isinstance(store, SqliteStore)
        self.unguarded = WithoutEpochs(store)
        return store

    def __init__(self) -> None:
        super().__init__()
        self.queues = self.unguarded


def test_without_the_guard_of_epochs_they_do_not() -> None:
    often = settings(EXPLORING, max_examples=500, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError, match="stale word"):
        run_state_machine_as_test(RulesWithoutEpochs, settings=often)

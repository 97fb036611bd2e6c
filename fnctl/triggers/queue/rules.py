"""The named queues that there are: those of fnctl.yaml, and those that somebody made by the API of SQS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

from fnctl.config.problems import did_you_mean
from fnctl.errors import NotFound
from fnctl.model import Queue
from fnctl.store.port import Keys

_KEY = "queue/"


class NoQueue(NotFound):
    code = "no_queue"


class QueueRules:
    """On the event loop's thread. Where both know a queue, the file's rules hold."""

    def __init__(self, keys: Keys, declared: Callable[[], Iterable[Queue]]) -> None:
        """`declared`: those of the project's files, as they are now."""
        self._keys = keys
        self._declared = declared
        self._made: dict[str, Queue] = {}

    async def open(self, now: float) -> None:
        found = await self._keys.scan(_KEY, now, limit=100_000)
        self._made = {key.removeprefix(_KEY): Queue(**json.loads(value.data)) for key, value in found}

    def all(self) -> dict[str, Queue]:
        return {**self._made, **{queue.name: queue for queue in self._declared()}}

    @property
    def made(self) -> Mapping[str, Queue]:
        """Those that somebody made by the API."""
        return self._made

    def find(self, name: str) -> Queue | None:
        return self.all().get(name)

    def one(self, name: str) -> Queue:
        """Raises NoQueue."""
        known = self.all()
        if name not in known:
            hint = did_you_mean(name, known) if known else "declare it under `queues:`, or in a trigger"
            raise NoQueue(f"no queue named {name[:100]}", hint=hint)
        return known[name]

    def is_declared(self, name: str) -> bool:
        return any(queue.name == name for queue in self._declared())

    async def make(self, queue: Queue, now: float) -> None:
        """Or change one that was made before."""
        await self._keys.set(_KEY + queue.name, json.dumps(asdict(queue)).encode(), now)
        self._made[queue.name] = queue

    async def remove(self, name: str, now: float) -> None:
        await self._keys.delete(_KEY + name, now)
        self._made.pop(name, None)

"""What a run writes down: noted in memory, on disk before anything outside is touched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fnctl.clock import Clock
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.history import History
from fnctl.openworkflow.world import Log

MOST_BYTES = 1 << 20  # of one step's result


class Journal:
    """`flush` before each act. What was noted and not flushed is lost in a crash, and computed again to the same end:
    nothing outside has seen it."""

    def __init__(self, log: Log, history: History, clock: Clock) -> None:
        self.history = history
        self._log = log
        self._clock = clock
        self._pending: list[Mapping[str, Any]] = []
        self._writing = asyncio.Lock()

    def note(self, type: str, step: str | None = None, **said: Any) -> Mapping[str, Any]:
        entry: dict[str, Any] = {"type": type, "at": self._clock.now()}
        if step is not None:
            entry["step"] = step
        entry |= {key: value for key, value in said.items() if value is not None}
        self.history.fold(entry)
        self._pending.append(entry)
        return entry

    async def flush(self) -> None:
        """All that is noted by now is on disk when this returns. One write for all strands that ask meanwhile."""
        async with self._writing:
            if self._pending:
                batch, self._pending = self._pending, []
                await self._log.append(batch)


_LOOKED = 64  # parts of a value that are looked at, before it is measured
_PART = 1 << 12


def _small(value: Any) -> bool:
    """Whether a value is far below the bound, told by a look at a few parts: most are."""
    left, count = [value], 0
    while left:
        part = left.pop()
        count += 1
        if count > _LOOKED:
            return False
        if isinstance(part, str):
            if len(part) > _PART:
                return False
        elif isinstance(part, dict):
            if len(part) > _LOOKED or any(len(key) > _PART for key in part):
                return False
            left += part.values()
        elif isinstance(part, list):
            if len(part) > _LOOKED:
                return False
            left += part
    return True


def bounded(value: Any, what: str) -> Any:
    """The value. Raises Fault where it is too large to be kept."""
    if _small(value):
        return value
    size = len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    if size > MOST_BYTES:
        raise standard("runtime", f"{what} is too large: {size} bytes, of {MOST_BYTES}", status=413, title="Too Large")
    return value

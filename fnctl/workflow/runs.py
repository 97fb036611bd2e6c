"""The runs of a project: one row each in the store's keys, open ones apart from those that have ended.

A row is what is shown of a run without reading its log, and how the next `fnctl run` finds what is open. The log has
the last word: a row that was written, and a log that was not, is a run that never began.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from fnctl.errors import NotFound
from fnctl.store.port import Keys, Store, Write
from fnctl.workflow.log import log_of

_OPEN, _ENDED = "run/open/", "run/ended/"
MOST = 1_000_000


class Kind(enum.StrEnum):
    """What a run is a run of."""

    DURABLE = "durable"  # an execution of a durable function
    WORKFLOW = "workflow"  # of a definition in the Open Workflow Specification


@dataclass(frozen=True, slots=True)
class Row:
    """`state`: a word of the kind's own. `pinned`: digests that the run began with, by function's name."""

    id: str
    kind: Kind
    of: str  # the function or the definition
    name: str  # the run's own
    state: str
    started: float
    ended: float | None = None
    pinned: Mapping[str, str] | None = None


_FIELDS = tuple(each.name for each in fields(Row))


class Runs:
    """Rows by id. Ids sort by the time of their beginning."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def began(self, row: Row, now: float) -> None:
        """Before the log's first event."""
        await self._keys.set(_OPEN + row.id, _packed(row), now)

    def beginning(self, row: Row) -> tuple[Write, ...]:
        """What `began` writes, for the step in which the log's first event is written; of a run that had ended, too."""
        return Write(_OPEN + row.id, _packed(row)), Write(_ENDED + row.id, None)

    async def ended(self, row: Row, now: float, keep_s: float) -> None:
        """After the log's last event. The row is forgotten after `keep_s`."""
        await self._keys.set(_ENDED + row.id, _packed(row), now, expires=now + keep_s)
        await self._keys.delete(_OPEN + row.id, now)

    def ending(self, row: Row, now: float, keep_s: float) -> tuple[Write, ...]:
        """What `ended` writes, for the step in which the log's last event is written."""
        return Write(_ENDED + row.id, _packed(row), now + keep_s), Write(_OPEN + row.id, None)

    async def forget(self, id: str, now: float) -> None:
        await self._keys.delete(_OPEN + id, now)
        await self._keys.delete(_ENDED + id, now)

    async def find(self, id: str, now: float) -> Row:
        """Raises NotFound."""
        for prefix in (_OPEN, _ENDED):
            if (value := await self._keys.get(prefix + id, now)) is not None:
                return _unpacked(value.data)
        raise NotFound(f"no run has the id {id[:100]}", hint="`fnctl workflow ls` lists the runs")

    async def open_ones(self, kind: Kind, now: float) -> list[Row]:
        rows = (_unpacked(value.data) for _, value in await self._keys.scan(_OPEN, now, MOST))
        return [row for row in rows if row.kind is kind]

    async def all(self, now: float) -> list[Row]:
        """The newest first."""
        found = [*await self._keys.scan(_OPEN, now, MOST), *await self._keys.scan(_ENDED, now, MOST)]
        rows = {row.id: row for row in (_unpacked(value.data) for _, value in found)}  # one that ends now has two
        return sorted(rows.values(), key=lambda row: row.id, reverse=True)


async def tidy(store: Store, now: float) -> None:
    """Forget the runs that were kept for long enough, with their logs, and every key whose time is over.

    What a run has goes before its row: what a crash leaves of it is found, and dropped, the next time.
    """
    while keys := await store.keys.expired(now):
        ids = [key.removeprefix(_ENDED) for key in keys if key.startswith(_ENDED)]
        for id in ids:
            for key, _ in await store.keys.scan(child_of(id, "/"), now, MOST):
                await store.keys.delete(key, now)
        await store.logs.forget([log_of(id) for id in ids])
        await store.keys.purge(keys, now)


def child_of(id: str, step: str) -> str:
    """The key that has the id of the run which a step of this run began: it is begun once. Goes with the run."""
    return f"workflow/child/{id}{step}"


class Runner(Protocol):
    """One kind of runs, as `fnctl workflow` sees it. Each raises NotFound for a run that is not its own."""

    async def show(self, id: str) -> dict[str, Any]:
        """What is known of a run, as JSON; `steps`: one row each."""
        ...

    async def history(self, id: str, *, io: bool) -> list[dict[str, Any]]:
        """Its events in order, for people and `jq`; `io`: with what went in and out of each step."""
        ...

    async def cancel(self, id: str) -> None:
        """End it. Raises ConflictError where it has ended."""
        ...


def ended(row: Row, state: str, at: float) -> Row:
    return replace(row, state=state, ended=at)


def _packed(row: Row) -> bytes:
    said = {name: value for name in _FIELDS if (value := getattr(row, name)) is not None}
    return json.dumps(said).encode()


def _unpacked(data: bytes) -> Row:
    said = json.loads(data)
    return Row(**{**said, "kind": Kind(said["kind"])})

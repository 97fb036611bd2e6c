"""Runs the project's workflows: starts, suspends, resumes and ends their runs.

A run that waits for long takes no memory but an alarm: it is loaded from its log when its time has come.
Long for one file: what is in memory, parked and waited for changes together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fnctl.clock import Alarm, Clock
from fnctl.errors import ConflictError, FnctlError, TooLarge, UsageError
from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.drift import drift
from fnctl.openworkflow.fault import Fault, standard
from fnctl.openworkflow.history import History
from fnctl.openworkflow.journal import MOST_BYTES, bounded
from fnctl.openworkflow.run import Run
from fnctl.openworkflow.world import Awaited, Step, World
from fnctl.store.port import Stale, Store
from fnctl.tasks import Tasks
from fnctl.workflow import log
from fnctl.workflow.log import Tail
from fnctl.workflow.ows import rewinding
from fnctl.workflow.ows.shelf import Shelf, Shelved
from fnctl.workflow.runs import Kind, Row, Runs, child_of, ended

AGAIN_S = 1.0  # after the store failed
PARK_S = 30.0  # a run that waits longer leaves the memory
KEEP_S = 14 * 86_400.0  # runs that have ended, with their logs
_PARKED = "workflow/parked/"


class _Entries:
    """The log of one run (openworkflow/world.py: Log) on the store's. Its row is written with its first entry and its
    last one, in the same step."""

    def __init__(self, tail: Tail[None], clock: Clock, rows: Runs, row: Row) -> None:
        self._tail = tail
        self._clock = clock
        self._rows = rows
        self._row = row

    async def append(self, entries: Sequence[Any]) -> None:
        now, last = self._clock.now(), entries[-1]
        keys = self._rows.beginning(self._row) if entries[0]["type"] == "started" else ()
        if last["type"] == "ended":
            keys = self._rows.ending(ended(self._row, str(last["state"]), last["at"]), now, KEEP_S)
        await self._tail.say(*entries, at=now, keys=keys)


@dataclass(slots=True)
class _Live:
    """A run in memory."""

    row: Row
    run: Run
    task: asyncio.Task[None] | None = None
    parking: bool = False
    resting: asyncio.Future[None] | None = None

    async def rested(self) -> None:
        """Until all of its strands wait, or it is no longer in memory."""
        if not self.run.strands.idle and self.task is not None and not self.task.done():
            self.resting = self.resting or asyncio.get_running_loop().create_future()
            await asyncio.shield(self.resting)

    def rests(self) -> None:
        resting, self.resting = self.resting, None
        if resting is not None and not resting.done():
            resting.set_result(None)


@dataclass(slots=True)
class _Waiting:
    """Who waits for a run's end: steps of other runs, and callers."""

    steps: list[Awaited] = field(default_factory=list)
    callers: list[asyncio.Future[Mapping[str, Any]]] = field(default_factory=list)


class Flows:
    """open → begin → start … → close. On the event loop's thread; the caller holds the project's lock."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        world: World,
        shelf: Shelf,
        next_id: Callable[[float], str],
        digest: Callable[[str], str],
        tell: Callable[[str, str], None],
        on_end: Callable[[Row], object] | None = None,
    ) -> None:
        """`digest`: of a function's code as it is now. `tell`: a line for a workflow's log."""
        self.shelf = shelf
        self.clock = clock
        self._store = store
        self._world = world
        self._next_id = next_id
        self._digest = digest
        self._tell = tell
        self._on_end = on_end
        self.rows = Runs(store.keys)
        self._live: dict[str, _Live] = {}
        self._parked: dict[str, Alarm] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._tasks = Tasks()
        self._closed = False

    # -- life ------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Take up what an earlier `fnctl run` left open."""
        now = self.clock.now()
        parked = {
            key.removeprefix(_PARKED): float(value.data)
            for key, value in await self._store.keys.scan(_PARKED, now, 1_000_000)
        }
        for row in await self.rows.open_ones(Kind.WORKFLOW, now):
            due = parked.get(row.id)
            if due is not None and due > now:
                self._park_until(row, due)
            else:
                self._tasks.spawn(self._take_up(row))

    async def rest(self) -> None:
        """Until no run has anything to do now: what a virtual clock waits for."""
        busy: list[_Live] | None = None
        while self._tasks or busy is None or busy:
            await self._tasks.wait()
            busy = [each for each in self._live.values() if not each.run.strands.idle]
            for each in busy:
                await each.rested()

    async def close(self) -> None:
        """Leave every run where its log ends; the next `fnctl run` takes them up."""
        self._closed = True
        for alarm in self._parked.values():
            alarm.cancel()
        tasks = [each.task for each in self._live.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            for caller in waiting.callers:
                caller.cancel()
        await self._tasks.wait()

    def pinned(self, id: str, function: str) -> str:
        """The digest of this function's bundle that a run under way began with; "" where it wrote down none."""
        live = self._live.get(id)
        return (live.row.pinned or {}).get(function, "") if live is not None else ""

    def new_id(self) -> str:
        return self._next_id(self.clock.now())

    def say(self, workflow: str, text: str) -> None:
        self._tell(workflow, text)

    # -- beginning -------------------------------------------------------------------------------------------------

    async def start(self, name: str, input: Any, *, id: str | None = None, flush: bool = True, **said: Any) -> str:
        """Begin a run; its id, once it is on disk (`flush`), or as soon as it is on its way there.

        Raises NotFound, UsageError where the input is not what the definition asks for, TooLarge, StoreUnavailable.
        """
        shelved, now = self.shelf.found(name), self.clock.now()
        await self._check(shelved, input)
        digest = shelved.definition.digest
        pinned = {each: self._digest(each) for each in shelved.functions}
        row = Row(id or self._next_id(now), Kind.WORKFLOW, name, name, "running", now, pinned=pinned or None)
        await self.shelf.pin(shelved, now)
        live = self._made(row, shelved, History(), Tail(self._store.logs, row.id, None, _ignore))
        live.run.journal.note("started", input=input, definition=digest, name=name, **said)
        if flush:
            await live.run.journal.flush()
        self._drive(live)
        return row.id

    async def _check(self, shelved: Shelved, input: Any) -> None:
        try:
            bounded(input, "the input")
        except Fault:
            raise TooLarge(f"the input of {shelved.name} is larger than {MOST_BYTES} bytes") from None
        said = shelved.definition.data.get("input", {}).get("schema", {})
        if "document" in said:
            probe = Run("", shelved.definition, self._world, _Nowhere(), History(), shelved.expressions)
            try:
                await probe.schemas.check(said, input, "the input")
            except Fault as fault:
                raise UsageError(f"{shelved.name}: {fault.detail}", code="bad_input") from None

    async def wait(self, id: str) -> Mapping[str, Any]:
        """The last entry of a run that is under way or has ended. Raises NotFound."""
        row = await self.rows.find(id, self.clock.now())
        if row.ended is not None:
            entry = (await self._history(id)).ended
            assert entry is not None
            return entry
        told: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, _Waiting()).callers.append(told)
        return await told

    def waits(self, id: str) -> asyncio.Future[Mapping[str, Any]]:
        """The last entry of a run that was begun just now."""
        told: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, _Waiting()).callers.append(told)
        return told

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        """A run for a step of another: one, however often the step is attempted. Raises Fault."""
        shelved, now = self.shelf.identified(identity), self.clock.now()
        if shelved is None:
            raise standard("configuration", f"the project has no workflow {identity}", status=404)
        id, key = self._next_id(now), child_of(step.run, step.key)
        try:
            await self._store.keys.set(key, id.encode(), now, version=0)
        except Stale:
            known = await self._store.keys.get(key, now)
            assert known is not None
            id = known.data.decode()
        history = await self._history(id)
        if waits is not None and history.ended is None:
            self._waiting.setdefault(id, _Waiting()).steps.append(waits)
        if history.ended is not None:
            if waits is not None:
                _answer(waits, id, history.ended)
        elif history.started is None:
            try:
                await self.start(shelved.name, input, id=id, parent=step.run)
            except FnctlError as error:
                raise standard("validation", error.message) from None

    # -- running ---------------------------------------------------------------------------------------------------

    def _made(self, row: Row, shelved: Shelved, history: History, tail: Tail[None]) -> _Live:
        entries = _Entries(tail, self.clock, self.rows, row)
        run = Run(
            row.id,
            shelved.definition,
            self._world,
            entries,
            history,
            shelved.expressions,
            lambda: self._idle(row.id),
        )
        live = self._live[row.id] = _Live(row, run)
        return live

    def _drive(self, live: _Live) -> None:
        live.task = asyncio.ensure_future(self._through(live))
        live.task.add_done_callback(lambda _: live.rests())

    async def _through(self, live: _Live) -> None:
        id = live.row.id
        try:
            end = await live.run.execute()
        except asyncio.CancelledError:
            self._live.pop(id, None)
            raise
        except Exception as error:  # the store, or a fault of ours: its log is whole, and it is taken up from there
            self._live.pop(id, None)
            if not self._closed:
                self._tell(live.row.of, f"run {id} is taken up again in {AGAIN_S:g} s: {error!r}")
                self.clock.call_at(self.clock.now() + AGAIN_S, lambda: self._tasks.spawn(self._take_up(live.row)))
            return
        self._live.pop(id, None)
        self._told(id, end)
        if self._on_end is not None and not self._closed:
            self._on_end(ended(live.row, str(end["state"]), end["at"]))

    def _told(self, id: str, end: Mapping[str, Any]) -> None:
        waiting = self._waiting.pop(id, None)
        if waiting is not None:
            for step in waiting.steps:
                _answer(step, id, end)
            for caller in waiting.callers:
                if not caller.done():
                    caller.set_result(end)

    async def _take_up(self, row: Row, cancel: str | None = None) -> None:
        """From its log. A row without one is a run that never began."""
        if self._closed or row.id in self._live:
            return
        try:
            entries = await log.read(self._store.logs, row.id)
            if not entries:
                await self.rows.forget(row.id, self.clock.now())
                return
            history = History(entries)
            if (end := history.ended) is not None:  # written by a version that wrote the row after the log
                await self.rows.ended(ended(row, str(end["state"]), end["at"]), self.clock.now(), KEEP_S)
                self._told(row.id, end)
                return
            shelved = await self.shelf.pinned(history.definition(), self.clock.now())
        except FnctlError as error:
            self._tell(row.of, f"run {row.id} cannot be taken up: {error.message}")
            if error.http_status == 503 and not self._closed:
                self.clock.call_at(self.clock.now() + AGAIN_S, lambda: self._tasks.spawn(self._take_up(row, cancel)))
            return
        tail: Tail[None] = Tail(self._store.logs, row.id, None, _ignore, len(entries))
        live = self._made(row, shelved, history, tail)
        if cancel is not None:
            live.run.cancel(cancel)
        self._drive(live)

    # -- waiting for long ------------------------------------------------------------------------------------------

    def _idle(self, id: str) -> None:
        """All of its strands wait. Looked at on the loop's next turn, when they do so for certain."""
        asyncio.get_running_loop().call_soon(self._look, id)

    def _look(self, id: str) -> None:
        live = self._live.get(id)
        if live is not None and live.run.strands.idle:
            live.rests()
        if live is None or live.parking or self._closed or not live.run.strands.idle or not live.run.parkable:
            return
        due = min(live.run.due.values(), default=0.0)
        if due > self.clock.now() + PARK_S:
            live.parking = True
            self._tasks.spawn(self._park(live, due))

    async def _park(self, live: _Live, due: float) -> None:
        """Out of memory until then. Its log has all of it."""
        id, task = live.row.id, live.task
        with contextlib.suppress(FnctlError):  # without the note it is loaded once more than is needed
            await self._store.keys.set(_PARKED + id, repr(due).encode(), self.clock.now(), expires=due + KEEP_S)
        if self._closed or self._live.get(id) is not live or not live.run.strands.idle or task is None:
            live.parking = False
            return
        self._live.pop(id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._park_until(live.row, due)

    def _park_until(self, row: Row, due: float) -> None:
        def wake() -> None:
            self._parked.pop(row.id, None)
            self._tasks.spawn(self._take_up(row))

        self._parked[row.id] = self.clock.call_at(due, wake)

    @property
    def in_memory(self) -> int:
        return len(self._live)

    # -- events ----------------------------------------------------------------------------------------------------

    async def deliver(self, event: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(workflow, run) of those whose steps have consumed the event: it is on disk with them."""
        return [
            (live.row.of, id)
            for id, live in list(self._live.items())
            if live.run.listeners and await live.run.deliver(event)
        ]

    # -- for people ------------------------------------------------------------------------------------------------

    async def _history(self, id: str) -> History:
        live = self._live.get(id)
        return live.run.history if live is not None else History(await log.read(self._store.logs, id))

    async def known(self, id: str) -> tuple[Row, History, Shelved]:
        """Raises NotFound."""
        now = self.clock.now()
        row = await self.rows.find(id, now)
        history = await self._history(id)
        return row, history, await self.shelf.pinned(history.definition(), now)

    async def cancel(self, id: str) -> None:
        """End it; what was done is undone. Raises NotFound, and ConflictError where it has ended."""
        row = await self.rows.find(id, self.clock.now())
        if row.ended is not None:
            raise ConflictError(f"the run {id} has ended: {row.state}", code="ended")
        live = self._live.get(id)
        if live is not None:
            live.run.cancel("cancelled")
        else:
            alarm = self._parked.pop(id, None)
            if alarm is not None:
                alarm.cancel()
            await self._take_up(row, "cancelled")

    async def retry(self, id: str, step: str | None, *, latest: bool = False) -> str:
        """Let a run that failed go on from a step, which it names; by default from the one that failed.

        `latest`: with the definition that the project has now, where what was done fits it. Raises NotFound,
        UsageError, ConflictError.
        """
        row, history, _ = await self.known(id)
        if row.ended is None:
            raise ConflictError(
                f"the run {id} has not ended: {history.state()}", hint="`fnctl workflow cancel` ends it"
            )
        if step is None and row.state == "completed":
            raise ConflictError(f"the run {id} is completed", hint="--from STEP repeats a part of it")
        entry = rewinding.entry(history, step, self.clock.now())
        if latest:
            current = self.shelf.found(row.of)
            kept = History([*history.entries, entry])
            if wrong := drift(kept, current.definition):
                raise ConflictError(f"the definition of {row.of} does not fit the run {id}: {'; '.join(wrong)}")
            await self.shelf.pin(current, self.clock.now())
            entry["definition"] = current.definition.digest
        tail: Tail[None] = Tail(self._store.logs, id, None, _ignore, len(history.entries))
        again = replace(row, state="running", ended=None)
        now = self.clock.now()
        await tail.say(entry, at=now, keys=self.rows.beginning(again))
        await self._take_up(again)
        return str(entry["step"])

    async def against_running(self, shelf: Shelf, functions: frozenset[str]) -> list[dict[str, Any]]:
        """Each open run whose definition or functions are others now, and whether the new ones fit what it did."""
        told = []
        for row in await self.rows.open_ones(Kind.WORKFLOW, self.clock.now()):
            history = await self._history(row.id)
            if history.started is None:
                continue
            current, said = shelf.current(row.of), dict[str, Any]()
            if current is None:
                said["wrong"] = [f"the project has no workflow `{row.of}` any more"]
            elif current.definition.digest != history.definition():
                said["wrong"] = drift(history, current.definition)
                said["definition"] = "another"
            said["functions"] = [
                f"{name} is there no more" if name not in functions else f"{name} is another version"
                for name, pinned in (row.pinned or {}).items()
                if name not in functions or self._digest(name) != pinned
            ]
            if said.get("wrong") or said["functions"] or "definition" in said:
                told.append({"run": row.id, "workflow": row.of, "state": history.state(), "wrong": [], **said})
        return told


class _Nowhere:
    async def append(self, entries: Any) -> None:
        raise AssertionError("nothing is written here")


def _ignore(state: None, event: Mapping[str, Any]) -> None:
    """The state is the run's own history."""


def _answer(waits: Awaited, id: str, end: Mapping[str, Any]) -> None:
    if end["state"] == "completed":
        waits.wake(end.get("output"))
    else:
        error = end.get("error") or {}
        detail = f"the run {id} was {end['state']}" + (
            f": {error.get('detail') or error.get('title')}" if error else ""
        )
        waits.fail(standard("runtime", detail, status=int(error.get("status", 500))))

"""When workflows begin by themselves: at times, so long after they have ended, and on events.

A run for one time or event is begun once, however often a run of fnctl ends in between: its id is noted beside.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fnctl import schedule
from fnctl.clock import Alarm, Clock
from fnctl.errors import FnctlError
from fnctl.model import TimerTrigger
from fnctl.openworkflow.consumption import Strategy
from fnctl.openworkflow.duration import seconds
from fnctl.openworkflow.expression import Expressions
from fnctl.openworkflow.frame import Frame, Place
from fnctl.store.port import Keys, Stale
from fnctl.tasks import Tasks
from fnctl.workflow.ows.runner import Flows
from fnctl.workflow.ows.shelf import Shelved
from fnctl.workflow.runs import Row

AGAIN_S = 1.0
_LAST, _AFTER, _ONCE, _HELD = ("workflow/last/", "workflow/after/", "workflow/once/", "workflow/held/")
_ONCE_S = 14 * 86_400.0


class Schedules:
    """refresh … → close. On the event loop's thread."""

    def __init__(self, flows: Flows, keys: Keys, clock: Clock) -> None:
        self._flows = flows
        self._keys = keys
        self._clock = clock
        self._alarms: dict[str, tuple[str, Alarm]] = {}  # by workflow: for which schedule, and when
        self._next: dict[str, float] = {}
        self._tasks = Tasks()

    async def refresh(self) -> None:
        """The workflows have changed. What stays as it is goes on."""
        wanted = {each.name: each for each in self._flows.shelf.all() if each.definition.schedule}
        for name, (word, alarm) in list(self._alarms.items()):
            if name not in wanted or _word(wanted[name]) != word:
                alarm.cancel()
                self._alarms.pop(name)
                self._next.pop(name, None)
        for name, shelved in wanted.items():
            if name not in self._alarms:
                await self._arm(shelved)

    def __bool__(self) -> bool:
        return bool(self._tasks)

    async def rest(self) -> None:
        while self._tasks:
            await self._tasks.wait()

    async def close(self) -> None:
        for _, alarm in self._alarms.values():
            alarm.cancel()
        await self._tasks.cancel()

    def next_times(self) -> Iterable[tuple[str, float]]:
        return self._next.items()

    # -- by time ---------------------------------------------------------------------------------------------------

    async def _arm(self, shelved: Shelved) -> None:
        now, said = self._clock.now(), shelved.definition.schedule
        if "after" in said:
            known = await self._keys.get(_AFTER + shelved.name, now)
            self._ring_at(shelved, float(known.data) if known is not None else now)
            return
        timer = _timer(said)
        if timer is None:
            return
        key = f"{_LAST}{shelved.name}/{_word(shelved)}"
        known = await self._keys.get(key, now)
        if known is None:
            await self._keys.set(key, repr(now).encode(), now)
        due = _next(timer, float(known.data) if known is not None else now)
        if due is not None and due <= now:  # missed while nothing ran: once for all of them
            self._ring_at(shelved, now)
        elif due is not None:
            self._ring_at(shelved, due)

    def _ring_at(self, shelved: Shelved, due: float) -> None:
        alarm = self._clock.call_at(due, lambda: self._tasks.spawn(self._fire(shelved, due)))
        self._alarms[shelved.name] = (_word(shelved), alarm)
        self._next[shelved.name] = due

    async def _fire(self, shelved: Shelved, due: float) -> None:
        name, said = shelved.name, shelved.definition.schedule
        await self._begin(shelved, {}, f"{due:.3f}")
        timer = _timer(said)
        if timer is not None:
            with contextlib.suppress(FnctlError):
                await self._keys.set(f"{_LAST}{name}/{_word(shelved)}", repr(due).encode(), due)
            following = _next(timer, max(due, self._clock.now()))
            if following is not None and self._flows.shelf.current(name) is shelved:
                self._ring_at(shelved, following)

    def ended(self, row: Row) -> None:
        """A run has come to its end: `after` counts from here."""
        shelved = self._flows.shelf.current(row.of)
        if shelved is None or "after" not in shelved.definition.schedule or row.ended is None:
            return
        due = row.ended + seconds(shelved.definition.schedule["after"])
        self._tasks.spawn(self._after(shelved, due))

    async def _after(self, shelved: Shelved, due: float) -> None:
        with contextlib.suppress(FnctlError):
            await self._keys.set(_AFTER + shelved.name, repr(due).encode(), self._clock.now())
        self._ring_at(shelved, due)

    # -- by events -------------------------------------------------------------------------------------------------

    async def deliver(self, event: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(workflow, run) for each that the event begins; it is on disk then."""
        begun = []
        for shelved in self._flows.shelf.all():
            said = shelved.definition.schedule.get("on")
            if said is not None and (events := await self._gathered(shelved, said, event)) is not None:
                word = f"{event.get('source')} {event.get('id')}"
                id = await self._begin(shelved, events, word)
                begun += [(shelved.name, id)] if id else []
        return begun

    async def _gathered(self, shelved: Shelved, said: Mapping[str, Any], event: Mapping[str, Any]) -> list[Any] | None:
        """The events that a run begins with, where this one makes them whole."""
        strategy = _strategy(shelved, said)
        if "all" not in said:
            return [event] if strategy.takes(event) else None
        now, key = self._clock.now(), f"{_HELD}{shelved.name}/{_word(shelved)}"
        known = await self._keys.get(key, now)
        held: list[Any] = json.loads(known.data) if known is not None else []
        for each in held:
            strategy.takes(each)
        if not strategy.takes(event):
            return None
        held.append(event)
        if strategy.complete:
            await self._keys.delete(key, now)
            return held
        await self._keys.set(key, json.dumps(held).encode(), now)
        return None

    # -- beginning -------------------------------------------------------------------------------------------------

    async def _begin(self, shelved: Shelved, input: Any, word: str) -> str | None:
        """The run's id; None where it was begun before. Tries until the store takes it."""
        key = f"{_ONCE}{shelved.name}/{hashlib.sha256(word.encode()).hexdigest()[:32]}"
        while True:
            now = self._clock.now()
            try:
                id = self._flows.new_id()
                await self._keys.set(key, id.encode(), now, version=0, expires=now + _ONCE_S)
                return await self._flows.start(shelved.name, input, id=id, trigger="schedule")
            except Stale:
                return None
            except FnctlError as error:
                self._flows.say(shelved.name, f"the run for {word} could not start: {error.message}")
                if error.http_status != 503:
                    return None
                await asyncio.sleep(AGAIN_S)


def _timer(said: Mapping[str, Any]) -> TimerTrigger | None:
    if "cron" in said:
        return TimerTrigger(cron=said["cron"])
    if "every" in said:
        return TimerTrigger(every_s=max(seconds(said["every"]), 0.001))
    return None


def _next(timer: TimerTrigger, after: float) -> float | None:
    return next(schedule.occurrences(timer, after), None)


def _word(shelved: Shelved) -> str:
    """Changes with the schedule, so that a new one does not make up for an old one's."""
    text = json.dumps(shelved.definition.schedule, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _strategy(shelved: Shelved, said: Mapping[str, Any]) -> Strategy:
    """Filters of a schedule see the event and nothing of a run."""
    return Strategy(_Alone(shelved.expressions), Frame(Place("", "", ""), "", {}, None, None), said)


class _Alone:
    """Expressions without a run's variables."""

    def __init__(self, expressions: Expressions) -> None:
        self._expressions = expressions

    def evaluate(self, text: str, data: Any, place: Place, frame: Frame | None = None) -> Any:
        return self._expressions.evaluate(text, data, {})

    def filled(self, value: Any, data: Any, place: Place, frame: Frame | None = None) -> Any:
        return self._expressions.filled(value, data, {})

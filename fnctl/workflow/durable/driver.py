"""What happens to executions: invoked, asleep until something is due, invoked again, ended. All on their logs first.

An execution that waits is a few words in memory (`Held`) and a row in the clock's heap: no instance, no state. Its log
is read again when it is its turn.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Versions
from fnctl.errors import FnctlError
from fnctl.model import Function
from fnctl.store.port import Stale, Store, StoreUnavailable
from fnctl.tasks import Tasks
from fnctl.triggers.http.call import Answer, Call, CallRequest
from fnctl.workflow.durable import invocation as one
from fnctl.workflow.durable.execution import RUNNING, Execution, apply
from fnctl.workflow.durable.held import Held, Lines
from fnctl.workflow.log import Event, Tail, log_of, packed
from fnctl.workflow.runs import Kind, Row, Runs, ended

AGAIN_S = 1.0  # after the store failed
MOST_FAILURES = 10  # invocations that fail one after the other, with nothing written between them
MOST_IDLE = 3  # of these, those that wait for nothing
BACKOFF_MAX_S = 60.0
_WAKES = frozenset({"wait", "retry"})
Ended = Callable[[Execution], Coroutine[Any, Any, None]]


class Driver:
    """take_up, advance … → close. On the event loop's thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
    ) -> None:
        self.store = store
        self.clock = clock
        self.invocations = invocations
        self.functions = functions
        self.versions: Versions | None = None  # serve executions that began before the current one
        self.held: dict[str, Held] = {}
        self.runs = Runs(store.keys)
        self.tasks = Tasks()
        self.closed = False
        self._waking: list[tuple[Held, list[tuple[float, str, str]]]] = []
        self.lines = Lines(self._function, lambda held, function: self.tasks.spawn(self._one(held, function)))
        self.ended: Ended | None = None  # hears of the end of an execution that another one waits for

    async def _lost(self, held: Held) -> None:
        """Its invocation was under way when the process, or what was held of it, ended: nobody hears of that one."""
        tail = await self.awake(held)
        if held.call is None and tail.state.opened is not None:
            now, request = self.clock.now(), tail.state.opened.request
            error = {"ErrorType": "Runtime.Interrupted", "ErrorMessage": "fnctl ended during this invocation"}
            await tail.say({"e": "returned", "at": now, "request": request, "error": error, "again": now}, at=now)
        self.advance(held)

    def advance(self, held: Held) -> None:
        """What is next for an execution whose state is in memory: an invocation, or sleep until something is due."""
        tail = held.tail
        if tail is None or held.ready or held.call is not None or self.closed or held.id not in self.held:
            return
        if tail.broken is not None:
            self._drop(held)
            return
        state, now = tail.state, self.clock.now()
        if state.opened is not None:
            self.tasks.spawn(self.guarded(held, self._lost(held)))
            return
        if due := self.due(state, now):
            tail.say(*due, at=now)
        if state.expires <= now:
            self.tasks.spawn(self.guarded(held, self.finish(held, "TIMED_OUT", error=_timed_out(state))))
        elif state.news or not state.invocations or (state.again is not None and state.again <= now):
            self.lines.join(held)
        else:
            self.tasks.spawn(self._sleep(held))

    def due(self, state: Execution, now: float) -> list[Event]:
        """The events for what is due by now."""
        timers = [timer for timer in state.timers() if timer[0] <= now]
        return _events(timers, now)

    async def _sleep(self, held: Held) -> None:
        """Let go of the state once all of it is on disk, if nothing happened meanwhile."""
        tail = held.tail
        if tail is None:
            return
        await tail.settled()
        if tail.broken is not None:
            self._drop(held)
        elif held.tail is tail and not tail and not held.ready and held.call is None and not tail.state.news:
            held.length, held.timers, held.tail = tail.length, tuple(tail.state.timers()), None
            self._arm(held)

    def _arm(self, held: Held) -> None:
        held.quiet()
        if held.timers and not self.closed:
            held.alarm = self.clock.call_at(held.timers[0][0], lambda: self._ring(held))

    def _ring(self, held: Held) -> None:
        held.alarm = None
        if self.closed or held.id not in self.held:
            return
        now = self.clock.now()
        due = [timer for timer in held.timers if timer[0] <= now]
        if held.tail is not None or any(what == "expires" for _, what, _ in due):
            self.tasks.spawn(self.guarded(held, self._looked_at(held)))
        else:
            self._waking.append((held, due))
            if len(self._waking) == 1:
                self.tasks.spawn(self._wake_all())

    async def _wake_all(self) -> None:
        """All whose time has come at one moment are woken before the first of them is invoked: ten thousand together
        take a second then, and not the time that their invocations do."""
        await asyncio.sleep(0)
        waking, self._waking = self._waking, []
        now = self.clock.now()
        await asyncio.gather(*(self.guarded(held, self._wake(held, due, now)) for held, due in waking))
        for held, _ in waking:
            if held.ready:
                self.lines.join(held)

    async def _wake(self, held: Held, due: Sequence[tuple[float, str, str]], now: float) -> None:
        """What is due goes on the log without reading it; that is done when it is its turn to be invoked."""
        events = [packed(event) for event in _events(due, now)]
        held.ready = True
        if events:
            try:
                held.length = await self.store.logs.append(log_of(held.id), held.length, events, now)
            except FnctlError:
                held.ready = False
                raise

    async def _looked_at(self, held: Held) -> None:
        await self.awake(held)
        if held.call is not None and held.tail is not None and held.tail.state.expires <= self.clock.now():
            held.call.cancel("timeout")
        self.advance(held)

    async def awake(self, held: Held) -> Tail[Execution]:
        if held.tail is None:
            tail = await Tail.load(self.store.logs, held.id, Execution(held.id), apply)
            if held.tail is None:  # nobody else was faster
                held.tail = tail
        return held.tail

    async def _one(self, held: Held, function: Function) -> None:
        try:
            await self.guarded(held, self._invoke(held, function))
        finally:
            held.call = None
            self.lines.served(held)
        self.advance(held)

    async def guarded(self, held: Held, work: Coroutine[Any, Any, None]) -> None:
        """The store failed, or somebody else writes this run: let go of what is in memory, and look again soon."""
        try:
            await work
        except (StoreUnavailable, Stale):
            self._drop(held)

    def _drop(self, held: Held) -> None:
        held.tail = None
        held.quiet()
        if not self.closed and held.id in self.held:
            held.alarm = self.clock.call_at(self.clock.now() + AGAIN_S, lambda: self._again(held))

    def _again(self, held: Held) -> None:
        held.alarm = None
        if not self.closed and held.id in self.held:
            self.tasks.spawn(self.guarded(held, self._looked_at(held)))

    async def _invoke(self, held: Held, function: Function) -> None:
        tail = await self.awake(held)
        now = self.clock.now()
        if tail.state.expires <= now or tail.state.ended:
            return
        request = self.invocations.next_id(now)
        event: Event = {"e": "invoked", "at": now, "request": request, "token": secrets.token_hex(16)}
        news = list(tail.state.news)
        await tail.say(event, at=now)
        outcome = one.outcome(
            await self.called(
                held, function, one.request_of(tail.state, function.name, news), request, tail.state.pinned
            )
        )
        if held.id in self.held and not tail.state.ended:
            await self._returned(held, tail, outcome, request)

    def _function(self, name: str) -> Function | None:
        """As it is now, else as the last version had it that executions still belong to."""
        found = self.functions().get(name)
        return self.versions.left(name) if found is None and self.versions is not None else found

    async def called(
        self, held: Held | None, function: Function, request: CallRequest, id: str, digest: str = ""
    ) -> Answer:
        """`digest`: of the bundle that serves it, where a version has that; "": the current version's."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        tell = answer.set_result
        pinned = await self.versions.of(function.name, digest) if self.versions is not None else None
        at, site = self.clock.now(), pinned.site if pinned is not None else None
        function = pinned.function if pinned is not None else function
        call = Call(self.invocations, function, request, tell, id=id, at=at, keep=one.KEPT_BYTES, site=site)
        if held is not None:
            held.call = call
        call.start()
        return await answer

    async def _returned(self, held: Held, tail: Tail[Execution], outcome: one.Outcome, request: str) -> None:
        state, now = tail.state, self.clock.now()
        event: Event = {"e": "returned", "at": now, "request": request}
        if state.status != RUNNING:  # it has said its end at a checkpoint
            await self._end(held, state.status, state.result, state.error, first=event)
        elif outcome.status in ("SUCCEEDED", "FAILED"):
            await self._end(held, outcome.status, outcome.result, outcome.error, first=event)
        elif self.closed and not outcome.counts:
            return  # the next process sees that it was cut off
        elif not outcome.status:
            await self._failed(held, tail, outcome, event)
        elif state.news or state.held or state.awaits():
            tail.say(event, at=now)
        else:
            nothing = {"ErrorType": "Runtime.NothingPending", "ErrorMessage": "the handler waits, and for nothing"}
            await self._failed(held, tail, one.Outcome("", error=nothing), event, MOST_IDLE)

    async def _failed(
        self, held: Held, tail: Tail[Execution], outcome: one.Outcome, event: Event, most: int = MOST_FAILURES
    ) -> None:
        """The invocation failed itself: another one later, and after so many the end."""
        now, failures = event["at"], tail.state.failures + outcome.counts
        event["error"] = outcome.error
        if not outcome.counts:
            event["reached"] = False
        if outcome.counts and failures >= most:
            await self._end(held, "FAILED", None, outcome.error, first=event)
            return
        event["again"] = now + min(BACKOFF_MAX_S, 2.0 ** min(failures, 10) / 2)
        tail.say(event, at=now)

    async def finish(self, held: Held, status: str, *, error: Any) -> None:
        """From outside: its invocation, if there is one, is cut off."""
        await self.awake(held)
        await self._end(held, status, None, error)
        if held.call is not None:
            held.call.cancel("stopped")

    async def _end(self, held: Held, status: str, result: str | None, error: Any, first: Event | None = None) -> None:
        tail, now = held.tail, self.clock.now()
        assert tail is not None
        if tail.state.ended:
            return
        event: Event = {"e": "ended", "at": now, "status": status}
        event |= {key: value for key, value in (("result", result), ("error", error)) if value is not None}
        await tail.say(*([first] if first is not None else []), event, at=now)
        self.held.pop(held.id, None)
        held.quiet()
        held.answer(tail.state)
        await self.over(tail.state)

    async def over(self, state: Execution) -> None:
        """Its row, and whoever has invoked it."""
        now = self.clock.now()
        row = Row(state.id, Kind.DURABLE, state.function, state.name, RUNNING, state.began)
        assert state.over is not None
        await self.runs.ended(ended(row, state.status, state.over), now, state.keep_s)
        if state.parent is not None and self.ended is not None:
            await self.ended(state)


def _events(timers: Iterable[tuple[float, str, str]], now: float) -> list[Event]:
    timers = list(timers)
    events: list[Event] = []
    if woken := [id for _, what, id in timers if what in _WAKES]:
        events.append({"e": "woke", "at": now, "ids": woken})
    late: dict[str, str] = {}
    for _, what, id in timers:
        if what in ("timeout", "heartbeat"):
            late.setdefault(id, "Callback.Timeout" if what == "timeout" else "Callback.Heartbeat")
    for id, kind in late.items():
        error = {"ErrorType": kind, "ErrorMessage": "the callback did not come in time"}
        events.append({"e": "called_back", "at": now, "id": id, "status": "TIMED_OUT", "error": error})
    return events


def _timed_out(state: Execution) -> dict[str, str]:
    return {"ErrorType": "Execution.TimedOut", "ErrorMessage": f"did not end within {state.timeout_s:g} s"}

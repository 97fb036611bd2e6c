"""One run of a definition: from its log to its end. What each kind of task does is in `kinds/`.

The log is replayed, not interpreted: a completed step is not entered again, its output is taken from the log. So a run
that was killed at any moment goes on where its log ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from fnctl.openworkflow import kinds
from fnctl.openworkflow.definition import Definition
from fnctl.openworkflow.duration import seconds
from fnctl.openworkflow.expression import Expressions, true
from fnctl.openworkflow.fault import Fault, standard
from fnctl.openworkflow.frame import Frame, Place
from fnctl.openworkflow.history import History
from fnctl.openworkflow.journal import Journal, bounded
from fnctl.openworkflow.schemas import Schemas
from fnctl.openworkflow.strands import Strands, Waiter
from fnctl.openworkflow.validation import kind_of
from fnctl.openworkflow.variables import Variables
from fnctl.openworkflow.world import Log, Step, World

T = TypeVar("T")
ROOT = Place("", "", "")


class Listener(Protocol):
    """A step that waits for events."""

    def wants(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What is written down where the event is consumed; None where it is not for this step."""
        ...

    def take(self, entry: Mapping[str, Any]) -> None: ...


class Ended(Exception):
    """`then: end`: the run is to end now, with this output."""

    def __init__(self, output: Any) -> None:
        super().__init__("end")
        self.output = output


class Run:
    """`execute` brings it to its end. On one event loop's thread; one Run for a log at a time."""

    def __init__(
        self,
        id: str,
        definition: Definition,
        world: World,
        log: Log,
        history: History,
        expressions: Expressions | None = None,
        on_idle: Callable[[], None] = lambda: None,
    ) -> None:
        """`history`: of this log, with its `started`. `expressions`: those of the definition, where they are known."""
        self.id = id
        self.definition = definition
        self.world = world
        self.history = history
        self.journal = Journal(log, history, world.clock)
        self.strands = Strands(on_idle)
        self.listeners: dict[str, Listener] = {}
        self.due: dict[str, float] = {}  # until when steps wait
        self.children: set[str] = set()  # steps that wait for other runs
        self.schemas = Schemas(self)
        self._expressions = expressions or Expressions()
        self._cause: Mapping[str, Any] | None = None
        self._body: asyncio.Task[Any] | None = None

    # -- the whole -------------------------------------------------------------------------------------------------

    async def execute(self) -> Mapping[str, Any]:
        """The entry of its end. Raises what the log raises: then it is not at its end."""
        if self.history.ended is not None:
            return self.history.ended
        if self.history.unwinding is not None:
            return await self._unwind(self.history.unwinding)
        if self._cause is not None:
            return await self._give_up(self._cause)
        self._body = asyncio.ensure_future(self._through())
        try:
            output = await self._body
        except Fault as fault:
            return await self._give_up({"state": "faulted", "error": fault.to_json()})
        except asyncio.CancelledError:
            if self._cause is None or (current := asyncio.current_task()) is None or current.cancelling():
                self._body.cancel()
                await asyncio.gather(self._body, return_exceptions=True)
                raise
            return await self._give_up(self._cause)
        return await self._end({"state": "completed", "output": output})

    def cancel(self, reason: str = "cancelled") -> None:
        """End it now; what was done is undone. Nothing, where it is at its end already. Also before `execute`."""
        if self._body is None:
            self._cause = {"state": "cancelled", "reason": reason}
        elif not self._body.done():
            self._cause = {"state": "cancelled", "reason": reason}
            self._body.cancel()

    async def _through(self) -> Any:
        started = self.history.started
        assert started is not None
        data = self.definition.data
        raw = started.get("input")
        limit = self.limit_s(data.get("timeout"), raw)
        due = None if limit is None else started["at"] + limit
        return await self.within(
            due, lambda: self._from_input(raw), f"the run took longer than {limit:g} s" if limit else ""
        )

    async def _from_input(self, raw: Any) -> Any:
        said, data = self.definition.data.get("input", {}), raw
        await self.schemas.check(said.get("schema"), data, "the input of the workflow")
        if "from" in said:
            data = self.transformed(said["from"], data, ROOT)
        try:
            output, _ = await self.sequence(ROOT.below("do"), self.definition.tasks, data)
        except Ended as end:
            output = end.output
        said = self.definition.data.get("output", {})
        if "as" in said:
            output = self.transformed(said["as"], output, ROOT)
        await self.schemas.check(said.get("schema"), output, "the output of the workflow")
        return bounded(output, "the output of the workflow")

    async def _end(self, how: Mapping[str, Any]) -> Mapping[str, Any]:
        entry = self.journal.note("ended", **how)
        await self.journal.flush()
        return entry

    # -- undoing ---------------------------------------------------------------------------------------------------

    async def _give_up(self, how: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.history.undoable():
            return await self._end(how)
        entry = self.journal.note("unwinding", how=how)
        await self.journal.flush()
        return await self._unwind(entry)

    async def _unwind(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        """Undo what was done, the last first. What cannot be undone is told at the end, the rest is undone still."""
        how, left = dict(entry["how"]), []
        for done in self.history.undoable():
            undone = self.history.undone.get(done["step"])
            if undone is None:
                undone = await self._undo(done)
            if "error" in undone:
                left.append({"step": done["ref"], "error": undone["error"]})
        if left:
            how["not_undone"] = left
        return await self._end(how)

    async def _undo(self, done: Mapping[str, Any]) -> Mapping[str, Any]:
        undo = done["undo"]
        place = Place(done["ref"], done["step"], "", undo.get("variables", {}), True).below("compensate")
        error = None
        try:
            await self.sequence(place, undo["tasks"], done["output"])
        except Ended:
            pass
        except Fault as fault:
            error = fault.to_json()
        return self.journal.note("undone", done["step"], error=error)

    # -- tasks -----------------------------------------------------------------------------------------------------

    async def sequence(self, place: Place, tasks: list[Mapping[str, Any]], data: Any) -> tuple[Any, str]:
        """Tasks one after the other, as their directives lead: what the last gave, and `exit` or `continue`.

        Raises Fault, and Ended where one says `end`."""
        names = [name for item in tasks for name in item]
        visits: dict[int, int] = {}
        index = 0
        while index < len(tasks):
            name, task = names[index], tasks[index][names[index]]
            visit = visits.get(index, 0)
            visits[index] = visit + 1
            data, then = await self.task(place.task(index, name, visit), task, data)
            if then == "continue":
                index += 1
            elif then == "exit":
                return data, "exit"
            elif then == "end":
                raise Ended(data)
            else:
                index = names.index(then)
        return data, "continue"

    async def task(self, place: Place, task: Mapping[str, Any], raw: Any) -> tuple[Any, str]:
        """Its output, and where it leads. From the log, where that knows."""
        history = self.history
        if (done := history.completed.get(place.key)) is not None:
            return done.get("output"), done.get("then", "continue")
        if place.key in history.skipped:
            return raw, "continue"
        if (failed := history.failed.get(place.key)) is not None:
            raise Fault.from_json(failed["error"])
        try:
            return await self._fresh(place, task, raw)
        except Fault as fault:
            fault.instance = fault.instance or place.ref
            self.journal.note("failed", place.key, ref=place.ref, error=fault.to_json())
            raise

    async def _fresh(self, place: Place, task: Mapping[str, Any], raw: Any) -> tuple[Any, str]:
        frame = Frame(place, kind_of(task) or "", task, raw, raw)
        first = self.history.begun.get(place.key)
        if first is not None:
            frame.input = first.get("input")
        elif "if" in task and not true(self.evaluate(task["if"], raw, place)):
            self.journal.note("skipped", place.key, ref=place.ref)
            return raw, "continue"
        else:
            said = task.get("input", {})
            await self.schemas.check(said.get("schema"), raw, f"the input of {place.ref}")
            if "from" in said:
                frame.input = self.transformed(said["from"], raw, place, frame)
        self._begin(frame)
        then, injected = task.get("then", "continue"), None
        if not place.plain:
            injected = await kinds.before(self, frame)
        if injected is not None:
            frame.output = injected[0]
        else:
            limit = self.limit_s(task.get("timeout"), frame.input, place, frame)
            due = None if limit is None else frame.begun + limit
            late = f"{place.ref} took longer than {limit:g} s" if limit is not None else ""
            result = await self.within(due, lambda: kinds.perform(self, frame), late)
            frame.output, then = result if frame.kind == "switch" else (result, then)
        return await self._finish(frame, then)

    def _begin(self, frame: Frame) -> None:
        """Acts are attempted again after a crash; what is only made of other steps goes on."""
        place = frame.place
        first = self.history.begun.get(place.key)
        frame.attempt = self.history.attempts.get(place.key, 0) + 1
        if first is not None and frame.kind not in kinds.ACTS:
            frame.begun = first["at"]
            return
        entry = self.journal.note(
            "begun", place.key, ref=place.ref, kind=frame.kind, attempt=frame.attempt, input=frame.input
        )
        frame.begun = entry["at"]

    async def _finish(self, frame: Frame, then: str) -> tuple[Any, str]:
        task, place = frame.task, frame.place
        said, output = task.get("output", {}), frame.output
        if "as" in said:
            output = self.transformed(said["as"], output, place, frame)
        await self.schemas.check(said.get("schema"), output, f"the output of {place.ref}")
        bounded(output, f"the output of {place.ref}")
        more: dict[str, Any] = {}
        if "export" in task:
            more["context"] = await self._exported(task["export"], output, frame)
        if "compensate" in task:
            more["undo"] = {"tasks": task["compensate"], "variables": dict(place.variables)}
        self.journal.note("completed", place.key, ref=place.ref, then=then, **{"output": output, **more})
        if not place.plain:
            await kinds.after(self, frame)
        return output, then

    async def _exported(self, said: Mapping[str, Any], output: Any, frame: Frame) -> Any:
        context = self.history.context
        if "as" in said:
            shown = Frame(frame.place, frame.kind, frame.task, frame.raw, frame.input, begun=frame.begun, output=output)
            context = self.transformed(said["as"], output, frame.place, shown)
        await self.schemas.check(said.get("schema"), context, f"the context exported by {frame.place.ref}")
        return bounded(context, "the context")

    @property
    def parkable(self) -> bool:
        """Whether nothing but the time can bring it on."""
        return not self.listeners and not self.children

    # -- for the kinds ---------------------------------------------------------------------------------------------

    def decided(self, key: str, compute: Callable[[], Any]) -> Any:
        """What was found out once, and holds from then on: the context may be another when the log is replayed."""
        if key not in self.history.decided:
            self.journal.note("decided", key, value=compute())
        return self.history.decided[key]

    def step(self, frame: Frame) -> Step:
        return Step(self.id, frame.place.key, frame.attempt)

    def waiter(self) -> Waiter:
        return Waiter(self.strands)

    async def until(self, key: str, due: float) -> None:
        """Sleep until then, by the clock of the world."""
        waiter = self.waiter()
        alarm = self.world.clock.call_at(due, waiter.wake)
        self.due[key] = due
        try:
            await waiter.told()
        finally:
            alarm.cancel()
            self.due.pop(key, None)

    async def within(self, due: float | None, work: Callable[[], Awaitable[T]], late: str) -> T:
        """The work's result. Raises Fault (timeout) where it is not there when it is due; the work is cut off then."""
        if due is None:
            return await work()
        task = asyncio.ensure_future(work())
        over = False

        def ring() -> None:
            nonlocal over
            if not task.done():
                over = True
                self.strands.more(1)  # busy until what is cut off has come to its end
                task.cancel()

        alarm = self.world.clock.call_at(due, ring)
        self.due[f"timeout {id(task)}"] = due
        try:
            return await task
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if over and not _asked_to_end():
                raise standard("timeout", late) from None
            raise
        finally:
            if over:
                self.strands.count -= 1
            alarm.cancel()
            self.due.pop(f"timeout {id(task)}", None)

    async def deliver(self, event: Mapping[str, Any]) -> bool:
        """Whether a step of this run has consumed the event: it is on disk then."""
        taken = []
        for key, listener in list(self.listeners.items()):
            said = None if self._knows(key, event) else listener.wants(event)
            if said is not None:
                taken.append((listener, self.journal.note("event", key, event=event, **said)))
        if taken:
            await self.journal.flush()
        for listener, entry in taken:
            listener.take(entry)
        return bool(taken)

    def _knows(self, key: str, event: Mapping[str, Any]) -> bool:
        """Whether the step has consumed it before: published twice, it is one event."""
        word = (event.get("source"), event.get("id"))
        return any((e["event"].get("source"), e["event"].get("id")) == word for e in self.history.events.get(key, ()))

    # -- expressions -----------------------------------------------------------------------------------------------

    def evaluate(self, text: str, data: Any, place: Place, frame: Frame | None = None, **more: Any) -> Any:
        """Raises Fault."""
        return self._expressions.evaluate(text, data, Variables(self, place, frame, more))

    def filled(self, value: Any, data: Any, place: Place, frame: Frame | None = None, **more: Any) -> Any:
        return self._expressions.filled(value, data, Variables(self, place, frame, more))

    def transformed(self, said: Any, data: Any, place: Place, frame: Frame | None = None, **more: Any) -> Any:
        return self._expressions.transformed(said, data, Variables(self, place, frame, more))

    def seconds(self, said: Any, data: Any, place: Place = ROOT, frame: Frame | None = None) -> float:
        """A duration, which can be an expression. Raises Fault."""
        try:
            return seconds(self.filled(said, data, place, frame))
        except ValueError as error:
            raise standard("configuration", str(error)) from None

    def limit_s(self, said: Any, data: Any, place: Place = ROOT, frame: Frame | None = None) -> float | None:
        """Of a `timeout`, inline or by its name."""
        if isinstance(said, str):
            said = self.definition.used("timeouts", said)
        return None if said is None else self.seconds(said["after"], data, place, frame)


def _asked_to_end() -> bool:
    """Whether the strand itself was cancelled, and not only the work that it waited for."""
    current = asyncio.current_task()
    return current is not None and current.cancelling() > 0

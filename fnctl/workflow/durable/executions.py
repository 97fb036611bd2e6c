"""The durable executions of a run of fnctl: begun, written by their handlers, looked up, called back, stopped.

All state is in their logs: another process would make of them what this one does.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Versions
from fnctl.errors import ConflictError, FnctlError, Forbidden, NotFound
from fnctl.model import Function
from fnctl.store.port import Stale, Store
from fnctl.triggers.http.call import Answer
from fnctl.workflow.durable import arn as names
from fnctl.workflow.durable import invocation as one
from fnctl.workflow.durable.checkpoint_rules import Invalid, InvalidToken, check
from fnctl.workflow.durable.driver import Driver
from fnctl.workflow.durable.execution import RUNNING, Execution, apply
from fnctl.workflow.durable.held import Held
from fnctl.workflow.durable.others import Others
from fnctl.workflow.log import Event, Tail
from fnctl.workflow.runs import Kind, Row


class Executions:
    """open → start … → close. On the event loop's thread; the caller holds the project's lock."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        digest: Callable[[str], str] = lambda function: "",
    ) -> None:
        """`digest`: of the bundle that a function runs now."""
        self._driver = Driver(store, clock, invocations, functions)
        self._others = Others(self._driver, self.start, self.find)
        self._digest = digest
        self._releasing = False

    def pin(self, versions: Versions) -> None:
        """These serve executions that began before the current version. Before `open`."""
        self._driver.versions = versions

    async def open(self) -> None:
        """Take up what an earlier process left open."""
        for row in await self._driver.runs.open_ones(Kind.DURABLE, self._driver.clock.now()):
            await self._take_up(row)

    async def _take_up(self, row: Row) -> None:
        tail = await Tail.load(self._driver.store.logs, row.id, Execution(row.id), apply)
        state = tail.state
        if not state.status:  # its row was written, and then the process ended
            await self._driver.runs.forget(row.id, self._driver.clock.now())
        elif state.ended:
            await self._driver.over(state)
        else:
            held = self._driver.held[row.id] = Held(row.id, state.function, tail)
            self._others.invoke(held)
            self._driver.advance(held)

    def refresh(self) -> None:
        """The functions have changed."""
        self._driver.lines.refresh()

    async def close(self, cut: bool = False) -> None:
        """Begin nothing more; wait for what runs, or cut it off: it is taken up by the next process."""
        self._driver.closed = self._driver.lines.closed = True
        for held in list(self._driver.held.values()):
            held.quiet()
            if cut and held.call is not None:
                held.call.cancel("stopped")
        self.release()
        await self.rest()

    def release(self) -> None:
        """Tell those who wait for the end of an execution that fnctl stops: it can last a month."""
        self._releasing = True
        for held in self._driver.held.values():
            held.turn_away(_stopping())

    async def rest(self) -> None:
        """Until nothing is under way, and nothing can begin: what a virtual clock waits for."""
        while self._driver.tasks:
            await self._driver.tasks.wait()

    @property
    def awake(self) -> int:
        """Executions whose state is in memory."""
        return sum(held.tail is not None for held in self._driver.held.values())

    def __len__(self) -> int:
        """Executions that have not ended."""
        return len(self._driver.held)

    async def start(
        self,
        function: Function,
        input: str | None,
        *,
        name: str | None = None,
        id: str | None = None,
        parent: tuple[str, str] | None = None,
        tenant: str | None = None,
    ) -> str:
        """The ARN of an execution that is on disk. `name` or `id` of one that was begun before: it is that one.

        Raises ConflictError where one of this name has another input, and StoreUnavailable.
        """
        rule = function.durable
        assert rule is not None
        now = self._driver.clock.now()
        id = id or self._driver.invocations.next_id(now)
        if name is not None:
            id = await self._named(function.name, name, id, now)
        if (known := await self._known(id)) is not None:
            if name is not None and known.input != input:
                raise ConflictError(
                    f"an execution of {function.name} named {name} was started with another input",
                    code="already_started",
                )
            return known.arn
        name = name or id
        arn = names.execution_arn(function.name, name, id)
        pinned = self._digest(function.name)
        row = Row(id, Kind.DURABLE, function.name, name, RUNNING, now, pinned={function.name: pinned})
        began: Event = {"e": "began", "at": now, "function": function.name, "name": name, "arn": arn, "input": input}
        began |= {"timeout": rule.timeout_s, "keep": rule.keep_s, "pinned": pinned}
        began |= {key: value for key, value in (("parent", parent), ("tenant", tenant)) if value is not None}
        await self._driver.runs.began(row, now)
        held = Held(id, function.name, Tail(self._driver.store.logs, id, Execution(id), apply))
        self._driver.held[id] = held
        assert held.tail is not None
        try:
            await held.tail.say(began, at=now)
        except FnctlError:
            del self._driver.held[id]
            raise
        self._driver.advance(held)
        return arn

    async def _named(self, function: str, name: str, id: str, now: float) -> str:
        """The id of the execution of this name: the first one's."""
        key = f"durable/name/{function}/{name}"
        try:
            await self._driver.store.keys.set(key, id.encode(), now, version=0)
            return id
        except Stale:
            found = await self._driver.store.keys.get(key, now)
            return found.data.decode() if found is not None else id

    async def _known(self, id: str) -> Execution | None:
        """As it is on disk."""
        held = self._driver.held.get(id)
        tail = held.tail if held is not None else None
        if tail is not None:
            await tail.settled()
            if tail.broken is None:
                return tail.state
        state = (await Tail.load(self._driver.store.logs, id, Execution(id), apply)).state
        return state if state.status else None

    async def result(self, arn: str) -> Execution:
        """The execution at its end. Raises what `find` does, and ConflictError where fnctl stops first."""
        id = names.run_of(arn)
        held = self._driver.held.get(id)
        if held is None:
            return await self.find(arn)
        if self._releasing:
            raise _stopping()
        waiter: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        held.waiters.append(waiter)
        return await waiter

    async def find(self, arn: str) -> Execution:
        """The execution as it is on disk. Raises NotFound."""
        state = await self._known(names.run_of(arn))
        if state is None:
            raise NotFound(f"no durable execution has the ARN {arn[:200]}")
        return state

    async def by_id(self, id: str) -> Execution:
        """The same, by the run's id."""
        state = await self._known(id)
        if state is None:
            raise NotFound(f"no durable execution has the id {id[:100]}", hint="`fnctl workflow ls` lists the runs")
        return state

    async def rows(self) -> list[Row]:
        """The newest first."""
        return await self._driver.runs.all(self._driver.clock.now())

    async def stop(self, arn: str, error: Any = None) -> float:
        """End an execution that has not ended; when that was."""
        state = await self.find(arn)
        held = self._driver.held.get(state.id)
        if held is None or state.ended:
            assert state.over is not None
            return state.over
        await self._driver.finish(held, "STOPPED", error=error or {"ErrorMessage": "stopped"})
        return (await self.find(arn)).over or self._driver.clock.now()

    async def checkpoint(
        self, arn: str, token: str, updates: Sequence[Mapping[str, Any]], client: str | None, instance: str | None
    ) -> dict[str, Any]:
        """Write, and learn what is new; on disk when it returns. Raises Invalid and Forbidden.

        `instance`: where the handler runs; None: whoever asks is the user of this service.
        """
        held, tail = self._writing(arn, instance)
        state = tail.state
        last = state.recorded
        if last is not None and client is not None and (last.used, last.client) == (token, client):
            await tail.settled()
            return self._checkpointed(state, last.told)
        if not token or token != state.token:
            raise InvalidToken
        check(state, updates)
        now = self._driver.clock.now()
        last_one = bool(updates) and updates[-1]["Type"] == "EXECUTION"
        event: Event = {"e": "checkpointed", "at": now, "used": token, "client": client, "updates": list(updates)}
        event["given"] = self._given(held, updates, now)
        if not last_one:
            event["token"] = secrets.token_hex(16)
        due = self._driver.due(state, now)
        written = tail.say(*due, event, at=now)
        assert state.recorded is not None
        answer = self._checkpointed(state, state.recorded.told)
        await written
        self._others.invoke(held)
        return answer

    def _checkpointed(self, state: Execution, ids: list[str]) -> dict[str, Any]:
        said: dict[str, Any] = {"NewExecutionState": one.told(state, ids)}
        if state.token is not None:
            said["CheckpointToken"] = state.token
        return said

    def _given(self, held: Held, updates: Sequence[Mapping[str, Any]], now: float) -> dict[str, str]:
        """What the service makes for operations that begin: the ids of callbacks, the ARNs of children."""
        given: dict[str, str] = {}
        for update in updates:
            if update["Type"] == "CALLBACK":
                given[update["Id"]] = held.id + secrets.token_hex(16)
            elif update["Type"] == "CHAINED_INVOKE":
                function = self._driver.functions().get(
                    names.function_of(update["ChainedInvokeOptions"]["FunctionName"])
                )
                if function is not None and function.durable is not None:
                    id = self._driver.invocations.next_id(now)
                    given[update["Id"]] = names.execution_arn(function.name, id, id)
        return given

    async def operations(
        self, arn: str, token: str, marker: str, limit: int, instance: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """A page of the operations, times in milliseconds. Raises as `checkpoint` does."""
        _, tail = self._writing(arn, instance)
        if not token or token != tail.state.token:
            raise InvalidToken
        if marker and not re.fullmatch(r"[0-9]{1,9}", marker):
            raise Invalid(f"no page begins at {marker[:40]!r}")
        await tail.settled()
        return one.page(tail.state, int(marker or 0), max(1, min(limit, one.PAGE_ITEMS)))

    def _writing(self, arn: str, instance: str | None) -> tuple[Held, Tail[Execution]]:
        held = self._driver.held.get(names.run_of(arn))
        if held is None or held.tail is None or held.tail.broken is not None:
            raise InvalidToken
        here = held.call.instance if held.call is not None else None
        if instance is not None and here != instance:
            if here is None:
                raise InvalidToken
            raise Forbidden(
                "this instance does not run that execution", hint="a handler can only write its own execution"
            )
        return held, held.tail

    async def call_back(self, callback: str, status: str, result: str | None = None, error: Any = None) -> None:
        """SUCCEEDED, FAILED or HEARTBEAT. On disk when it returns. Raises NotFound, ConflictError if it has ended."""
        held = self._driver.held.get(callback[:26])
        tail = await self._driver.awake(held) if held is not None else None
        id = tail.state.callback(callback) if tail is not None else None
        if held is None or tail is None or id is None:
            raise NotFound(f"no execution waits for the callback {callback[:100]}")
        was = tail.state.operations[id]["Status"]
        if was != "STARTED":
            raise ConflictError(
                f"the callback has ended: {was}", code="callback_timeout" if was == "TIMED_OUT" else None
            )
        now = self._driver.clock.now()
        event: Event = {"e": "called_back", "at": now, "id": id, "status": status}
        event |= {key: value for key, value in (("result", result), ("error", error)) if value is not None}
        await tail.say(event, at=now)
        self._driver.advance(held)

    async def call(self, function: Function, payload: str, tenant: str | None = None) -> Answer:
        """Call a function that is not durable, once."""
        return await self._others.call(function, payload, tenant)


def _stopping() -> FnctlError:
    return ConflictError(
        "fnctl is stopping; the execution continues with the next `fnctl run`", code="stopping", retry_after_s=1
    )

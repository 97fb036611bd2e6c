"""Functions that executions invoke: begun once, and their ends written to who waits for them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from fnctl.model import Function
from fnctl.triggers.http.call import Answer
from fnctl.triggers.http.permission import may
from fnctl.triggers.queue.outcome import NOT_BEGUN
from fnctl.workflow.durable import arn as names
from fnctl.workflow.durable import invocation as one
from fnctl.workflow.durable.driver import Driver
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.durable.held import Held
from fnctl.workflow.log import Event

LOOK_S = 1.0  # for a function that is gone, and was there


class Start(Protocol):
    def __call__(
        self,
        function: Function,
        input: str | None,
        *,
        id: str | None = None,
        parent: tuple[str, str] | None = None,
        tenant: str | None = None,
    ) -> Awaitable[str]: ...


class Find(Protocol):
    def __call__(self, arn: str) -> Awaitable[Execution]: ...


class Others:
    """A durable one is begun under an id that stands in the log, so that it is begun once. Another is called at least
    once: again, where the process ended before its answer was on disk."""

    def __init__(self, driver: Driver, start: Start, find: Find) -> None:
        self._driver = driver
        self._start = start
        self._find = find
        self._begun: set[tuple[str, str]] = set()  # (run, operation) of what is under way
        driver.ended = self._child_ended

    async def _child_ended(self, child: Execution) -> None:
        assert child.parent is not None
        await self._answer(*child.parent, child.status, child.result, child.error)

    async def call(self, function: Function, payload: str, tenant: str | None = None) -> Answer:
        """Call a function that is not durable, once."""
        request = one.request(function.name, payload, tenant)
        return await self._driver.called(
            None, function, request, self._driver.invocations.next_id(self._driver.clock.now())
        )

    def invoke(self, held: Held) -> None:
        """Begin what was asked for and is not under way; for a child of the same id, nothing is begun twice."""
        tail = held.tail
        if tail is None or self._driver.closed:
            return
        answered = {event["id"] for event in tail.state.held}
        for id, asked in tail.state.invokes.items():
            if (held.id, id) not in self._begun and id not in answered:
                self._begun.add((held.id, id))
                self._driver.tasks.spawn(self._guarded(held, tail.state, id, asked))

    async def _guarded(self, held: Held, state: Execution, id: str, asked: Mapping[str, Any]) -> None:
        try:
            await self._driver.guarded(held, self._invoke(held, state, id, asked))
        finally:
            if state.children.get(id) is None:
                self._begun.discard((held.id, id))

    async def _invoke(self, held: Held, state: Execution, id: str, asked: Mapping[str, Any]) -> None:
        target = names.function_of(asked["FunctionName"])
        caller, function = self._driver.functions().get(state.function), self._driver.functions().get(target)
        if function is None and id in state.children:  # it was there when this was written
            again = self._driver.clock.now() + LOOK_S
            self._driver.clock.call_at(again, lambda: self._again(held, state, id, asked))
        elif function is None:
            error = {"ErrorType": "ResourceNotFoundException", "ErrorMessage": f"Function not found: {target}"}
            await self._answer(held.id, id, "FAILED", None, error)
        elif not may(caller, target):
            said = f"{state.function} may not call {target}"
            error = {"ErrorType": "AccessDeniedException", "ErrorMessage": said}
            await self._answer(held.id, id, "FAILED", None, error)
        elif function.durable is not None and id in state.children:
            child = names.run_of(state.children[id])
            arn = await self._start(
                function, asked.get("Payload"), id=child, parent=(held.id, id), tenant=asked.get("TenantId")
            )
            ended_before = await self._find(arn)
            if ended_before.ended:
                await self._driver.over(ended_before)
        else:
            answer = await self.call(function, asked.get("Payload") or "null", asked.get("TenantId"))
            if not (self._driver.closed and answer.error is not None and answer.error.code in NOT_BEGUN):
                await self._answer(held.id, id, *one.plain_outcome(answer))

    def _again(self, held: Held, state: Execution, id: str, asked: Mapping[str, Any]) -> None:
        if not self._driver.closed and held.id in self._driver.held:
            self._driver.tasks.spawn(self._guarded(held, state, id, asked))

    async def _answer(self, run: str, id: str, status: str, result: str | None, error: Any) -> None:
        held = self._driver.held.get(run)
        if held is None:
            return
        tail = await self._driver.awake(held)
        if id not in tail.state.invokes or any(each["id"] == id for each in tail.state.held):
            return
        now = self._driver.clock.now()
        event: Event = {"e": "answered", "at": now, "id": id, "status": status}
        event |= {key: value for key, value in (("result", result), ("error", error)) if value is not None}
        await tail.say(event, at=now)
        self._begun.discard((run, id))
        self._driver.advance(held)

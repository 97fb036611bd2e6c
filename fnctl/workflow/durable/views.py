"""Executions as `fnctl workflow` shows them: a run with its steps, its history a line an event. Not what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.errors import ConflictError, UsageError
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.durable.executions import Executions
from fnctl.workflow.durable.history import without_data
from fnctl.workflow.durable.operations import Operation

_KINDS = {"CONTEXT": "context", "STEP": "step", "WAIT": "wait", "CALLBACK": "callback", "CHAINED_INVOKE": "invoke"}
_OWN = frozenset({"EventId", "EventType", "EventTimestamp", "Name", "Id", "ParentId", "SubType"})


class Views:
    """A `Runner` (workflow/runs.py)."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def show(self, id: str) -> dict[str, Any]:
        state = await self._executions.by_id(id)
        said: dict[str, Any] = {
            "workflow": state.function,
            "id": state.id,
            "name": state.name,
            "arn": state.arn,
            "state": state.status.lower() if state.ended else _running(state),
            "started": state.began,
            "functions": {state.function: state.pinned},
            "invocations": state.invocations,
            "steps": [_step(each) for each in state.operations.values() if each["Type"] != "EXECUTION"],
        }
        optional = {"ended": state.over, "input": state.input}
        if state.ended:
            optional |= {"output": state.result, "error": state.error}
        elif timers := state.timers():
            optional["due"] = timers[0][0]
        return said | {key: value for key, value in optional.items() if value is not None}

    async def history(self, id: str, *, io: bool) -> list[dict[str, Any]]:
        state = await self._executions.by_id(id)
        return [_entry(each if io else without_data(each), io=io) for each in state.history]

    async def cancel(self, id: str) -> None:
        state = await self._executions.by_id(id)
        if state.ended:
            raise ConflictError(f"the execution {id} has ended: {state.status}", code="ended")
        await self._executions.stop(state.arn, {"ErrorMessage": "cancelled"})

    async def graph(self, id: str) -> dict[str, str]:
        await self._executions.by_id(id)
        raise UsageError(f"{id} is an execution of a durable function", hint=f"`fnctl workflow history {id}` shows it")


def _running(state: Execution) -> str:
    return "running" if state.opened is not None else "waiting"


def _step(operation: Operation) -> dict[str, Any]:
    kind = _KINDS.get(operation["Type"], operation["Type"].lower())
    end = operation.get("EndTimestamp")
    return {
        "name": operation.get("Name") or operation.get("SubType") or kind,
        "kind": kind,
        "state": operation["Status"].lower(),
        "attempts": max(1, operation.get("StepDetails", {}).get("Attempt", 1)),
        "began": operation["StartTimestamp"] / 1000,
        "ended": None if end is None else end / 1000,
    }


def _entry(event: Mapping[str, Any], *, io: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"number": event["EventId"], "type": event["EventType"], "at": event["EventTimestamp"]}
    if name := event.get("Name") or event.get("SubType"):
        said["step"] = name
    details: dict[str, Any] = next((value for key, value in event.items() if key not in _OWN), {})
    return said | {key: value for key, value in details.items() if io or value != {"Truncated": True}}

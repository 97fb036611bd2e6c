"""The operations of an execution, as its SDK sees them: JSON objects of AWS's API, times in milliseconds. Pure.

Source: the `Operation` and `OperationUpdate` shapes of the API's model (botocore, service lambda), and what the SDKs do
with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Operation = dict[str, Any]
Update = Mapping[str, Any]

ENDS = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "TIMED_OUT", "STOPPED"})
_DETAILS = {
    "CONTEXT": "ContextDetails",
    "STEP": "StepDetails",
    "CALLBACK": "CallbackDetails",
    "CHAINED_INVOKE": "ChainedInvokeDetails",
}
_STATUS = {"START": "STARTED", "SUCCEED": "SUCCEEDED", "FAIL": "FAILED", "RETRY": "PENDING", "CANCEL": "CANCELLED"}


def execution_operation(id: str, name: str, input: str | None, at: int) -> Operation:
    """The first of all: the execution itself."""
    details = {} if input is None else {"InputPayload": input}
    return {
        "Id": id,
        "Name": name,
        "Type": "EXECUTION",
        "StartTimestamp": at,
        "Status": "STARTED",
        "ExecutionDetails": details,
    }


def updated(before: Operation | None, update: Update, at: int, given: str | None) -> Operation:
    """The operation after an update. `given`: what the service makes for it: a callback's id."""
    kind, action = str(update["Type"]), str(update["Action"])
    after: Operation = {"Id": update["Id"], "Type": kind, "StartTimestamp": at, **(before or {})}
    after |= {key: update[key] for key in ("ParentId", "Name", "SubType") if update.get(key) is not None}
    after["Status"] = _STATUS[action]
    if after["Status"] in ENDS:
        after["EndTimestamp"] = at
    if kind == "STEP":
        after["StepDetails"] = _step(before, update, at)
    elif kind == "WAIT" and action == "START":
        seconds = (update.get("WaitOptions") or {}).get("WaitSeconds", 1)
        after["WaitDetails"] = {"ScheduledEndTimestamp": at + int(seconds) * 1000}
    elif kind == "CALLBACK":
        after["CallbackDetails"] = {"CallbackId": given}
    elif kind == "CONTEXT":
        after["ContextDetails"] = _outcome(update)
        if (update.get("ContextOptions") or {}).get("ReplayChildren"):
            after["ContextDetails"]["ReplayChildren"] = True
    elif kind == "CHAINED_INVOKE":
        after["ChainedInvokeDetails"] = {}
    return after


def _step(before: Operation | None, update: Update, at: int) -> dict[str, Any]:
    action = update["Action"]
    attempts = (before or {}).get("StepDetails", {}).get("Attempt", 0)
    details = {"Attempt": attempts if action == "START" else attempts + 1, **_outcome(update)}
    if action == "START" and before is not None:
        # what a condition's last check has said is the state of the next
        details = {**before.get("StepDetails", {}), **details}
        details.pop("NextAttemptTimestamp", None)
    if action == "RETRY":
        delay = (update.get("StepOptions") or {}).get("NextAttemptDelaySeconds", 0)
        details["NextAttemptTimestamp"] = at + int(delay) * 1000
    return details


def _outcome(update: Update) -> dict[str, Any]:
    said = {"Result": update.get("Payload"), "Error": update.get("Error")}
    return {key: value for key, value in said.items() if value is not None}


def settled(before: Operation, status: str, at: int, result: str | None = None, error: Any = None) -> Operation:
    """The operation at its end, where the service says so: a wait, a callback, an invoke of another function."""
    after = {**before, "Status": status, "EndTimestamp": at}
    key = _DETAILS.get(before["Type"])
    if key is not None:
        more = {"Result": result, "Error": error}
        after[key] = {**before.get(key, {}), **{name: value for name, value in more.items() if value is not None}}
    return after


def ready(before: Operation) -> Operation:
    """A step whose next attempt is due."""
    return {**before, "Status": "READY"}


def in_seconds(operation: Operation) -> Operation:
    """As the API answers it; the handler's event has milliseconds."""
    said = {**operation}
    for key in ("StartTimestamp", "EndTimestamp"):
        if key in said:
            said[key] /= 1000
    for key, time in (("StepDetails", "NextAttemptTimestamp"), ("WaitDetails", "ScheduledEndTimestamp")):
        if time in said.get(key, {}):
            said[key] = {**said[key], time: said[key][time] / 1000}
    return said

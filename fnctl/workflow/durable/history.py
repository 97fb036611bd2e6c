"""The history of an execution: one event of AWS's API each. Pure; what its fields are is the API's model (botocore)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fnctl.workflow.durable.operations import Operation, Update

Event = dict[str, Any]
_WORDS = {
    "CONTEXT": "Context",
    "STEP": "Step",
    "WAIT": "Wait",
    "CALLBACK": "Callback",
    "CHAINED_INVOKE": "ChainedInvoke",
    "EXECUTION": "Execution",
}
_ENDS = {
    "SUCCEEDED": "Succeeded",
    "FAILED": "Failed",
    "CANCELLED": "Cancelled",
    "TIMED_OUT": "TimedOut",
    "STOPPED": "Stopped",
}


def event(kind: str, at: int, details: Mapping[str, Any], of: Operation | None = None) -> Event:
    """`of`: the operation that it is about, whose names it repeats. Its number comes with its place."""
    said: Event = {"EventType": kind, "EventTimestamp": at / 1000}
    if of is not None:
        said |= {key: of[key] for key in ("SubType", "Id", "Name", "ParentId") if key in of}
    said[f"{kind}Details"] = dict(details)
    return said


def result(payload: str | None) -> dict[str, Any]:
    return {"Result": {"Truncated": False} if payload is None else {"Payload": payload, "Truncated": False}}


def failure(error: Any) -> dict[str, Any]:
    return {"Error": {"Payload": error or {}, "Truncated": False}}


def started(operation: Operation, update: Update, child: str | None, at: int) -> Event:
    """`child`: the ARN of the execution that a chained invoke has begun, if it is one."""
    kind = operation["Type"]
    details: dict[str, Any] = {}
    if kind == "WAIT":
        until = operation["WaitDetails"]["ScheduledEndTimestamp"]
        details = {
            "Duration": (until - operation["StartTimestamp"]) // 1000,
            "ScheduledEndTimestamp": until / 1000,
        }
    elif kind == "CALLBACK":
        options = update.get("CallbackOptions") or {}
        details = {"CallbackId": operation["CallbackDetails"]["CallbackId"]}
        for key, name in (("HeartbeatTimeoutSeconds", "HeartbeatTimeout"), ("TimeoutSeconds", "Timeout")):
            if options.get(key):
                details[name] = options[key]
    elif kind == "CHAINED_INVOKE":
        options = update.get("ChainedInvokeOptions") or {}
        details = {"FunctionName": options.get("FunctionName", ""), "ExecutedVersion": "$LATEST"}
        details["Input"] = {"Payload": update.get("Payload") or "", "Truncated": False}
        if child is not None:
            details["DurableExecutionArn"] = child
        if options.get("TenantId"):
            details["TenantId"] = options["TenantId"]
    return event(f"{_WORDS[kind]}Started", at, details, operation)


def retried(operation: Operation, update: Update, at: int) -> Event:
    """A step that is tried again: it failed, or (a condition that does not hold yet) has said its state."""
    delay = (update.get("StepOptions") or {}).get("NextAttemptDelaySeconds", 0)
    again = {"CurrentAttempt": operation["StepDetails"]["Attempt"], "NextAttemptDelaySeconds": delay}
    if update.get("Error") is not None:
        return event("StepFailed", at, {**failure(update["Error"]), "RetryDetails": again}, operation)
    return event("StepSucceeded", at, {**result(update.get("Payload")), "RetryDetails": again}, operation)


def ended(operation: Operation, at: int) -> Event:
    """The end of an operation, by whomever."""
    kind, status = operation["Type"], operation["Status"]
    word = f"{_WORDS[kind]}{_ENDS[status]}"
    if kind == "WAIT":
        duration = (operation["WaitDetails"]["ScheduledEndTimestamp"] - operation["StartTimestamp"]) // 1000
        return event(word, at, {"Duration": duration} if status == "SUCCEEDED" else {}, operation)
    said: dict[str, Any] = next((value for key, value in operation.items() if key.endswith("Details")), {})
    details = result(said.get("Result")) if status == "SUCCEEDED" else failure(said.get("Error"))
    if kind == "STEP":
        details["RetryDetails"] = {"CurrentAttempt": said.get("Attempt", 1)}
    return event(word, at, details, operation)


def without_data(said: Event) -> Event:
    """With payloads left out, where they were not asked for."""
    kind = said["EventType"]
    details = {**said[f"{kind}Details"]}
    for key in ("Input", "Result", "Error"):
        if key in details:
            details[key] = {"Truncated": True}
    return {**said, f"{kind}Details": details}

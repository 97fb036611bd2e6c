"""One invocation of a durable function: what its handler is given, and what its answer means. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fnctl.triggers.http.call import Answer, CallRequest
from fnctl.triggers.queue.outcome import NOT_BEGUN
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.durable.operations import Operation, in_seconds

PAGE_BYTES = 5 << 20
PAGE_ITEMS = 1000
KEPT_BYTES = 7 << 20  # of an answer: AWS's own bound is 6 MiB
# What the platform calls the ends of an invocation that no handler has told.
_TYPES = {"crash": "Runtime.ExitError", "oom": "Runtime.OutOfMemory", "timeout": "Sandbox.Timedout"}


def request_of(state: Execution, function: str, news: list[str]) -> CallRequest:
    """`news`: the operations that changed since the invocation before, by others than its handler."""
    operations, marker = page(state, 0, PAGE_ITEMS)
    event = {
        "DurableExecutionArn": state.arn,
        "CheckpointToken": state.token,
        "InitialExecutionState": {"Operations": operations, "NextMarker": marker or ""},
        "UpdatedOperationIds": news,
    }
    return request(function, json.dumps(event, ensure_ascii=False), state.tenant)


def request(function: str, payload: str, tenant: str | None = None) -> CallRequest:
    """Lambda's Invoke, as its agent knows it."""
    # Node's server answers a request without a host itself, with 400.
    headers = f"Host: {function}.localhost\r\nContent-Type: application/json\r\n".encode()
    if tenant is not None:
        headers += f"X-Amz-Tenant-Id: {tenant}\r\n".encode("latin-1", "replace")
    target = f"/2015-03-31/functions/{function}/invocations".encode()
    return CallRequest(b"POST", target, headers, payload.encode("utf-8", "surrogatepass"))


def page(state: Execution, start: int, limit: int) -> tuple[list[Operation], str | None]:
    """Operations from `start` on, times in milliseconds, and the marker of the page after them."""
    operations = list(state.operations.values())[start : start + limit]
    size, fit = 0, 0
    for operation in operations:
        size += _size(operation)
        if fit and size > PAGE_BYTES:
            break
        fit += 1
    more = start + fit < len(state.operations)
    return operations[:fit], str(start + fit) if more else None


def _size(operation: Operation) -> int:
    """About; a payload is the most of it."""
    size = 400
    for value in operation.values():
        if isinstance(value, dict):
            size += sum(len(each) for each in value.values() if isinstance(each, str))
    return size


def told(state: Execution, ids: list[str]) -> dict[str, Any]:
    """`NewExecutionState` of a checkpoint's answer. Too much for one: all are asked for by pages, from the first on."""
    changed = [state.operations[id] for id in ids if id in state.operations]
    if sum(map(_size, changed)) > PAGE_BYTES:
        return {"Operations": [], "NextMarker": "0"}
    return {"Operations": [in_seconds(each) for each in changed]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the handler's answer means. `status`: SUCCEEDED, FAILED, PENDING; "" where the invocation failed itself.

    `counts`: whether the failure does; it does not where the function was never reached."""

    status: str
    result: str | None = None
    error: Any = None
    counts: bool = True


def outcome(answer: Answer) -> Outcome:
    if answer.error is not None:
        error = {"ErrorMessage": answer.error.message, "ErrorType": _TYPES.get(answer.error.code, answer.error.code)}
        return Outcome("", error=error, counts=answer.error.code not in NOT_BEGUN)
    said = _object(answer)
    status = said.get("Status") if said is not None else None
    if status not in ("SUCCEEDED", "FAILED", "PENDING"):
        what = "no status" if said is not None else f"status {answer.status}, and no JSON object"
        return Outcome(
            "", error={"ErrorType": "Runtime.InvalidResponse", "ErrorMessage": f"the handler answered {what}"}
        )
    assert said is not None
    return Outcome(status, said.get("Result"), said.get("Error"))


def _object(answer: Answer) -> dict[str, Any] | None:
    if answer.status != 200 or answer.cut:
        return None
    try:
        said = json.loads(answer.body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def plain_outcome(answer: Answer) -> tuple[str, str | None, Any]:
    """(status, result, error) of a function that is not durable."""
    if answer.error is not None:
        error = {"ErrorMessage": answer.error.message, "ErrorType": _TYPES.get(answer.error.code, answer.error.code)}
        return "FAILED", None, error
    text = answer.body.decode("utf-8", "replace")
    if answer.status >= 400 or answer.cut:
        return "FAILED", None, {"ErrorMessage": text[:1000], "ErrorType": f"Status{answer.status}"}
    return "SUCCEEDED", text, None

"""What a handler is allowed to write at a checkpoint. Pure; the rules are those of AWS's own service.

An operation that the log knows under another name or type is told by both: the code is no longer that which began.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fnctl.errors import UsageError
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.durable.operations import Operation

UPDATES = 1000
PAYLOAD_BYTES = 1 << 20
RESULT_BYTES = 6 << 20
ERROR_BYTES = 32 << 10
_ACTIONS = {
    "EXECUTION": ("SUCCEED", "FAIL"),
    "CONTEXT": ("START", "SUCCEED", "FAIL"),
    "STEP": ("START", "SUCCEED", "FAIL", "RETRY"),
    "WAIT": ("START", "CANCEL"),
    "CALLBACK": ("START",),
    "CHAINED_INVOKE": ("START",),
}
# The states from which each action goes on. None: there is no such operation yet.
_FROM: dict[tuple[str, str], frozenset[str | None]] = {
    ("STEP", "START"): frozenset({None, "READY"}),
    ("STEP", "SUCCEED"): frozenset({None, "STARTED", "READY"}),
    ("STEP", "FAIL"): frozenset({None, "STARTED", "READY"}),
    ("STEP", "RETRY"): frozenset({None, "STARTED", "READY"}),
    ("CONTEXT", "SUCCEED"): frozenset({None, "STARTED"}),
    ("CONTEXT", "FAIL"): frozenset({None, "STARTED"}),
    ("WAIT", "CANCEL"): frozenset({"STARTED"}),
}


class Invalid(UsageError):
    """AWS's InvalidParameterValueException: the SDKs fail the execution with it."""

    code = "invalid_checkpoint"


class InvalidToken(Invalid):
    """The SDKs give up the invocation, and do not fail the execution: another one writes now."""

    def __init__(self) -> None:
        super().__init__("Invalid checkpoint token: another invocation of this execution writes, or it has ended")


def check(state: Execution, updates: Sequence[Mapping[str, Any]]) -> None:
    """Raises Invalid, with nothing to be written."""
    if len(updates) > UPDATES:
        raise Invalid(f"{len(updates)} updates in one checkpoint, of at most {UPDATES}")
    ends = [update for update in updates if update.get("Type") == "EXECUTION"]
    if len(ends) > 1 or (ends and updates[-1] is not ends[0]):
        raise Invalid("the update of the EXECUTION has to be the last, and the only one")
    known: dict[str, tuple[str, str | None]] = {}  # type and status, as of the updates before in this checkpoint
    for update in updates:
        _check_one(state, update, known)


def _check_one(state: Execution, update: Mapping[str, Any], known: dict[str, tuple[str, str | None]]) -> None:
    kind, action, id = update.get("Type"), update.get("Action"), update.get("Id")
    if not isinstance(id, str) or not id or len(id) > 256 or kind not in _ACTIONS:
        raise Invalid(f"an update of type {str(kind)[:40]!r} with the id {str(id)[:80]!r}")
    if action not in _ACTIONS[kind]:
        raise Invalid(f"{str(action)[:40]} is not an action of {kind}")
    _sizes(kind, update)
    if kind == "EXECUTION":
        return
    before = state.operations.get(id)
    if before is not None:
        _same(state, before, update)
    status = known[id][1] if id in known else before["Status"] if before is not None else None
    allowed = _FROM.get((kind, action), frozenset({None}))
    if status not in allowed:
        what = f"{kind} {update.get('Name') or id}"
        raise Invalid(f"cannot {action} {what}: it is {status}" if status else f"cannot {action} {what}: not started")
    _parent(state, update, known)
    if kind == "CHAINED_INVOKE" and not (update.get("ChainedInvokeOptions") or {}).get("FunctionName"):
        raise Invalid(f"CHAINED_INVOKE {id} names no function")
    if kind == "STEP" and action == "RETRY" and update.get("StepOptions") is None:
        raise Invalid(f"RETRY of {id} has no StepOptions")
    known[id] = kind, {"START": "STARTED", "RETRY": "PENDING"}.get(action, action)


def _parent(state: Execution, update: Mapping[str, Any], known: Mapping[str, tuple[str, str | None]]) -> None:
    parent = update.get("ParentId")
    if parent is None:
        return
    kind = known[parent][0] if parent in known else state.operations.get(parent, {}).get("Type")
    if kind not in ("CONTEXT", "EXECUTION"):
        raise Invalid(f"the parent of {update['Id']} is {f'a {kind}' if kind else 'not known'}, not a CONTEXT")


def _same(state: Execution, before: Operation, update: Mapping[str, Any]) -> None:
    for key in ("Type", "Name", "SubType", "ParentId"):
        said = update.get(key)
        if said is not None and said != before.get(key):
            number = list(state.operations).index(before["Id"])
            was, now = _called(before), _called(update)
            if was == now:
                was, now = f"{key} {before.get(key)}", f"{key} {said}"
            raise Invalid(f"the code is not that which began this execution: step {number} was `{was}`, is `{now}`")


def _called(operation: Mapping[str, Any]) -> str:
    return str(operation.get("Name") or operation.get("SubType") or operation.get("Type"))


def _sizes(kind: str, update: Mapping[str, Any]) -> None:
    payload, most = update.get("Payload"), RESULT_BYTES * 4 if kind == "EXECUTION" else PAYLOAD_BYTES
    if payload is not None and (not isinstance(payload, str) or len(payload.encode("utf-8", "replace")) > most):
        raise Invalid(f"the payload of {update['Id']} is no text of at most {most} bytes")
    if update.get("Error") is not None and len(json.dumps(update["Error"])) > ERROR_BYTES:
        raise Invalid(f"the error of {update['Id']} is larger than {ERROR_BYTES} bytes")

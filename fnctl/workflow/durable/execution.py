"""An execution as the fold of its log: operations, history, who may write, what it waits for. Pure.

Each event of the log is `{"e": WORD, "at": seconds, …}`:

    began         function, name, input, …     invoked     an invocation opens, with the token that it writes under
    checkpointed  updates by the handler       returned    that invocation has ended, or never reached the function
    woke          waits and retries are due    answered    a function that was invoked has ended
    called_back   a callback came, or timed out            ended   for good

What another function answers while an invocation is open is held back until its next checkpoint or its end: so the
history has it where the handler learns it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fnctl.workflow.durable import history
from fnctl.workflow.durable.operations import (
    ENDS,
    Operation,
    execution_operation,
    ready,
    settled,
    updated,
)
from fnctl.workflow.log import Event

RUNNING = "RUNNING"


@dataclass(slots=True)
class Opened:
    """An invocation that has not returned."""

    request: str
    at: float


@dataclass(slots=True)
class Recorded:
    """The last checkpoint, for a client that did not get its answer and asks again."""

    used: str
    client: str | None
    told: list[str]


@dataclass(slots=True)
class Execution:
    """Everything that its log says. `apply` is the only one to change it."""

    id: str
    arn: str = ""
    function: str = ""
    name: str = ""
    input: str | None = None
    tenant: str | None = None
    pinned: str = ""  # the digest of the bundle that it began with
    parent: tuple[str, str] | None = None  # the run and the operation that wait for it
    began: float = 0.0
    expires: float = 0.0
    timeout_s: float = 0.0
    keep_s: float = 0.0
    status: str = ""
    result: str | None = None
    error: Any = None
    over: float | None = None
    operations: dict[str, Operation] = field(default_factory=dict)
    history: list[history.Event] = field(default_factory=list)
    token: str | None = None  # that the open invocation writes under
    opened: Opened | None = None
    recorded: Recorded | None = None
    unseen: dict[str, None] = field(default_factory=dict)  # operations that changed since the handler was told last
    news: dict[str, None] = field(default_factory=dict)  # of these, those that it did not change itself
    held: list[Event] = field(default_factory=list)
    invocations: int = 0
    failures: int = 0  # invocations that failed, one after the other
    again: float | None = None  # when to invoke once more, after one that failed
    timeouts: dict[str, float] = field(default_factory=dict)  # of callbacks, by operation
    heartbeats: dict[str, tuple[float, float]] = field(default_factory=dict)  # (due, every), by operation
    invokes: dict[str, dict[str, Any]] = field(default_factory=dict)  # open: what was asked, by operation
    children: dict[str, str] = field(default_factory=dict)  # ARN, by operation

    @property
    def ended(self) -> bool:
        return self.over is not None

    def timers(self) -> list[tuple[float, str, str]]:
        """(due, what, operation) of all that comes by itself, the soonest first."""
        found: list[tuple[float, str, str]] = []
        for id, operation in self.operations.items():
            if operation["Type"] == "WAIT" and operation["Status"] == "STARTED":
                found.append((operation["WaitDetails"]["ScheduledEndTimestamp"] / 1000, "wait", id))
            elif operation["Type"] == "STEP" and operation["Status"] == "PENDING":
                found.append((operation["StepDetails"]["NextAttemptTimestamp"] / 1000, "retry", id))
        found += [(due, "timeout", id) for id, due in self.timeouts.items()]
        found += [(due, "heartbeat", id) for id, (due, _) in self.heartbeats.items()]
        if self.again is not None:
            found.append((self.again, "again", ""))
        if self.expires:
            found.append((self.expires, "expires", ""))
        return sorted(found)

    def awaits(self) -> bool:
        """Whether anything is open that can wake it, but the end of its time."""
        return bool(self.invokes) or any(
            (operation["Status"] == "STARTED" and operation["Type"] in ("WAIT", "CALLBACK"))
            or operation["Status"] == "PENDING"
            for operation in self.operations.values()
        )

    def callback(self, callback: str) -> str | None:
        """The operation that this callback is of."""
        for id, operation in self.operations.items():
            if operation.get("CallbackDetails", {}).get("CallbackId") == callback:
                return id
        return None


def apply(state: Execution, event: Event) -> None:
    _APPLY[event["e"]](state, event)


def _began(state: Execution, event: Event) -> None:
    at = event["at"]
    state.arn, state.function, state.name = event["arn"], event["function"], event["name"]
    state.input, state.pinned, state.tenant = event.get("input"), event.get("pinned", ""), event.get("tenant")
    state.parent = tuple(event["parent"]) if event.get("parent") else None
    state.began, state.timeout_s, state.keep_s = at, event["timeout"], event["keep"]
    state.expires = at + state.timeout_s
    state.status = RUNNING
    state.operations[state.id] = execution_operation(state.id, state.name, state.input, _ms(at))
    given = {"Input": {"Payload": state.input or "", "Truncated": False}, "ExecutionTimeout": int(state.timeout_s)}
    said = history.event("ExecutionStarted", _ms(at), given)
    _tell(state, {**said, "Id": state.id, "Name": state.name})


def _invoked(state: Execution, event: Event) -> None:
    state.opened = Opened(event["request"], event["at"])
    state.token = event["token"]
    state.invocations += 1
    state.again = None
    state.unseen.clear()
    state.news.clear()


def _checkpointed(state: Execution, event: Event) -> None:
    at, given = event["at"], event.get("given", {})
    for update in event["updates"]:
        if update["Type"] == "EXECUTION":
            state.result, state.error = update.get("Payload"), update.get("Error")
            state.status = "SUCCEEDED" if update["Action"] == "SUCCEED" else "FAILED"
            continue
        _update(state, update, at, given.get(update["Id"]))
    _release(state)
    state.recorded = Recorded(event["used"], event.get("client"), list(state.unseen))
    state.token = event.get("token")
    state.unseen.clear()
    state.news.clear()
    state.failures = 0


def _update(state: Execution, update: dict[str, Any], at: float, given: str | None) -> None:
    id, action = update["Id"], update["Action"]
    operation = updated(state.operations.get(id), update, _ms(at), given)
    state.operations[id] = operation
    state.unseen[id] = None
    if action == "START":
        _open(state, operation, update, at, given)
        _tell(state, history.started(operation, update, state.children.get(id), _ms(at)))
    elif action == "RETRY":
        _tell(state, history.retried(operation, update, _ms(at)))
    else:
        _tell(state, history.ended(operation, _ms(at)))


def _open(state: Execution, operation: Operation, update: dict[str, Any], at: float, given: str | None) -> None:
    id = operation["Id"]
    if operation["Type"] == "CALLBACK":
        options = update.get("CallbackOptions") or {}
        if after_s := options.get("TimeoutSeconds"):
            state.timeouts[id] = at + after_s
        if every_s := options.get("HeartbeatTimeoutSeconds"):
            state.heartbeats[id] = at + every_s, every_s
    elif operation["Type"] == "CHAINED_INVOKE":
        state.invokes[id] = {**(update.get("ChainedInvokeOptions") or {}), "Payload": update.get("Payload")}
        if given is not None:
            state.children[id] = given


def _woke(state: Execution, event: Event) -> None:
    at = _ms(event["at"])
    for id in event["ids"]:
        operation = state.operations[id]
        if operation["Type"] == "WAIT":
            _settle(state, settled(operation, "SUCCEEDED", at), at)
        else:
            state.operations[id] = ready(operation)
            _new(state, id)


def _called_back(state: Execution, event: Event) -> None:
    id, at = event["id"], event["at"]
    if event["status"] == "HEARTBEAT":
        if id in state.heartbeats:
            every_s = state.heartbeats[id][1]
            state.heartbeats[id] = at + every_s, every_s
        return
    state.timeouts.pop(id, None)
    state.heartbeats.pop(id, None)
    after = settled(state.operations[id], event["status"], _ms(at), event.get("result"), event.get("error"))
    _settle(state, after, _ms(at))


def _answered(state: Execution, event: Event) -> None:
    state.held.append(event)
    if state.opened is None:
        _release(state)


def _release(state: Execution) -> None:
    held, state.held = state.held, []
    for event in held:
        id = event["id"]
        if state.invokes.pop(id, None) is None:
            continue
        at = _ms(event["at"])
        after = settled(state.operations[id], event["status"], at, event.get("result"), event.get("error"))
        _settle(state, after, at)


def _returned(state: Execution, event: Event) -> None:
    opened, at = state.opened, event["at"]
    assert opened is not None
    details = {"StartTimestamp": opened.at, "EndTimestamp": at, "RequestId": opened.request}
    if event.get("error") is not None:
        details |= history.failure(event["error"])
        state.failures += 1
    if event.get("reached", True):
        _tell(state, history.event("InvocationCompleted", _ms(at), details))
    else:
        state.failures -= 1
        state.invocations -= 1
    state.opened = state.token = state.recorded = None
    state.again = event.get("again")
    _release(state)


def _ended(state: Execution, event: Event) -> None:
    at = event["at"]
    state.over, state.status, state.token, state.opened = at, event["status"], None, None
    state.result = event.get("result")
    state.error = event.get("error")
    state.timeouts.clear()
    state.heartbeats.clear()
    state.invokes.clear()
    state.again, state.expires = None, 0.0
    first = state.operations[state.id]
    state.operations[state.id] = {**first, "Status": state.status, "EndTimestamp": _ms(at)}
    words = {"SUCCEEDED": "Succeeded", "FAILED": "Failed", "TIMED_OUT": "TimedOut", "STOPPED": "Stopped"}
    details = history.result(state.result) if state.status == "SUCCEEDED" else history.failure(state.error)
    said = history.event(f"Execution{words[state.status]}", _ms(at), details)
    _tell(state, {**said, "Id": state.id, "Name": state.name})


def _settle(state: Execution, operation: Operation, at: int) -> None:
    """The service has ended an operation."""
    state.operations[operation["Id"]] = operation
    _new(state, operation["Id"])
    _tell(state, history.ended(operation, at))


def _new(state: Execution, id: str) -> None:
    state.unseen[id] = state.news[id] = None


def _tell(state: Execution, said: history.Event) -> None:
    said["EventId"] = len(state.history) + 1
    state.history.append(said)


def _ms(at: float) -> int:
    return int(at * 1000)


_APPLY = {
    "began": _began,
    "invoked": _invoked,
    "checkpointed": _checkpointed,
    "woke": _woke,
    "called_back": _called_back,
    "answered": _answered,
    "returned": _returned,
    "ended": _ended,
}

__all__ = ["ENDS", "RUNNING", "Execution", "apply"]

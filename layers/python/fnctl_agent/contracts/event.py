"""fnctl's own contract, `(event, context)`, as layers/PROTOCOL.md has it. A handler may leave arguments away."""

from __future__ import annotations

import contextlib
import json

from fnctl_agent.contracts import binding
from fnctl_agent.contracts.binding import Call, Contract, Load, arity
from fnctl_agent.contracts.bodies import BYTES, Result, decoded, encoded, finished, header_pairs, is_json
from fnctl_agent.interface import Found, Kind, NotCallable, described
from fnctl_agent.later import Later
from fnctl_agent.wire import BadResponse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import base64
    from typing import Any, NoReturn
else:
    base64 = Later("base64")


class Context:
    """What a handler is told about its invocation. Nothing in it can be set.

    Written out: `dataclasses` takes as long to import as all else that such a function's load does.
    """

    __slots__ = ("deadline_ms", "function", "id", "memory_mb", "version")
    id: str
    function: str
    version: str
    memory_mb: int
    deadline_ms: int

    def __init__(self, id: str, function: str, version: str, memory_mb: int, deadline_ms: int) -> None:
        given = {"id": id, "function": function, "version": version, "memory_mb": memory_mb, "deadline_ms": deadline_ms}
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to {name!r}: the context of an invocation is what it is")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete {name!r}: the context of an invocation is what it is")

    def __repr__(self) -> str:
        return f"Context({', '.join(f'{name}={getattr(self, name)!r}' for name in type(self).__annotations__)})"

    def remaining_ms(self) -> int:
        """Until the host gives up; never below zero."""
        return binding.remaining_ms(self.deadline_ms)


class Event(Contract):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        if not callable(target):
            raise NotCallable(f"{name} is {described(target)}, not a function")
        return Found(Kind.EVENT, target, EventBinding(load, arity(target, 2)))


class EventBinding:
    """Handlers that leave `context`, or both, away are called without."""

    def __init__(self, load: Load, arity: int) -> None:
        self._load = load
        self._arity = arity

    def arguments(self, call: Call) -> tuple[Any, ...]:
        return (to_event(call), self._context(call))[: self._arity]

    def _context(self, call: Call) -> Context:
        load = self._load
        return Context(call.id, load["function"], load["version"], load["memory_mb"], call.deadline_ms)

    def response(self, result: Any, call: Call) -> Result:
        return to_response(result)


CONTRACT = Event()


def to_event(call: Call) -> dict[str, Any]:
    headers = call.headers()
    event: dict[str, Any] = {
        "method": call.method,
        "path": call.path,
        "query": dict(call.pairs),
        "params": call.params,
        "headers": headers,
        **_body(call.body),
    }
    if event["body"] is not None and not event["isBase64Encoded"] and is_json(headers.get("content-type", "")):
        with contextlib.suppress(ValueError):  # no `json` then: the handler may still read the body
            event["json"] = json.loads(event["body"])
    return event


def _body(body: bytes) -> dict[str, Any]:
    if not body:
        return {"body": None, "isBase64Encoded": False}
    try:
        return {"body": body.decode("utf-8"), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}


def to_response(result: Any) -> Result:
    """The response that a handler's return value stands for. Raises BadResponse for what none can be made of."""
    if result is None:
        return 204, [], b""
    if not (isinstance(result, dict) and type(result.get("statusCode")) is int):
        kind, content = encoded(result)
        return 200, [("content-type", kind)], content
    status = result["statusCode"]
    if not 200 <= status <= 599:
        raise BadResponse(f"statusCode {status} is outside 200-599")
    headers = header_pairs(result.get("headers") or {})
    body = result.get("body")
    if result.get("isBase64Encoded"):
        return finished(status, headers, BYTES, decoded(body))
    return finished(status, headers, *(encoded(body) if body is not None else ("", b"")))

"""Event handlers: HTTP request → (event, context) → HTTP response. The contract is in ../../PROTOCOL.md."""

from __future__ import annotations

import base64
import contextlib
import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from fnctl_agent.exchange import Application
from fnctl_agent.later import Later
from fnctl_agent.wire import BadResponse, Headers, Request, Response, reason

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

PARAMS_HEADER = b"x-fnctl-params"
DEADLINE_HEADER = b"x-fnctl-deadline-ms"
_JSON = re.compile(r"application/([^;\s]+\+)?json\s*(;|$)", re.IGNORECASE)

Result = tuple[int, list[tuple[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler is told about its invocation."""

    id: str
    function: str
    version: str
    memory_mb: int
    deadline_ms: int

    def remaining_ms(self) -> int:
        """Until the host gives up; never below zero."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


def events(handler: Callable[..., Any], load: Mapping[str, Any], loop: asyncio.AbstractEventLoop | None) -> Application:
    """The application that calls `handler`. Coroutines run on `loop`, where there is one, else on a new one each."""
    arity = _arity(handler)

    def call(request: Request, response: Response) -> None:
        body = request.body()
        arguments = (to_event(request.method, request.target, request.headers, body), _context(request, load))
        result = handler(*arguments[:arity])
        if inspect.isawaitable(result):
            result = _wait(result, loop)
        status, headers, content = to_response(result)
        response.start(status, reason(status), headers, length=len(content))
        response.send(content)

    return call


def _own_id() -> str:
    import uuid

    return str(uuid.uuid4())


def _arity(handler: Callable[..., Any]) -> int:
    """Handlers that leave `context`, or both, away are called without."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return 2
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return min(2, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))


def _wait(awaitable: Any, loop: asyncio.AbstractEventLoop | None) -> Any:
    async def finish() -> Any:
        return await awaitable

    if loop is None:
        return asyncio.run(finish())
    return asyncio.run_coroutine_threadsafe(finish(), loop).result()


# --- in ---


def to_event(method: str, target: bytes, headers: Headers, body: bytes) -> dict[str, Any]:
    path, _, query = target.partition(b"?")
    merged: dict[str, str] = {}
    for name, value in headers:
        if name != PARAMS_HEADER:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            merged[key] = f"{merged[key]}{'; ' if key == 'cookie' else ', '}{text}" if key in merged else text
    params = next((value for name, value in headers if name == PARAMS_HEADER), b"")
    event: dict[str, Any] = {
        "method": method,
        "path": path.decode("latin-1"),
        "query": _pairs(query),
        "params": _pairs(params),
        "headers": merged,
        **_body(body),
    }
    if event["body"] is not None and not event["isBase64Encoded"] and _JSON.match(merged.get("content-type", "")):
        with contextlib.suppress(ValueError):  # no `json` then: the handler may still read the body
            event["json"] = json.loads(event["body"])
    return event


def _pairs(query: bytes) -> dict[str, str]:
    return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))


def _body(body: bytes) -> dict[str, Any]:
    if not body:
        return {"body": None, "isBase64Encoded": False}
    try:
        return {"body": body.decode("utf-8"), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}


def _context(request: Request, load: Mapping[str, Any]) -> Context:
    deadline = request.header(DEADLINE_HEADER)
    return Context(
        id=request.invocation or _own_id(),  # without a host, its own
        function=load["function"],
        version=load["version"],
        memory_mb=load["memory_mb"],
        deadline_ms=int(deadline) if deadline else int(time.time() * 1000) + load["timeout_ms"],
    )


# --- out ---


def to_response(result: Any) -> Result:
    """The response that a handler's return value stands for. Raises BadResponse for what none can be made of."""
    if result is None:
        return 204, [], b""
    if not (isinstance(result, dict) and type(result.get("statusCode")) is int):
        kind, content = _encoded(result)
        return 200, [("content-type", kind)], content
    status = result["statusCode"]
    if not 200 <= status <= 599:
        raise BadResponse(f"statusCode {status} is outside 200-599")
    headers = _headers(result.get("headers") or {})
    body = result.get("body")
    kind, content = (
        _decoded(body) if result.get("isBase64Encoded") else _encoded(body) if body is not None else ("", b"")
    )
    if kind and all(name.lower() != "content-type" for name, _ in headers):
        headers.append(("content-type", kind))
    return status, headers, b"" if status in (204, 304) else content


def _headers(headers: Any) -> list[tuple[str, str]]:
    if not isinstance(headers, Mapping):
        raise BadResponse("headers is not a mapping")
    # The length is the body's own: a handler's differing one would break the framing.
    framing = ("content-length", "transfer-encoding")
    return [
        (str(name), str(one))
        for name, value in headers.items()
        for one in (value if isinstance(value, list | tuple) else [value])
        if str(name).lower() not in framing
    ]


def _encoded(value: Any) -> tuple[str, bytes]:
    if isinstance(value, str):
        return "text/plain; charset=utf-8", value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes | bytearray | memoryview):
        return "application/octet-stream", bytes(value)
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadResponse(f"JSON cannot carry the result: {error}") from None
    return "application/json", text.encode("utf-8", "surrogatepass")


def _decoded(body: Any) -> tuple[str, bytes]:
    if not isinstance(body, str):
        raise BadResponse("isBase64Encoded with a body that is not a string")
    try:
        return "application/octet-stream", base64.b64decode(body, validate=True)
    except ValueError as error:
        raise BadResponse(f"the body is not base64: {error}") from None

"""AWS Lambda's API for durable functions: operations to replies. Not what they do (executions.py).

Source: the API's model in botocore (service lambda, 2015-03-31), and what its SDKs and its conformance suite send.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

from fnctl.errors import ConflictError, FnctlError, Forbidden, NotFound, QueueFull, TooLarge, UsageError
from fnctl.model import Function
from fnctl.store.port import StoreUnavailable
from fnctl.triggers.http.call import Answer, CallRequest, When
from fnctl.triggers.http.deferral import Acceptor, Reply
from fnctl.triggers.http.durable import Asked
from fnctl.triggers.http.permission import check
from fnctl.workflow.durable import arn as names
from fnctl.workflow.durable import history
from fnctl.workflow.durable.checkpoint_rules import Invalid
from fnctl.workflow.durable.execution import Execution
from fnctl.workflow.durable.executions import Executions
from fnctl.workflow.durable.invocation import plain_outcome, request
from fnctl.workflow.durable.operations import in_seconds
from fnctl.workflow.runs import Kind

INPUT_BYTES = 6 << 20
LATER_BYTES = 1 << 20
EVENTS = 1000  # of a page
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_VERSION = b"X-Amz-Executed-Version: $LATEST\r\n"
_JSON = b"Content-Type: application/json\r\n"


class Api:
    """A `triggers.http.durable.Durable`."""

    def __init__(
        self, executions: Executions, functions: Callable[[], Mapping[str, Function]], acceptor: Acceptor | None = None
    ) -> None:
        """`acceptor`: of calls of functions that are not durable, where nobody waits for the answer."""
        self._executions = executions
        self._functions = functions
        self._acceptor = acceptor

    async def answer(self, asked: Asked) -> Reply:
        path, _, query = asked.target.partition("?")
        segments = [unquote(part) for part in path.split("/")[1:]]
        said = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
        try:
            return await self._operation(asked, segments, said)
        except FnctlError as error:
            return _refused(error)

    async def _operation(self, asked: Asked, segments: list[str], query: Mapping[str, str]) -> Reply:
        match (asked.method, *segments):
            case ("POST", "2015-03-31", "functions", name, "invocations"):
                return await self._invoke(asked, name)
            case ("POST", "2025-12-01", "durable-executions", arn, "checkpoint"):
                return await self._checkpoint(asked, arn)
            case ("GET", "2025-12-01", "durable-executions", arn, "state"):
                return await self._state(asked, arn, query)
            case ("GET", "2025-12-01", "durable-executions", arn):
                return _said(_execution(await self._seen(asked, arn)))
            case ("GET", "2025-12-01", "durable-executions", arn, "history"):
                return _said(_history(await self._seen(asked, arn), query))
            case ("POST", "2025-12-01", "durable-executions", arn, "stop"):
                await self._seen(asked, arn)
                return _said({"StopTimestamp": await self._executions.stop(arn, _object(asked.body).get("Error"))})
            case ("GET", "2025-12-01", "functions", name, "durable-executions"):
                return _said(await self._list(asked, names.function_of(name), query))
            case ("POST", "2025-12-01", "durable-execution-callbacks", id, how):
                return await self._call_back(asked, id, how)
        raise NotFound(f"{asked.method} {asked.target[:200]} is not an operation of Lambda's API that fnctl supports")

    # -- beginning -------------------------------------------------------------------------------------------------

    async def _invoke(self, asked: Asked, name: str) -> Reply:
        function = self._function(names.function_of(name))
        check(asked.caller, function.name)
        later = asked.headers.get("x-amz-invocation-type", "RequestResponse") == "Event"
        if function.durable is None:
            return await self._plain(function, input_of(asked.body), later=later)
        arn = await self._start(function, asked.body, asked.headers, later=later)
        fields = _VERSION + f"X-Amz-Durable-Execution-Arn: {arn}\r\n".encode()
        if later:
            return Reply(202, fields, b"", names.run_of(arn))
        state = await self._executions.result(arn)
        if state.status == "SUCCEEDED":
            return Reply(200, fields + _JSON, (state.result or "null").encode("utf-8", "surrogatepass"), state.id)
        body = {"errorType": _field(state, "ErrorType", state.status), "errorMessage": _field(state, "ErrorMessage")}
        return Reply(200, fields + _JSON + b"X-Amz-Function-Error: Unhandled\r\n", _dumped(body), state.id)

    async def _plain(self, function: Function, payload: str, *, later: bool) -> Reply:
        if later and self._acceptor is not None:
            id = await self._acceptor.accept(function, request(function.name, payload), When())
            return Reply(202, f"X-Amzn-RequestId: {id}\r\n".encode(), b"", id)
        status, result, error = plain_outcome(await self._executions.call(function, payload))
        if status == "SUCCEEDED":
            return Reply(200, _VERSION + _JSON, (result or "null").encode("utf-8", "surrogatepass"), "")
        said = {"errorType": error["ErrorType"], "errorMessage": error["ErrorMessage"]}
        return Reply(200, _VERSION + _JSON + b"X-Amz-Function-Error: Unhandled\r\n", _dumped(said), "")

    async def begin(self, function: Function, input: bytes, headers: dict[str, str], *, later: bool) -> Reply:
        """A request to the function itself: its status says how the execution ended."""
        arn = await self._start(function, input, headers, later=later)
        field = f"X-Amz-Durable-Execution-Arn: {arn}\r\n".encode() + _JSON
        if later:
            return Reply(202, field, _dumped({"id": names.run_of(arn), "arn": arn}) + b"\n", names.run_of(arn))
        state = await self._executions.result(arn)
        if state.status == "SUCCEEDED":
            return Reply(200, field, (state.result or "null").encode("utf-8", "surrogatepass"), state.id)
        error = {"code": f"execution_{state.status.lower()}", "message": _field(state, "ErrorMessage")}
        error |= {"type": _field(state, "ErrorType", state.status), "invocation": state.id}
        return Reply(500, field, _dumped({"error": error}) + b"\n", state.id)

    async def _start(self, function: Function, body: bytes, headers: Mapping[str, str], *, later: bool) -> str:
        most = LATER_BYTES if later else INPUT_BYTES
        if len(body) > most:
            raise TooLarge(f"the input of {function.name} is larger than {most} bytes")
        name = headers.get("x-amz-durable-execution-name")
        if name is not None and not _NAME.fullmatch(name):
            raise Invalid(f"an execution cannot be named {name[:80]!r}", hint="up to 64 letters, digits, - and _")
        tenant = headers.get("x-amz-tenant-id")
        return await self._executions.start(function, input_of(body), name=name, tenant=tenant)

    def _function(self, name: str) -> Function:
        functions = self._functions()
        if name not in functions:
            raise NotFound(f"Function not found: {name[:100]}", hint=f"functions: {', '.join(sorted(functions))}")
        return functions[name]

    async def from_call(
        self, function: Function, request: CallRequest, id: str, tell: Callable[[Answer], None]
    ) -> None:
        """(triggers.queue.lane.Beginner) An execution has the id of the deferred call that begins it."""
        try:
            arn = await self._executions.start(function, input_of(request.body), id=id)
        except FnctlError as error:
            tell(Answer(error.http_status, error=error))
        else:
            tell(Answer(202, body=_dumped({"id": id, "arn": arn})))

    # -- for handlers ----------------------------------------------------------------------------------------------

    async def _checkpoint(self, asked: Asked, arn: str) -> Reply:
        said = _object(asked.body)
        updates, token = said.get("Updates") or [], said.get("CheckpointToken")
        if not isinstance(updates, list) or not all(isinstance(each, dict) for each in updates):
            raise Invalid("Updates is not a list of objects")
        answer = await self._executions.checkpoint(
            arn, str(token or ""), updates, said.get("ClientToken"), asked.instance
        )
        return _said(answer)

    async def _state(self, asked: Asked, arn: str, query: Mapping[str, str]) -> Reply:
        operations, marker = await self._executions.operations(
            arn, query.get("CheckpointToken", ""), query.get("Marker", ""), _count(query, 1000), asked.instance
        )
        return _said({"Operations": [in_seconds(each) for each in operations], **_next(marker)})

    # -- looking ---------------------------------------------------------------------------------------------------

    async def _seen(self, asked: Asked, arn: str) -> Execution:
        """An execution that whoever asks may see: from a sandbox, those of functions that its own may call."""
        state = await self._executions.find(arn)
        _may_see(asked, state.function)
        return state

    async def _list(self, asked: Asked, name: str, query: Mapping[str, str]) -> dict[str, Any]:
        self._function(name)
        _may_see(asked, name)
        statuses = parse_qs(asked.target.partition("?")[2]).get("Statuses")
        named = query.get("DurableExecutionName")
        rows = [
            row
            for row in await self._executions.rows()
            if row.kind is Kind.DURABLE
            and row.of == name
            and (statuses is None or row.state in statuses)
            and (named is None or row.name == named)
        ]
        if query.get("ReverseOrder") != "true":
            rows.reverse()
        first, limit = _marker(query), _count(query, EVENTS)
        shown = [
            {
                "DurableExecutionArn": names.execution_arn(row.of, row.name, row.id),
                "DurableExecutionName": row.name,
                "FunctionArn": names.function_arn(row.of),
                "Status": row.state,
                "StartTimestamp": row.started,
                **({"EndTimestamp": row.ended} if row.ended is not None else {}),
            }
            for row in rows[first : first + limit]
        ]
        more = str(first + limit) if first + limit < len(rows) else None
        return {"DurableExecutions": shown, **_next(more)}

    # -- callbacks -------------------------------------------------------------------------------------------------

    async def _call_back(self, asked: Asked, id: str, how: str) -> Reply:
        """Whoever knows the id may: it cannot be guessed, and is given to whom the execution waits for."""
        if how == "succeed":
            await self._executions.call_back(id, "SUCCEEDED", result=asked.body.decode("utf-8", "replace"))
        elif how == "fail":
            await self._executions.call_back(id, "FAILED", error=_object(asked.body))
        elif how == "heartbeat":
            await self._executions.call_back(id, "HEARTBEAT")
        else:
            raise NotFound(f"a callback cannot {how[:40]}")
        return _said({})


def input_of(body: bytes) -> str:
    """An execution's input, as JSON text. Raises Invalid."""
    text = body.decode("utf-8", "replace") or "{}"
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the payload is not JSON: {error}") from error
    return text


def _may_see(asked: Asked, function: str) -> None:
    if asked.caller is None or function != asked.caller.name:
        check(asked.caller, function, "see executions of")


def _execution(state: Execution) -> dict[str, Any]:
    said: dict[str, Any] = {
        "DurableExecutionArn": state.arn,
        "DurableExecutionName": state.name,
        "FunctionArn": names.function_arn(state.function),
        "StartTimestamp": state.began,
        "Status": state.status if state.ended else "RUNNING",
        "Version": names.LATEST,
        "ExecutionDataIncluded": True,
    }
    optional = {"InputPayload": state.input, "EndTimestamp": state.over}
    if state.ended:
        optional |= {"Result": state.result, "Error": state.error}
    return said | {key: value for key, value in optional.items() if value is not None}


def _history(state: Execution, query: Mapping[str, str]) -> dict[str, Any]:
    events = state.history if query.get("ReverseOrder") != "true" else state.history[::-1]
    first, limit = _marker(query), _count(query, EVENTS)
    shown = events[first : first + limit]
    if query.get("IncludeExecutionData") != "true":
        shown = [history.without_data(each) for each in shown]
    return {"Events": shown, **_next(str(first + limit) if first + limit < len(events) else None)}


def _next(marker: str | None) -> dict[str, str]:
    return {} if marker is None else {"NextMarker": marker}


def _marker(query: Mapping[str, str]) -> int:
    text = query.get("Marker") or "0"
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"no page begins at {text[:40]!r}")
    return int(text)


def _count(query: Mapping[str, str], most: int) -> int:
    text = query.get("MaxItems", "")
    return min(most, int(text) or most) if _NUMBER.fullmatch(text) else most


def _field(state: Execution, key: str, otherwise: str = "") -> str:
    return str((state.error or {}).get(key) or otherwise)


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the body is not JSON: {error}") from error
    if not isinstance(said, dict):
        raise Invalid("the body is not a JSON object")
    return said


def _dumped(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _said(said: Mapping[str, Any]) -> Reply:
    return Reply(200, _JSON, _dumped(said), "")


def _refused(error: FnctlError) -> Reply:
    """In AWS's own words, which its SDKs go by."""
    word = "ServiceException"
    status = 500
    if isinstance(error, Invalid | UsageError):
        word, status = "InvalidParameterValueException", 400
    elif isinstance(error, NotFound):
        word, status = "ResourceNotFoundException", 404
    elif isinstance(error, Forbidden):
        word, status = "AccessDeniedException", 403
    elif isinstance(error, TooLarge):
        word, status = "RequestTooLargeException", 413
    elif isinstance(error, QueueFull):
        word, status = "TooManyRequestsException", 429
    elif isinstance(error, StoreUnavailable):
        word, status = "ServiceException", 503
    elif isinstance(error, ConflictError):
        word, status = _CONFLICTS.get(error.code, ("InvalidParameterValueException", 400))
    fields = _JSON + f"X-Amzn-ErrorType: {word}\r\n".encode()
    said = {"Type": "User" if status < 500 else "Service", "message": error.message}
    return Reply(status, fields, _dumped(said), "")


_CONFLICTS = {
    "already_started": ("DurableExecutionAlreadyStartedException", 409),
    "callback_timeout": ("CallbackTimeoutException", 400),
    "stopping": ("ServiceException", 503),
}

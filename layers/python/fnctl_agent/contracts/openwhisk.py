"""Apache OpenWhisk: `main(params)` as a web action.

Sources: github.com/apache/openwhisk/blob/master/docs/webactions.md (parameters, "HTTP Context", results, "Error
Handling") and docs/actions.md, "Accessing action metadata within the action body" (`__OW_*`). A result without
`statusCode`, `headers` and `body` is answered as JSON, as the extension `.json` does. The body of a JSON response may
be JSON or, as the documentation has it, base64 of it. `__OW_ACTIVATION_ID` and `__OW_DEADLINE` belong to the process:
with a concurrency above 1 they are those of the latest invocation.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any
from urllib.parse import parse_qsl

from fnctl_agent.contracts.binding import Call, Contract, Load, Refused, expect
from fnctl_agent.contracts.bodies import (
    HTML,
    JSON,
    Result,
    boxed,
    finished,
    header_pairs,
    is_binary,
    is_json,
    is_json_text,
    json_text,
    status_of,
)
from fnctl_agent.interface import Found, Kind
from fnctl_agent.wire import BadResponse

RESERVED = ("__ow_method", "__ow_headers", "__ow_path", "__ow_user", "__ow_query", "__ow_body")
FORM = "application/x-www-form-urlencoded"
_HTTP = {"statusCode", "headers", "body"}


class OpenWhisk(Contract):
    def environment(self, load: Load) -> dict[str, str]:
        return {
            "__OW_NAMESPACE": "guest",
            "__OW_ACTION_NAME": f"/guest/{load['function']}",
            "__OW_ACTION_VERSION": load["version"],
            "__OW_API_HOST": f"http://127.0.0.1:{load['port']}",
        }

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        expect(target, name, "openwhisk", "params")
        return Found(Kind.EVENT, target, WebAction())


class WebAction:
    def arguments(self, call: Call) -> tuple[Any, ...]:
        params = to_params(call)
        os.environ.update(__OW_ACTIVATION_ID=call.id, __OW_DEADLINE=str(call.deadline_ms))
        return (params,)

    def response(self, result: Any, call: Call) -> Result:
        return to_response(result)


CONTRACT = OpenWhisk()


def to_params(call: Call) -> dict[str, Any]:
    """Query below body, both as parameters; the request itself under `__ow_`. Raises Refused."""
    kind = call.header("content-type")
    fields, opaque = _body(call.body, kind)
    params: dict[str, Any] = {**dict(call.pairs), **fields}
    if taken := [name for name in params if name in RESERVED]:
        raise Refused(f"the parameter {taken[0]} is OpenWhisk's own: a request may not set it")
    own = {
        "__ow_method": call.method.lower(),
        "__ow_headers": call.headers(),
        "__ow_path": "" if call.path == "/" else call.path,
    }
    return {**params, **own, **opaque}


def _body(body: bytes, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that a body holds; of one that holds none, `__ow_body`."""
    if kind.lower().startswith(FORM):
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True)), {}
    if not body:
        return {}, {}
    if not is_json(kind):
        return {}, {"__ow_body": boxed(body, kind)[0]}
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(f"the body is not JSON, which its content type says: {error}") from None
    return (value, {}) if isinstance(value, dict) else ({}, {"__ow_body": value})


def to_response(result: Any) -> Result:
    if not isinstance(result, dict):
        raise BadResponse(f"an action returns a dict, this one returned a {type(result).__name__}")
    if "error" in result:
        return _application_error(result["error"])
    if not result.keys() & _HTTP:
        return finished(200, [], JSON, _json(result))
    return _http(result)


def _application_error(error: Any) -> Result:
    """The value of `error` is the response; where it is none, it is told as a blocking activation would."""
    if isinstance(error, dict) and error.keys() & _HTTP:
        return _http(error)
    return finished(502, [], JSON, _json({"error": error}))


def _http(result: dict[str, Any]) -> Result:
    given = result.get("headers") or {}
    absent = next((name for name, value in given.items() if value is None), None) if isinstance(given, dict) else None
    if absent is not None:
        raise BadResponse(f"the header {absent} is None, which is no value of a header")
    headers = header_pairs(given)
    body = result.get("body")
    empty = body is None or body == ""
    status = status_of(result.get("statusCode", 204 if empty else 200))
    if empty:
        return status, headers, b""
    if not isinstance(body, str):
        return finished(status, headers, JSON, _json(body))
    kind = next((value for name, value in headers if name.lower() == "content-type"), HTML)
    return finished(status, headers, kind, _bytes(body, kind))


def _bytes(body: str, kind: str) -> bytes:
    """Text, but base64 under a type of bytes; and under JSON, where it is not JSON itself."""
    if not is_binary(kind) and (not is_json(kind) or is_json_text(body)):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise BadResponse(f"the body of a {kind} is to be base64, and is not") from None


def _json(value: Any) -> bytes:
    return json_text(value).encode("utf-8", "surrogatepass")

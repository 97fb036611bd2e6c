"""Apache OpenWhisk: `main(params)` as a web action.

Sources: github.com/apache/openwhisk/blob/master/docs/webactions.md (parameters, "HTTP Context", results, "Error
Handling") and docs/actions.md, "Accessing action metadata within the action body" (`__OW_*`). A result without
`statusCode`, `headers` and `body` is answered as JSON, as the extension `.json` does. The body of a JSON response may
be JSON or, as the documentation has it, base64 of it. `__OW_ACTIVATION_ID` and `__OW_DEADLINE` belong to the process:
with a concurrency above 1 they are those of the latest invocation.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from typing import Any
from urllib.parse import parse_qsl

from fnctl_agent.contracts.binding import (
    HTML,
    JSON,
    Call,
    Contract,
    Load,
    Refused,
    Result,
    expect,
    finished,
    header_pairs,
    is_json,
    is_json_text,
    json_text,
    status_of,
)
from fnctl_agent.interface import Found, Kind
from fnctl_agent.wire import BadResponse

OWN = "__ow_"
FORM = "application/x-www-form-urlencoded"
_HTTP = {"statusCode", "headers", "body"}
_TEXTUAL = re.compile(r"text/|application/(javascript|xml|x-www-form-urlencoded)|[^;]+\+xml", re.IGNORECASE)


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
    params: dict[str, Any] = dict(call.pairs)
    own: dict[str, Any] = {
        "__ow_method": call.method.lower(),
        "__ow_headers": call.headers(),
        "__ow_path": "" if call.path == "/" else call.path,
    }
    if (fields := _fields(call.body, kind)) is not None:
        params.update(fields)
    elif call.body:
        own["__ow_body"] = _opaque(call.body, kind)
    if taken := sorted(name for name in params if name in own or name.startswith(OWN)):
        raise Refused(f"the parameter {taken[0]} is OpenWhisk's own: a request may not set it")
    return {**params, **own}


def _fields(body: bytes, kind: str) -> dict[str, Any] | None:
    """The parameters that a body holds; None where it is something else."""
    if kind.lower().startswith(FORM):
        return dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))
    if not body or not is_json(kind):
        return None
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(f"the body is not JSON, which its content type says: {error}") from None
    return value if isinstance(value, dict) else None


def _opaque(body: bytes, kind: str) -> str:
    """Text as text, everything else in base64."""
    if not kind or _TEXTUAL.match(kind):
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode("ascii")


def to_response(result: Any) -> Result:
    if not isinstance(result, dict):
        raise BadResponse(f"an action returns a dict, this one returned a {type(result).__name__}")
    if "error" in result:
        return _application_error(result["error"])
    if not result.keys() & _HTTP:
        return finished(200, [], JSON, _json(result))
    return _http(result)


def _application_error(error: Any) -> Result:
    """The value of `error` is the response; where it is none, the request went wrong."""
    if isinstance(error, dict) and error.keys() & _HTTP:
        return _http({"statusCode": 400, **error})
    return finished(400, [], JSON, _json({"error": error}))


def _http(result: dict[str, Any]) -> Result:
    headers = header_pairs(result.get("headers") or {})
    body = result.get("body")
    status = status_of(result.get("statusCode", 200 if body is not None else 204))
    if body is None:
        return status, headers, b""
    if not isinstance(body, str):
        return finished(status, headers, JSON, _json(body))
    kind = next((value for name, value in headers if name.lower() == "content-type"), HTML)
    return finished(status, headers, kind, _bytes(body, kind))


def _bytes(body: str, kind: str) -> bytes:
    if _TEXTUAL.match(kind) or (is_json(kind) and is_json_text(body)):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise BadResponse(f"the body of a {kind} is to be base64, and is not") from None


def _json(value: Any) -> bytes:
    return json_text(value).encode("utf-8", "surrogatepass")

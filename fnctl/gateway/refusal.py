"""Errors as HTTP responses: the statuses that only the gateway answers, and the JSON body of all of them. Pure."""

from __future__ import annotations

import json

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, TooLarge
from fnctl.model import Function
from fnctl.runtime import advice


class HeadTooLarge(TooLarge):
    http_status = 431
    code = "head_too_large"


class SlowClient(DeadlineExceeded):
    """The client did not send its request in time: its fault, unlike the other deadlines."""

    http_status = 408
    code = "request_timeout"


REASONS = {
    100: b"Continue",
    200: b"OK",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    413: b"Content Too Large",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
}


def error_body(error: FnctlError, invocation: str) -> bytes:
    """`{"error": {"code", "message", "hint"?, "invocation"}}`, one line."""
    fields = {"code": error.code, "message": error.message}
    if error.hint:
        fields["hint"] = error.hint
    fields["invocation"] = invocation
    return json.dumps({"error": fields}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def error_headers(error: FnctlError) -> bytes:
    """The fields an error brings with it, each with its CRLF."""
    lines = b"Content-Type: application/json\r\n"
    if error.retry_after_s is not None:
        lines += b"Retry-After: %d\r\n" % max(1, error.retry_after_s)
    if allow := getattr(error, "allow", ()):
        lines += b"Allow: %b\r\n" % ", ".join(allow).encode()
    return lines


def agent_error(function: Function, code: str, body: bytes) -> FunctionError:
    """From the agent's `{"error": {"type", "message"}}`; whatever else it may be, there is an error to show."""
    try:
        said = json.loads(body)["error"]
        what = f"{said['type']}: {said['message']}"[:2000]
    except (ValueError, KeyError, TypeError):
        what = "the agent gave no reason"
    done = "returned no valid response" if code == "bad_response" else "raised an error"
    hint = advice.hint(function, what) or f"`fnctl logs {function.name}` has the stack"
    return FunctionError(f"{function.name} {done}: {what}", code=code, hint=hint)

"""Errors as HTTP responses: the statuses that only the gateway answers, and the JSON body of all of them. Pure."""

from __future__ import annotations

import json

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, NoCapacity, ProtocolError, UsageError
from fnctl.model import Function
from fnctl.protocol import messages
from fnctl.sandbox import hints as advice
from fnctl.sandbox import reports


class LengthRequired(UsageError):
    http_status = 411
    code = "length_required"


class SlowClient(DeadlineExceeded):
    """The client did not send its request in time: its fault, unlike the other deadlines."""

    http_status = 408
    code = "request_timeout"


class TooManyClients(NoCapacity):
    """No place for one more connection. A client that waits may find one."""

    code = "too_many_clients"

    def __init__(self) -> None:
        super().__init__("too many client connections", hint="try again; `fnctl doctor` shows the bound")
        self.retry_after_s = 1


class TooManyBodies(NoCapacity):
    """More of bodies is held than there is memory for: their requests wait for the rest of them."""

    code = "too_many_bodies"

    def __init__(self) -> None:
        super().__init__("too many request bodies are on their way", hint="try again, and send the body at once")
        self.retry_after_s = 1


REASONS = {
    100: b"Continue",
    200: b"OK",
    202: b"Accepted",
    204: b"No Content",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    409: b"Conflict",
    411: b"Length Required",
    413: b"Content Too Large",
    421: b"Misdirected Request",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    508: b"Loop Detected",
}


def error_body(error: FnctlError, invocation: str) -> bytes:
    """`{"error": {"code", "message", "hint"?, "invocation"}}`, one line."""
    fields = {"code": error.code, "message": error.message}
    if error.hint:
        fields["hint"] = error.hint
    fields["invocation"] = invocation
    said: dict[str, object] = {"error": fields}
    if hasattr(error, "amazon"):
        said["Message"] = error.message  # where AWS' SDKs look for it
    if alibaba := getattr(error, "alibaba", ""):
        said |= {"ErrorCode": alibaba, "ErrorMessage": error.message}  # where Function Compute's do
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def error_headers(error: FnctlError) -> bytes:
    """The fields an error brings with it, each with its CRLF."""
    lines = b"Content-Type: application/json\r\n"
    if error.retry_after_s is not None:
        lines += b"Retry-After: %d\r\n" % max(1, error.retry_after_s)
    if allow := getattr(error, "allow", ()):
        lines += b"Allow: %b\r\n" % ", ".join(allow).encode()
    if amazon := getattr(error, "amazon", ""):
        lines += b"x-amzn-ErrorType: %b\r\n" % amazon.encode()
    if challenge := getattr(error, "challenge", ""):
        lines += b"WWW-Authenticate: %b\r\n" % challenge.encode()
    return lines


def agent_error(function: Function, code: bytes, body: bytes, *, cut: bool) -> FunctionError:
    """From the agent's `{"error": {"type", "message"}}`, of which there may have been more where it is `cut`.
    ProtocolError where it is no JSON: no agent answers so."""
    try:
        said = messages.parsed(body)
    except ProtocolError:
        if not cut:
            raise
        said = None
    error = said.get("error") if isinstance(said, dict) else None
    what = f"{reports.text(error, 'type')}: {reports.text(error, 'message')}"[:2000] if isinstance(error, dict) else ""
    return _told(function, code.decode(), what or "no reason given")


def _told(function: Function, code: str, what: str) -> FunctionError:
    done = "returned an invalid response" if code == "bad_response" else "raised an error"
    hint = advice.hint(function, what) or f"`fnctl logs {function.name}` shows the stack trace"
    return FunctionError(f"{function.name} {done}: {what}", code=code, hint=hint)

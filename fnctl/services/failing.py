"""Whether a function's failure is that of a connection, told by the words of its error. Pure."""

from __future__ import annotations

import re

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, LoadError

# As Node, Python, PHP, Go and the C library call it when nobody answers, or stops answering.
_NO_ANSWER = re.compile(
    r"ECONNREFUSED|ECONNRESET|EPIPE|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|socket hang up|fetch failed"
    r"|[Cc]onnection (refused|reset|aborted|closed)|[Bb]roken pipe|[Rr]emote end closed|[Cc]onnect(ion)? timed? ?out"
    r"|No route to host|[Hh]ost is unreachable|timed out|TimeoutError|Max retries exceeded|[Nn]ame resolution"
    r"|Name or service not known|getaddrinfo|no such host|Failed to open stream"
)


def of_connection(error: FnctlError) -> bool:
    """A deadline passed, or the function failed with such words. One that ended without any is none."""
    if isinstance(error, DeadlineExceeded):
        return error.code in ("timeout", "load_timeout")
    if not isinstance(error, FunctionError | LoadError):
        return False
    return _NO_ANSWER.search(f"{error.message}\n{error.detail or ''}") is not None

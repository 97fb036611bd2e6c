"""Function Compute's InvokeFunction, in both of its versions, as its SDKs read the answer. Not its HTTP triggers.

Only at the address inside sandboxes (local_address.py), as Lambda's Invoke, of which it is a variant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, NotFound, QueueFull
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.lambda_api import InvokeExchange

# A service's qualifier is a version or an alias, of which there is one here.
INVOKE = re.compile(
    rb"/(?:2023-03-30|2016-08-15/services/[^/?]+)/functions/(?P<name>[^/?]+)/invocations(?P<query>\?.*)?"
)


class FcInvoke(Match):
    """The request is Function Compute's InvokeFunction."""

    __slots__ = ()


class NoSuchFunction(NotFound):
    alibaba = "FunctionNotFound"


def canonical(name: str) -> bytes:
    """What a function is sent, whichever version was asked: agents know an event by the newer one's address."""
    return f"/2023-03-30/functions/{name}/invocations".encode()


class FcExchange(InvokeExchange):
    log_field = b"X-Fc-Log-Result"

    def _said(self, error: FnctlError) -> tuple[int, bytes, Mapping[str, str]]:
        lines = b"Content-Type: application/json\r\nX-Fc-Request-Id: %b\r\n" % self._id
        function_s = isinstance(error, FunctionError)
        if function_s or (isinstance(error, DeadlineExceeded) and error.code == "timeout"):
            raised = self._raised if function_s else None
            said = raised or {"errorType": error.code, "errorMessage": error.message}
            return 200, lines + b"X-Fc-Error-Type: UnhandledInvocationError\r\n", said
        code, status = ("ResourceExhausted", 429) if isinstance(error, QueueFull) else ("InternalServerError", 500)
        return max(status, error.http_status), lines, {"ErrorCode": code, "ErrorMessage": error.message}

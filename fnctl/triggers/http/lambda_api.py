"""AWS Lambda's Invoke, as its SDKs read the answer: what a function raised is a 200 with a field that says so.

Only at the address inside sandboxes (local_address.py), where code for Lambda calls other functions by name.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping

from fnctl.dispatch.admission import Lease
from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, QueueFull
from fnctl.protocol import messages
from fnctl.sandbox import reports
from fnctl.triggers.http.deferral import Reply
from fnctl.triggers.http.exchange import Exchange
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.log_tail import HeldAnswer
from fnctl.triggers.http.render import answer_head

INVOKE = re.compile(rb"/2015-03-31/functions/[^/?]+/invocations(?:\?.*)?")
_DRY = re.compile(rb"(?i)\r\nx-amz-invocation-type:[ \t]*dryrun[ \t]*\r\n")


class LambdaInvoke(Match):
    """The request is Lambda's Invoke."""

    __slots__ = ()


def is_dry(raw: bytes) -> bool:
    """Whether a head asks for no more than whether the call may be made."""
    return _DRY.search(raw) is not None


async def dry_reply(body: bytes) -> Reply:
    return Reply(204, b"", b"", "")


class InvokeExchange(Exchange):
    """An exchange whose errors are told in Lambda's shape, and whose answer has the log where that is asked for: its
    client is a HeldAnswer then."""

    log_field = b"X-Amz-Log-Result"
    _raised: Mapping[str, str] | None = None

    def ready(self, lease: Lease, deadline_ms: float) -> bool:
        if isinstance(self._client, HeldAnswer):
            self._client.hear(lease, self._invocation.id)
        return super().ready(lease, deadline_ms)

    def ended(self) -> None:
        if isinstance(self._client, HeldAnswer):
            self.done = True
            self._client.finish(self._clean)
        else:
            super().ended()

    def _agent_failed(self, code: bytes, body: bytes, reusable: bool) -> None:
        self._raised = _raised(body)
        super()._agent_failed(code, body, reusable)

    def _answer(self, error: FnctlError) -> None:
        status, lines, said = self._said(error)
        body = json.dumps(said, ensure_ascii=False).encode("utf-8", "replace")
        self._status = status
        own = self._own_fields(time.monotonic())
        head = answer_head(status, lines, len(body), own, self._gateway.date(self._invocation.at))
        self._client.write(head if self.bodyless else head + body)

    def _said(self, error: FnctlError) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, header lines and body."""
        return told(error, self._raised)


def told(error: FnctlError, raised: Mapping[str, str] | None) -> tuple[int, bytes, Mapping[str, str]]:
    """Status, header lines and body. `raised`: what the function itself said, where it did."""
    lines = b"Content-Type: application/json\r\n"
    if isinstance(error, FunctionError):
        said = raised or {"errorType": f"Runtime.{error.code}", "errorMessage": error.message}
        return 200, lines + b"X-Amz-Function-Error: Unhandled\r\nX-Amz-Executed-Version: $LATEST\r\n", said
    if isinstance(error, DeadlineExceeded) and error.code == "timeout":
        said = {"errorType": "Sandbox.Timedout", "errorMessage": error.message}
        return 200, lines + b"X-Amz-Function-Error: Unhandled\r\nX-Amz-Executed-Version: $LATEST\r\n", said
    if isinstance(error, QueueFull):
        kind, status = "TooManyRequestsException", 429
    else:
        kind, status = "ServiceException", max(500, error.http_status)
    return status, lines + f"x-amzn-ErrorType: {kind}\r\n".encode(), {"Type": "Service", "Message": error.message}


def _raised(body: bytes) -> dict[str, str] | None:
    """The agent's `{"error": {"type", "message"}}` as Lambda has it."""
    try:
        said = messages.parsed(body)
    except FnctlError:
        return None
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        return None
    return {"errorType": reports.text(error, "type"), "errorMessage": reports.text(error, "message")}

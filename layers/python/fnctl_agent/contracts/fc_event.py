"""Alibaba Cloud Function Compute's event handlers: `handler(event: bytes, context)`.

Source: "Event functions" of the Python runtime (alibabacloud.com/help/doc-detail/158208.htm). An HTTP request stands
for an invocation by the API (InvokeFunction): its body is the event, byte for byte, and the result is the response's
body: text and bytes as they are, anything else as JSON. As an HTTP trigger of Function Compute 3.0 does, a result with
a `statusCode` is a whole response ("Use an HTTP trigger to invoke a function",
help.aliyun.com/document_detail/2545977.html).
"""

from __future__ import annotations

from typing import Any

from fnctl_agent.contracts.binding import Call, Load, expect
from fnctl_agent.contracts.bodies import BYTES, Result, decoded, encoded, finished, header_pairs, status_of
from fnctl_agent.contracts.fc import FunctionCompute, context
from fnctl_agent.interface import Found, Kind


class FcEvent(FunctionCompute):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        expect(target, name, "fc-event", "event", "context")
        return Found(Kind.EVENT, target, FcEventBinding(load))


class FcEventBinding:
    def __init__(self, load: Load) -> None:
        self._load = load

    def arguments(self, call: Call) -> tuple[Any, ...]:
        return call.body, context(self._load, call.id)

    def response(self, result: Any, call: Call) -> Result:
        return to_response(result)


CONTRACT = FcEvent()


def to_response(result: Any) -> Result:
    """Nothing is an empty body."""
    if result is None:
        return 200, [], b""
    if not (isinstance(result, dict) and "statusCode" in result):
        return finished(200, [], *encoded(result))
    status, headers, body = (
        status_of(result["statusCode"]),
        header_pairs(result.get("headers") or {}),
        result.get("body"),
    )
    if result.get("isBase64Encoded"):
        return finished(status, headers, BYTES, decoded(body))
    return finished(status, headers, *(encoded(body) if body is not None else ("", b"")))

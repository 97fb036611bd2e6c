"""Alibaba Cloud Function Compute 3.0 behind an HTTP trigger: `handler(event, context)`, the request as JSON in bytes.

Source: "Use an HTTP trigger to invoke a function" (help.aliyun.com/document_detail/2545977.html): the request and the
response structure, and how a response is inferred. A POST to the path of the platform's own InvokeFunction passes its
body as it is.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from fnctl_agent.contracts import fc_event
from fnctl_agent.contracts.binding import Call, Load, expect
from fnctl_agent.contracts.bodies import JSON, Result, boxed, encoded, joined
from fnctl_agent.contracts.fc import FunctionCompute, context
from fnctl_agent.interface import Found, Kind

_INVOKE = re.compile(r"/2023-03-30/functions/[^/]+/invocations")


class Fc3Http(FunctionCompute):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        expect(target, name, "fc3-http", "event", "context")
        return Found(Kind.EVENT, target, TriggerBinding(load))


class TriggerBinding:
    def __init__(self, load: Load) -> None:
        self._load = load

    def arguments(self, call: Call) -> tuple[Any, ...]:
        made = context(self._load, call.id)
        return call.body if _is_invoke(call) else json.dumps(to_event(call, made.account_id)).encode(), made

    def response(self, result: Any, call: Call) -> Result:
        """With a statusCode a response; anything else is the body of one, its type JSON."""
        if isinstance(result, dict) and "statusCode" in result:
            return fc_event.to_response(result)
        return 200, [("content-type", JSON)], b"" if result is None else encoded(result)[1]


CONTRACT = Fc3Http()


def _is_invoke(call: Call) -> bool:
    return call.method == "POST" and _INVOKE.fullmatch(call.path) is not None


def to_event(call: Call, account: str) -> dict[str, Any]:
    headers = call.headers(",")
    host = headers.get("host", "")
    body, is_base64 = boxed(call.body, headers.get("content-type", ""))
    now = time.time()
    return {
        "version": "v1",
        "rawPath": call.path,
        "body": body,
        "isBase64Encoded": is_base64,
        "headers": headers,
        "queryParameters": joined(call.pairs),
        "requestContext": {
            "accountId": account,
            "domainName": host,
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": call.method,
                "path": call.path,
                "protocol": f"HTTP/{call.version}",
                "sourceIp": call.client,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": call.id,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "timeEpoch": str(int(now * 1000)),
        },
    }

"""Alibaba Cloud Function Compute's HTTP handlers: WSGI with `fc.context` and `fc.request_uri` in the environ.

Source: "HTTP handlers" of the Python runtime (alibabacloud.com/help/doc-detail/56316.htm): a function, an object or a
class of PEP 3333, or the app of a framework. Since version 3.0 an HTTP trigger calls `handler(event, context)` with the
request as JSON instead ("Use an HTTP trigger to invoke a function", help.aliyun.com/document_detail/2545977.html):
told by the parameters' names.
"""

from __future__ import annotations

import base64
import inspect
import json
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from fnctl_agent import logs
from fnctl_agent.contracts import fc_event
from fnctl_agent.contracts.binding import Call, Load, Result, expect
from fnctl_agent.contracts.fc import ACCOUNT, FunctionCompute, context
from fnctl_agent.interface import Found, Kind


class FcHttp(FunctionCompute):
    def adopt(self, target: Any, name: str, load: Load) -> Found:
        if inspect.isfunction(target) and list(inspect.signature(target).parameters)[1:2] == ["context"]:
            return Found(Kind.EVENT, target, TriggerBinding(load))
        if not inspect.isclass(target):
            expect(target, name, "fc-http", "environ", "start_response")
        return Found(Kind.WSGI, with_context(target, load))


def with_context(app: Any, load: Load) -> Any:
    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["fc.context"] = context(load, logs.invocation.get() or str(uuid.uuid4()))
        environ["fc.request_uri"] = environ["REQUEST_URI"]
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return call


class TriggerBinding:
    """The event of an HTTP trigger of version 3.0, as bytes of JSON."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def arguments(self, call: Call) -> tuple[Any, ...]:
        return json.dumps(to_event(call)).encode(), context(self._load, call.id)

    def response(self, result: Any, call: Call) -> Result:
        return fc_event.to_response(result)


CONTRACT = FcHttp()


def to_event(call: Call) -> dict[str, Any]:
    headers = {name.title(): value for name, value in call.headers(",").items()}
    host = headers.get("Host", "")
    now = time.time()
    parameters: dict[str, str] = {}
    for name, value in call.pairs:
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    return {
        "version": "v1",
        "rawPath": call.path,
        **_body(call.body),
        "headers": headers,
        "queryParameters": parameters,
        "requestContext": {
            "accountId": ACCOUNT,
            "domainName": host.partition(":")[0],
            "domainPrefix": host.partition(".")[0],
            "http": {
                "method": call.method,
                "path": call.path,
                "protocol": f"HTTP/{call.version}",
                "sourceIp": headers.get("X-Forwarded-For", "127.0.0.1").partition(",")[0],
                "userAgent": headers.get("User-Agent", ""),
            },
            "requestId": call.id,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "timeEpoch": str(int(now * 1000)),
        },
    }


def _body(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode("utf-8"), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode("ascii"), "isBase64Encoded": True}

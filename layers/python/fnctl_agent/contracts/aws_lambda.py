"""AWS Lambda behind an HTTP API: `handler(event, context)`, payload format 2.0; that of a REST API is in aws_rest.py.

Sources, all of AWS: event and response, "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway"
(docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html); context, "Using the
Lambda context object to retrieve Python function information" (…/lambda/latest/dg/python-context.html); variables,
"Defined runtime environment variables" (…/lambda/latest/dg/configuration-envvars.html); the root logger,
"Log and monitor Python Lambda functions" (…/lambda/latest/dg/python-logging.html).

Account, API and region are made up, since there are none; `AWS_REGION` in the function's environment wins. A form's
body comes as text, where AWS sends base64: `isBase64Encoded` is right in both. A POST to the path of Lambda's own API
(docs.aws.amazon.com/lambda/latest/api/API_Invoke.html) passes its JSON as the event, and is answered by the result.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from dataclasses import dataclass
from typing import Any

from fnctl_agent.contracts import aws_rest, logger
from fnctl_agent.contracts.binding import Call, Contract, Load, Refused, expect, remaining_ms
from fnctl_agent.contracts.bodies import (
    JSON,
    TEXT,
    Result,
    boxed,
    decoded,
    finished,
    header_pairs,
    joined,
    json_text,
    status_of,
)
from fnctl_agent.interface import Found, Kind
from fnctl_agent.wire import BadResponse

ACCOUNT = "000000000000"
REGION = "us-east-1"
STAGE = "$default"
VERSION = "$LATEST"
LOG_FORMAT, LOG_LEVEL = "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"
REST = "1.0"  # the payload format of a REST API
_LAYOUT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(invocation)s\t%(message)s"
_INVOKE = re.compile(r"/2015-03-31/functions/[^/]+/invocations")


@dataclass(frozen=True, slots=True)
class Identity:
    """Of Cognito, which only mobile apps have."""

    cognito_identity_id: None = None
    cognito_identity_pool_id: None = None


@dataclass(frozen=True, slots=True)
class Context:
    aws_request_id: str
    function_name: str
    memory_limit_in_mb: str
    log_group_name: str
    log_stream_name: str
    invoked_function_arn: str
    deadline_ms: int
    function_version: str = VERSION
    identity: Identity = Identity()
    client_context: None = None
    tenant_id: str | None = None

    def get_remaining_time_in_millis(self) -> int:
        return remaining_ms(self.deadline_ms)


class Lambda(Contract):
    def environment(self, load: Load) -> dict[str, str]:
        region = load["env"].get("AWS_REGION", REGION)
        return {
            "_HANDLER": load["handler"],
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_LAMBDA_FUNCTION_NAME": load["function"],
            "AWS_LAMBDA_FUNCTION_VERSION": VERSION,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(load["memory_mb"]),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{load['function']}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{time.strftime('%Y/%m/%d', time.gmtime())}/[{VERSION}]{load['version']}",
            "LAMBDA_TASK_ROOT": load["root"],
        }

    def find(self, load: Load, resolve: Any) -> Found:
        # before the function's own import, which may set the level
        if load["env"].get(LOG_FORMAT) == "JSON":
            logger.prepare_json(load["env"].get(LOG_LEVEL, "INFO"))
        else:
            logger.prepare(logging.WARNING, _LAYOUT)
        return super().find(load, resolve)

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        expect(target, name, "lambda", "event", "context")
        return Found(Kind.EVENT, target, LambdaBinding(load))


class LambdaBinding:
    def __init__(self, load: Load) -> None:
        self._load = load

    def arguments(self, call: Call) -> tuple[Any, ...]:
        return _payload(call) if is_invoke(call) else self._event(call), self._context(call)

    def _event(self, call: Call) -> dict[str, Any]:
        if self._load.get("payload") == REST:
            return aws_rest.to_event(call, self._load, ACCOUNT)
        return to_event(call, self._load)

    def _context(self, call: Call) -> Context:
        name = self._load["function"]
        return Context(
            aws_request_id=call.id,
            function_name=name,
            memory_limit_in_mb=str(self._load["memory_mb"]),
            log_group_name=os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""),
            log_stream_name=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""),
            invoked_function_arn=f"arn:aws:lambda:{os.environ.get('AWS_REGION', REGION)}:{ACCOUNT}:function:{name}",
            deadline_ms=call.deadline_ms,
            tenant_id=call.header("x-amz-tenant-id") or None,
        )

    def response(self, result: Any, call: Call) -> Result:
        if is_invoke(call):
            return 200, [("content-type", JSON)], json_text(result).encode("utf-8", "surrogatepass")
        return aws_rest.to_response(result) if self._load.get("payload") == REST else to_response(result)


CONTRACT = Lambda()


def is_invoke(call: Call) -> bool:
    return call.method == "POST" and _INVOKE.fullmatch(call.path) is not None


def _payload(call: Call) -> Any:
    try:
        return json.loads(call.body or b"{}")
    except ValueError as error:
        raise Refused(f"the payload is not JSON: {error}") from None


def to_event(call: Call, load: Load) -> dict[str, Any]:
    """What is empty is left out, as the platform does."""
    headers = call.headers(",")
    cookies = headers.pop("cookie", "")
    optional: dict[str, Any] = {
        "cookies": [cookie.strip() for cookie in cookies.split(";")] if cookies else None,
        "queryStringParameters": joined(call.pairs),
        "pathParameters": call.params,
    }
    event = {
        "version": "2.0",
        "routeKey": _route_key(call),
        "rawPath": call.path,
        "rawQueryString": call.query,
        "headers": headers,
        **{name: value for name, value in optional.items() if value},
        "requestContext": _request_context(call, headers, load),
    }
    if not call.body:
        return {**event, "isBase64Encoded": False}
    body, is_base64 = boxed(call.body, headers.get("content-type", ""))
    return {**event, "body": body, "isBase64Encoded": is_base64}


def _route_key(call: Call) -> str:
    """`GET /items/{id}`, `ANY /files/{path+}`; `$default` where no trigger was matched."""
    route = call.route
    if not route:
        return STAGE
    route = f"{route.removesuffix('...}')}+}}" if route.endswith("...}") else route
    return f"{call.method} {route}" if route.startswith("/") else route


def _request_context(call: Call, headers: dict[str, str], load: Load) -> dict[str, Any]:
    host = headers.get("host", "")
    now = time.time()
    return {
        "accountId": ACCOUNT,
        "apiId": load["function"],
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
        "routeKey": _route_key(call),
        "stage": STAGE,
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def to_response(result: Any) -> Result:
    """With a statusCode a response; without, format 2.0 infers one: status 200, and the result as JSON."""
    if not (isinstance(result, dict) and "statusCode" in result):
        text = result if isinstance(result, str) else json_text(result)
        return 200, [("content-type", JSON)], text.encode("utf-8", "surrogatepass")
    headers = header_pairs(result.get("headers") or {})
    headers += [("set-cookie", str(cookie)) for cookie in _cookies(result)]
    body = result.get("body")
    if body is not None and not isinstance(body, str):
        raise BadResponse(f"body is a {type(body).__name__}; Lambda takes a string: json.dumps it")
    content = decoded(body) if result.get("isBase64Encoded") else (body or "").encode("utf-8", "surrogatepass")
    return finished(status_of(result["statusCode"]), headers, TEXT if content else "", content)


def _cookies(result: dict[str, Any]) -> list[Any]:
    cookies = result.get("cookies") or []
    if not isinstance(cookies, list):
        raise BadResponse("cookies is not a list")
    return cookies

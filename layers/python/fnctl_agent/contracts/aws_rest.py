"""AWS Lambda behind a REST API: events of payload format 1.0, and the responses that such an API takes.

Source: "Lambda proxy integrations in API Gateway", input and output format
(docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html).
"""

from __future__ import annotations

import time
from typing import Any

from fnctl_agent.contracts.binding import Call, Load
from fnctl_agent.contracts.bodies import JSON, Result, boxed, decoded, finished, header_pairs, status_of
from fnctl_agent.wire import BadResponse

STAGE = "Prod"
# Of callers that an account knows; nobody is here.
_NOBODY = (
    "accessKey", "accountId", "apiKey", "apiKeyId", "caller", "cognitoAuthenticationProvider",
    "cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn",
)  # fmt: skip


def to_event(call: Call, load: Load, account: str) -> dict[str, Any]:
    route = call.route.removeprefix("ANY ")
    route = f"{route.removesuffix('...}')}+}}" if route.endswith("...}") else route
    proxied = {"proxy": call.path[1:]} if call.path != "/" else {}
    # Names as clients of HTTP/1.1 write them, which a REST API hands on as they come: `Content-Type`.
    headers = {name.title(): value for name, value in call.headers(",").items()}
    lists: dict[str, list[str]] = {}
    for name, value in call.pairs:
        lists.setdefault(name, []).append(value)
    body, is_base64 = boxed(call.body, headers.get("Content-Type", "")) if call.body else (None, False)
    return {
        "resource": route or ("/{proxy+}" if proxied else "/"),
        "path": call.path,
        "httpMethod": call.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": dict(call.pairs) or None,
        "multiValueQueryStringParameters": lists or None,
        "pathParameters": (call.params if route else proxied) or None,
        "stageVariables": None,
        "requestContext": _context(call, headers, load, account, route or "/{proxy+}"),
        "body": body,
        "isBase64Encoded": is_base64,
    }


def _context(call: Call, headers: dict[str, str], load: Load, account: str, resource: str) -> dict[str, Any]:
    host = headers.get("Host", "")
    now = time.time()
    return {
        "accountId": account,
        "apiId": load["function"],
        "resourceId": load["function"],
        "resourcePath": resource,
        "httpMethod": call.method,
        "path": f"/{STAGE}{call.path}",
        "stage": STAGE,
        "protocol": f"HTTP/{call.version}",
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "requestId": call.id,
        "extendedRequestId": call.id,
        "requestTime": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "requestTimeEpoch": int(now * 1000),
        "identity": {**dict.fromkeys(_NOBODY), "sourceIp": call.client, "userAgent": headers.get("User-Agent")},
    }


def to_response(result: Any) -> Result:
    """`{statusCode, headers, multiValueHeaders, body, isBase64Encoded}` and nothing else: such an API infers none."""
    if not (isinstance(result, dict) and "statusCode" in result):
        raise BadResponse(
            f"a REST API takes {{statusCode, headers, body}}, not a {type(result).__name__} without a statusCode"
        )
    many = header_pairs(result.get("multiValueHeaders") or {})
    names = {name.lower() for name, _ in many}  # where both have a header, the list wins
    headers = [pair for pair in header_pairs(result.get("headers") or {}) if pair[0].lower() not in names] + many
    body = result.get("body")
    if body is not None and not isinstance(body, str):
        raise BadResponse(f"body is a {type(body).__name__}; Lambda takes a string: json.dumps it")
    content = decoded(body) if result.get("isBase64Encoded") else (body or "").encode("utf-8", "surrogatepass")
    return finished(status_of(result["statusCode"]), headers, JSON if content else "", content)

"""What a function was written for, told by its name, its parameters, its dependencies and what it does with them. Pure.

The sources of the rules are the platforms' documents on handlers: AWS Lambda ("Define Lambda function handler in
Node.js", "… in Python", "The Lambda context object"), Alibaba Cloud Function Compute ("Event handlers", "HTTP
handlers", "Context"), Google's Functions Framework ("Write HTTP functions", "Write event-driven functions"), OpenFaaS
(templates `node22`, `python3-http`), Apache OpenWhisk ("Creating actions").
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fnctl.config.detect.finding import Evidence
from fnctl.config.detect.signature import Signature
from fnctl.model import Contract

Candidates = dict[Contract, list[Evidence]]
Dependencies = Mapping[str, Evidence]

FRAMEWORKS = ("@google-cloud/functions-framework", "functions-framework")
# Packages that only a handler of that platform has a use for.
TELLING = {
    Contract.LAMBDA: (
        "serverless-http", "@vendia/serverless-express", "@codegenie/serverless-express", "aws-serverless-express",
        "@types/aws-lambda", "@middy/core", "@aws-lambda-powertools/commons", "@aws-lambda-powertools/logger", "mangum",
        "aws-lambda-powertools", "aws-lambda-typing", "apig-wsgi", "serverless-wsgi", "aws-wsgi",
    ),
    Contract.FC_HTTP: ("@webserverless/fc-express", "alifcweb"),
    Contract.OPENWHISK: ("openwhisk",),
}  # fmt: skip
_PLATFORM = {
    Contract.EVENT: "fnctl",
    Contract.LAMBDA: "AWS Lambda",
    Contract.FC_EVENT: "Alibaba Function Compute",
    Contract.OPENFAAS: "OpenFaaS",
}
# What the same `(event, context)` stands for on each platform.
_MEANT = {
    Contract.EVENT: "if event has method, path, query and body (fnctl's own)",
    Contract.LAMBDA: "if event is API Gateway's, parsed from JSON (AWS Lambda)",
    Contract.FC_EVENT: "if event is raw bytes (Alibaba Function Compute)",
    Contract.OPENFAAS: "if the module is the function (OpenFaaS)",
}
# What each platform gives and the others do not; <event> and <context> are the names of the two parameters. Fields that
# two of them share (headers, body, path) tell nothing.
_FIELD = r"<event>(?:\?)?(?:\.|\[['\"]|\.get\(['\"])"
_USES = {
    Contract.LAMBDA: (
        r"<context>\.(?:awsRequestId|getRemainingTimeInMillis|functionName|functionVersion|invokedFunctionArn"
        r"|memoryLimitInMB|callbackWaitsForEmptyEventLoop|logGroupName|logStreamName|clientContext|aws_request_id"
        r"|get_remaining_time_in_millis|function_name|function_version|invoked_function_arn|memory_limit_in_mb"
        r"|log_group_name|log_stream_name)\b",
        _FIELD + r"(?:queryStringParameters|multiValueQueryStringParameters|pathParameters|multiValueHeaders"
        r"|stageVariables|rawQueryString|httpMethod|requestContext|rawPath|routeKey|Records)\b",
        r"\bAPIGatewayProxy(?:Event|Handler|Result)\w*",
    ),
    Contract.FC_EVENT: (
        r"<context>\.(?:requestId|request_id|credentials|service|region|accountId|account_id|logger)\b",
        r"<context>\.function\.(?:name|handler|memory|timeout)\b",
        r"\bJSON\.parse\(\s*(?:<event>|<event>\.toString\(.*?\))\s*\)|<event>\.toString\(",
        r"\bjson\.loads\(\s*<event>\s*[,)]|<event>\.decode\(",
    ),
    Contract.EVENT: (
        r"<context>\.(?:id|version|deadlineMs|remainingMs|memoryMb|deadline_ms|remaining_ms|memory_mb)\b",
        _FIELD + r"(?:query|params|json|method)\b",
    ),
    Contract.OPENFAAS: (r"<context>\s*\.\s*(?:status|headers)\(", r"return\s+<context>\s*\.\s*(?:succeed|fail)\("),
}
_FC3_REQUEST = r"(?:\.|\[['\"]|\.get\(['\"])(?:queryParameters|rawPath)\b"
_EVENT_NAMES = ("event", "evt", "e", "data", "payload", "input")
_PARAMS_NAMES = ("params", "args", "arguments", "dict", "obj")
_CONTEXT_NAMES = ("context", "ctx", "c", "", "{}")


def candidates(signature: Signature, dependencies: Dependencies) -> Candidates:
    """What a function could have been written for, each with its evidence. Empty: it is no handler of any kind."""
    first, second = signature.parameter(0), signature.parameter(1)
    if first in ("req", "request") and second in ("res", "resp", "response"):
        return _request_handler(signature, dependencies)
    if first in ("environ", "env") and second.startswith("start"):
        return _wsgi(signature)
    if first == "scope" and second == "receive":
        return {Contract.WEB: [signature.evidence("contract web: an ASGI app by its parameters")]}
    if (framework := present(dependencies, FRAMEWORKS)) and signature.parameters and len(signature.parameters) == 1:
        return _framework(signature, framework)
    if signature.name == "main":
        return _openwhisk(signature)
    return _event_handler(signature, dependencies)


def present(dependencies: Dependencies, names: Sequence[str]) -> Evidence | None:
    return next((dependencies[name] for name in names if name in dependencies), None)


def _request_handler(signature: Signature, dependencies: Dependencies) -> Candidates:
    """`(req, res)`: Google's has Express' response; Function Compute's has a third parameter, and none of Express'."""
    if signature.parameter(2) in ("context", "ctx"):
        return {Contract.FC_HTTP: [signature.evidence("contract fc-http: (request, response, context)")]}
    if framework := present(dependencies, FRAMEWORKS):
        return {Contract.FRAMEWORK_HTTP: [signature.evidence("contract by its parameters"), framework]}
    response = signature.parameters[1] if signature.parameters else "res"
    if used := _found(signature, rf"\b{re.escape(response)}\.(?:send|sendStatus|status|json)\(", "an Express response"):
        return {Contract.FRAMEWORK_HTTP: [signature.evidence("contract by its parameters"), used]}
    return {Contract.WEB: [signature.evidence("contract web: (request, response)")]}


def _wsgi(signature: Signature) -> Candidates:
    if used := _found(signature, r"\bfc\.(?:context|request_uri)\b", "contract fc-http: a key of its environ"):
        return {Contract.FC_HTTP: [signature.evidence("contract fc-http: a WSGI app"), used]}
    return {Contract.WEB: [signature.evidence("contract web: a WSGI app by its parameters")]}


def _framework(signature: Signature, framework: Evidence) -> Candidates:
    first = signature.parameter(0)
    if first in ("request", "req"):
        return {Contract.FRAMEWORK_HTTP: [signature.evidence("contract by its parameter"), framework]}
    if first in ("cloud_event", "cloudevent", "ce"):
        return {Contract.FRAMEWORK_CLOUDEVENT: [signature.evidence("contract by its parameter"), framework]}
    return {}


def _openwhisk(signature: Signature) -> Candidates:
    """An action is called `main` and takes one dictionary. A `main` of a program takes nothing, or `argv`."""
    if signature.parameters is None or len(signature.parameters) != 1:
        return {}
    first = signature.parameter(0)
    if first not in (*_PARAMS_NAMES, *_EVENT_NAMES) and not first.startswith("{"):
        return {}
    return {Contract.OPENWHISK: [signature.evidence("contract openwhisk: main(params)")]}


def _event_handler(signature: Signature, dependencies: Dependencies) -> Candidates:
    """Ours, Lambda's and Function Compute's are all `(event, context)`: what is done with the two may tell."""
    if not _takes_event(signature):
        return {}
    if signature.name == "handle" and signature.parameters:
        return {Contract.OPENFAAS: [signature.evidence("contract openfaas: its name is `handle`")]}
    if (events := dependencies.get("cloudevents")) and len(signature.parameters or ()) == 1:
        return {Contract.CLOUDEVENTS: [signature.evidence("contract cloudevents: one event"), events]}
    told = _by_use(signature) | _by_dependency(signature, dependencies)
    if signature.name == "lambda_handler":
        told.setdefault(Contract.LAMBDA, []).append(signature.evidence("contract lambda: AWS' own name for a handler"))
    return told or {each: [signature.evidence(f"contract {each}: {_MEANT[each]}")] for each in _shapes(signature)}


def _takes_event(signature: Signature) -> bool:
    if signature.parameters is None:
        return signature.name in ("handler", "lambda_handler")
    first, second = signature.parameter(0), signature.parameter(1)
    named = signature.name in ("handler", "lambda_handler", "handle")
    fits = first in _EVENT_NAMES or (named and (first == "" or first.startswith("{")))
    return fits and second in _CONTEXT_NAMES and len(signature.parameters) <= 3


def _shapes(signature: Signature) -> tuple[Contract, ...]:
    """The contracts that such parameters fit: a callback is Lambda's and Function Compute's."""
    both = (Contract.LAMBDA, Contract.FC_EVENT)
    if signature.name == "default":
        return (Contract.OPENFAAS,)  # the module is the function: the others address an export
    return both if signature.parameters and len(signature.parameters) == 3 else (Contract.EVENT, *both)


def _by_use(signature: Signature) -> Candidates:
    names = dict(zip(("<event>", "<context>"), signature.parameters or (), strict=False))
    found: Candidates = {}
    for contract, patterns in _USES.items():
        for pattern in patterns:
            usable = _with_names(pattern, names)
            if usable and (
                used := _found(signature, usable, f"contract {contract}: {_PLATFORM[contract]} alone has this")
            ):
                found.setdefault(contract, []).append(used)
    # The same handler, behind an HTTP trigger of FC 3.0: what the bytes hold is a request.
    request = _found(signature, _FC3_REQUEST, "contract fc3-http: a field of FC 3.0's requests")
    if request and Contract.FC_EVENT in found:
        found[Contract.FC3_HTTP] = [*found.pop(Contract.FC_EVENT), request]
    return found


def _with_names(pattern: str, names: Mapping[str, str]) -> str | None:
    """The pattern for this function's parameters; None where it is about one that the function does not name."""
    for place, name in names.items():
        if name != "{}":
            pattern = pattern.replace(place, rf"(?<![\w$.]){re.escape(name)}")
    return None if re.search("<event>|<context>", pattern) else pattern


def _by_dependency(signature: Signature, dependencies: Dependencies) -> Candidates:
    return {contract: [found] for contract, names in TELLING.items() if (found := present(dependencies, names))}


def _found(signature: Signature, pattern: str, so: str) -> Evidence | None:
    match = re.search(pattern, signature.code)
    return signature.source.evidence_at(match.start(), so) if match else None

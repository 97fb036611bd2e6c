"""The Python agent with handlers of AWS Lambda and Alibaba Cloud, as their users write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.contract.agents.conftest import Load, Place
from tests.contract.agents.contract_bench import JSON

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


# --- AWS Lambda ---

LAMBDA = """
import base64, json, logging, os

logger = logging.getLogger()
logger.setLevel(logging.INFO)

def lambda_handler(event, context):
    path = event["rawPath"]
    logger.info("got %s", path)
    if path == "/event":
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(event)}
    if path == "/context":
        names = ("aws_request_id", "function_name", "function_version", "memory_limit_in_mb", "invoked_function_arn",
                 "log_group_name", "log_stream_name", "client_context")
        told = {name: getattr(context, name) for name in names}
        env = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "LAMBDA_", "_H"))}
        return {**told, "env": env, "left": context.get_remaining_time_in_millis(),
                "cognito": context.identity.cognito_identity_id}
    if path == "/response":
        return {"statusCode": "201", "headers": {"X-Number": 7, "Location": "/made"}, "cookies": ["a=1; Path=/", "b=2"],
                "body": base64.b64encode(bytes([0, 255])).decode(), "isBase64Encoded": True}
    if path == "/results":
        return json.loads(event["body"])
    if path == "/raises":
        raise KeyError("missing")
"""


def test_lambda_is_sent_format_2(load: Load) -> None:
    host = load("lambda", LAMBDA, "lambda_handler")
    sent = {
        "Cookie": "a=1; b=2",
        "X-Forwarded-For": "10.1.2.3, 10.0.0.1",
        "User-Agent": "test",
        "X-Fnctl-Params": "id=7",
    }
    event = host.request("POST", "/event?a=1&a=2&b=%20", b'{"x":1}', {**JSON, **sent}, invocation="I" * 26).json
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "$default", "/event")
    assert (event["rawQueryString"], event["queryStringParameters"]) == ("a=1&a=2&b=%20", {"a": "1,2", "b": " "})
    assert (event["cookies"], event["pathParameters"]) == (["a=1", "b=2"], {"id": "7"})
    assert (event["body"], event["isBase64Encoded"]) == ('{"x":1}', False)
    assert "cookie" not in event["headers"]
    assert not [name for name in event["headers"] if name.startswith("x-fnctl")]
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST", "path": "/event", "protocol": "HTTP/1.1", "sourceIp": "10.1.2.3", "userAgent": "test"
    }  # fmt: skip
    assert (context["requestId"], context["domainName"]) == ("I" * 26, "function.localhost")
    assert context["routeKey"] == event["routeKey"]
    routed = host.request("GET", "/event", headers={"X-Fnctl-Route": "/event/{rest...}"}).json
    assert routed["routeKey"] == "GET /event/{rest+}"
    assert host.logs.wait_for("got /event")[0] == "I" * 26
    bare = host.request("GET", "/event").json
    assert not {"cookies", "queryStringParameters", "pathParameters", "body"} & bare.keys()
    binary = host.request("POST", "/event", b"\0\xff", {"Content-Type": "image/png"}).json
    assert (binary["body"], binary["isBase64Encoded"]) == ("AP8=", True)


def test_lambda_has_the_context_that_it_is_promised(load: Load) -> None:
    host = load("lambda", LAMBDA, "lambda_handler", env={"AWS_REGION": "eu-west-1"})
    told = host.request("GET", "/context", invocation="I" * 26).json
    assert told["aws_request_id"] == "I" * 26
    assert (told["function_name"], told["function_version"], told["memory_limit_in_mb"]) == ("tested", "$LATEST", "256")
    assert told["invoked_function_arn"] == "arn:aws:lambda:eu-west-1:000000000000:function:tested"
    assert told["log_group_name"] == "/aws/lambda/tested"
    assert 0 < told["left"] <= 30_000
    assert told["cognito"] is told["client_context"] is None
    assert told["env"]["AWS_REGION"] == told["env"]["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert told["env"]["AWS_LAMBDA_FUNCTION_NAME"] == "tested"
    assert (told["env"]["LAMBDA_TASK_ROOT"], told["env"]["_HANDLER"]) == ("/fn/app", "main.lambda_handler")


def test_lambda_behind_a_rest_api(load: Load) -> None:
    code = """
import json
def lambda_handler(event, context):
    if event["path"] == "/bare":
        return "no status"
    return {"statusCode": 201, "headers": {"X-One": "1"}, "multiValueHeaders": {"X-Two": ["a", "b"]},
            "body": json.dumps(event)}
"""
    host = load("lambda", code, "lambda_handler", payload="1.0")
    told = {"X-Fnctl-Params": "id=7", "X-Fnctl-Route": "ANY /items/{id}", "Content-Type": "application/json"}
    answer = host.request("POST", "/items/7?a=1&a=2", b"{}", told)
    assert (answer.status, answer.headers["x-one"], answer.headers["x-two"]) == (201, "1", "b")
    event = answer.json
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/items/7", "/items/{id}")
    assert (event["pathParameters"], event["queryStringParameters"]) == ({"id": "7"}, {"a": "2"})
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert (event["headers"]["Content-Type"], event["body"]) == ("application/json", "{}")
    assert event["requestContext"]["resourcePath"] == "/items/{id}"
    event = host.request("GET", "/x/y").json
    assert (event["resource"], event["pathParameters"], event["body"]) == ("/{proxy+}", {"proxy": "x/y"}, None)
    assert host.request("GET", "/bare").headers["x-fnctl-error"] == "bad_response"


def test_lambda_responses_are_given_and_inferred(load: Load) -> None:
    host = load("lambda", LAMBDA, "lambda_handler")
    response = host.open("GET", "/response")
    assert (response.status, response.getheader("X-Number"), response.getheader("Location")) == (201, "7", "/made")
    assert response.headers.get_all("Set-Cookie") == ["a=1; Path=/", "b=2"]
    assert response.read() == b"\0\xff"
    inferred = {'"Hello from Lambda!"': b"Hello from Lambda!", '{"a": [1]}': b'{"a":[1]}', "null": b"null", "7": b"7"}
    for result, body in inferred.items():
        answer = host.request("POST", "/results", result, JSON)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", body)
    wrong = [
        {"statusCode": 200, "body": {"not": "text"}},
        {"statusCode": "soon"},
        {"statusCode": True},
        {"statusCode": 999},
        {"statusCode": 200, "headers": ["a"]},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "body": "no", "isBase64Encoded": True},
        {"statusCode": 200, "headers": {"a": "b\r\nc: d"}},
    ]
    for refused in wrong:
        answer = host.request("POST", "/results", json.dumps(refused), JSON)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response"), refused
    invoke = "/2015-03-31/functions/tested/invocations"
    invoked = host.request("POST", invoke, json.dumps({"rawPath": "/results", "body": '{"statusCode": 7}'}))
    assert (invoked.status, invoked.json) == (200, {"statusCode": 7})
    assert host.request("POST", invoke, "{").status == 400
    raised = host.request("GET", "/raises")
    assert (raised.status, raised.headers["x-fnctl-error"]) == (500, "crash")
    assert raised.json["error"] == {"type": "KeyError", "message": "'missing'"}
    host.logs.wait_for('raise KeyError("missing")')


# --- Alibaba Cloud Function Compute ---

FC_EVENT = """
# -*- coding: utf-8 -*-
import json, logging

started = []

def initializer(context):
    logging.getLogger().info("initializing " + context.function.name)
    started.append(context.request_id)

def handler(event, context):
    assert isinstance(event, bytes)
    logger = logging.getLogger()
    logger.info("hello world")
    if not event:
        return "no event"
    if event == b"context":
        return {
            "request": [context.request_id, context.requestId], "region": context.region, "account": context.account_id,
            "credentials": context.credentials.access_key_id, "started": len(started), "service": context.service.name,
            "function": [context.function.name, context.function.handler, context.function.memory,
                         context.function.timeout],
        }
    if event == b"logger":
        context.logger.info("by the context's logger")
        return None
    if event == b"response":
        return {"statusCode": 418, "headers": {"X-A": "b"}, "body": "teapot"}
    evt = json.loads(event)
    return evt["key"]
"""


def test_fc_events_are_bytes_and_results_are_bodies(load: Load) -> None:
    env = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "key", "FC_REGION": "cn-shanghai"}
    host = load("fc-event", FC_EVENT, initializer="main.initializer", env=env)
    told = host.request("POST", body=b"context", invocation="I" * 26).json
    assert told == {
        "request": ["I" * 26, "I" * 26], "region": "cn-shanghai", "account": "000000000000", "credentials": "key",
        "started": 1, "service": "fnctl", "function": ["tested", "main.handler", 256, 30],
    }  # fmt: skip
    host.logs.wait_for("[INFO] initializing tested")
    mark, line = host.logs.wait_for("hello world")
    assert mark == "I" * 26
    assert line.endswith(f"{'I' * 26} [INFO] hello world")
    for body, answer in {b'{"key": "value"}': b"value", b"": b"no event", b'{"key": [1, "a"]}': b'[1,"a"]'}.items():
        assert host.request("POST", body=body).body == answer
    assert host.request("POST", body=b"logger").body == b""
    host.logs.wait_for("by the context's logger")
    response = host.request("POST", body=b"response")
    assert (response.status, response.headers["x-a"], response.body) == (418, "b", b"teapot")
    assert host.request("POST", body=b"not json").headers["x-fnctl-error"] == "crash"


def test_an_initializer_runs_once_before_processes_are_forked(load: Load) -> None:
    host = load("fc-event", FC_EVENT, initializer="main.initializer", model="ephemeral")
    for _ in range(2):
        assert host.request("POST", body=b"context").json["started"] == 1
        host.next_connection()
        host.agent.expect("done")


FC_HTTP = """
HELLO_WORLD = b"Hello world!\\n"

def handler(environ, start_response):
    context = environ['fc.context']
    request_uri = environ['fc.request_uri']
    for k, v in environ.items():
        if k.startswith('HTTP_'):
            pass
    try:
        request_body_size = int(environ.get('CONTENT_LENGTH', 0))
    except (ValueError):
        request_body_size = 0
    request_body = environ['wsgi.input'].read(request_body_size)
    start_response('200 OK', [('Content-type', 'text/plain')])
    return [HELLO_WORLD, f"{context.request_id} {request_uri} {request_body!r}".encode()]

class AppClass:
    def __init__(self, environ, start_response):
        self.environ = environ
        self.start = start_response

    def __iter__(self):
        self.start('202 Accepted', [('Content-type', 'text/plain')])
        yield self.environ['fc.request_uri'].encode()

def trigger(event, context):
    import json
    evt = json.loads(event)
    told = [evt['requestContext']['http']['method'], evt['rawPath'], evt['queryParameters']['a'], evt['body']]
    return {'statusCode': 200, 'headers': {'Content-Type': 'text/plain'}, 'isBase64Encoded': False,
            'body': ''.join(told)}
"""


def test_fc_http_handlers_are_wsgi(load: Load) -> None:
    answer = load("fc-http", FC_HTTP).request("POST", "/a%20b?c=d", b"body", invocation="I" * 26)
    assert answer.body == b"Hello world!\n" + b"I" * 26 + b" /a%20b?c=d b'body'"
    answer = load("fc-http", FC_HTTP, "AppClass").request("GET", "/x")
    assert (answer.status, answer.body) == (202, b"/x")


def test_an_http_trigger_of_fc_3_sends_an_event(load: Load) -> None:
    host = load("fc3-http", FC_HTTP, "trigger")
    answer = host.request("PUT", "/p?a=1", b"body")
    assert (answer.status, answer.body) == (200, b"PUT/p1body")
    event = {"requestContext": {"http": {"method": "X"}}, "rawPath": "", "queryParameters": {"a": "!"}, "body": ""}
    invoked = host.request("POST", "/2023-03-30/functions/tested/invocations", json.dumps(event))
    assert invoked.body == b"X!"


def test_a_flask_app_is_an_fc_http_handler(load: Load, python_platforms: Path) -> None:
    code = """
from flask import Flask, request
app = Flask(__name__)

def init(context):
    app.config["made"] = context.function.name

@app.route("/<name>")
def index(name):
    return [app.config["made"], name, request.environ["fc.context"].region]
"""
    host = load("fc-http", code, "app", extra=python_platforms, initializer="main.init")
    assert host.request("GET", "/x").json == ["tested", "x", "local"]


# --- what does not load ---

WRONG = {
    "a name that is not there": ("lambda", "def lambda_handler(event, context):\n    pass\n", "main.handler",
                                 'main has no "handler"; it defines: lambda_handler', 1),
    "too few parameters": ("lambda", "\ndef handler(event):\n    pass\n", "main.handler",
                           "lambda calls main.handler(event, context), but it is defined as handler(event)", 2),
    "not callable": ("fc-event", "handler = 7\n", "main.handler", "main.handler is an int", None),
    "a class": ("openwhisk", "class main:\n    pass\n", "main.main", "main.main is the class main", None),
    "a web app that is none": ("web", "def handler(event, context):\n    pass\n", "main.handler",
                               "neither a WSGI nor an ASGI app", 1),
    "too many parameters": ("openwhisk", "def main(a, b):\n    pass\n", "main.main",
                            "openwhisk calls main.main(params)", 1),
    "a file": ("lambda", "", "main.py", 'the handler is module.attr, not "main.py"', None),
    "no event": ("cloudevents", "def handler():\n    pass\n", "main.handler", "it takes no parameters", 1),
    "an event's handler": ("fc-http", "def handler(event, context):\n    pass\n", "main.handler",
                           "the contract is fc3-http, or fc-event", 1),
    "no such contract": ("cobol", "", "main.handler", "Python has no contract `cobol`; it has: web, event", None),
    "no framework": ("functions-framework-http", "def hello(request):\n    pass\n", "main.hello",
                     "add `functions-framework` to requirements.txt", None),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_function_that_does_not_fit_its_contract(place: Place, what: str) -> None:
    contract, code, handler, message, line = WRONG[what]
    host = place({"main.py": code})
    host.send_load(handler, contract=contract)
    failed = host.agent.expect("load_failed")
    assert message in failed["message"]
    assert (failed.get("file"), failed.get("line")) == ("main.py" if line else None, line)
    host.logs.wait_for(message)


INITIALIZERS = {
    "raises": ("def handler(event, context):\n    pass\n\ndef init(context):\n    raise KeyError('no table')\n",
               "main.init", "no table", 5),
    "is not there": ("def handler(event, context):\n    pass\n", "main.init", 'main has no "init"', 1),
    "takes nothing": ("def handler(event, context):\n    pass\n\ndef init():\n    pass\n", "main.init",
                      "fc-event's initializer calls main.init(context)", 4),
}  # fmt: skip


@pytest.mark.parametrize("what", INITIALIZERS)
def test_an_initializer_that_fails_is_a_load_error(place: Place, what: str) -> None:
    code, initializer, message, line = INITIALIZERS[what]
    host = place({"main.py": code})
    host.send_load("main.handler", contract="fc-event", initializer=initializer)
    failed = host.agent.expect("load_failed")
    assert message in failed["message"]
    assert (failed["file"], failed["line"]) == ("main.py", line)


def test_an_initializer_needs_a_contract_that_has_one(place: Place) -> None:
    host = place({"main.py": "def handler(event, context):\n    pass\n"})
    host.send_load("main.handler", contract="lambda", initializer="main.init")
    assert "the contract `lambda` has no initializer" in host.agent.expect("load_failed")["message"]

"""Functions written for other platforms, as their users write them, called by the Python agent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Place
from sandbox_host import SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "python3.13"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "made"}

Load = Callable[..., SandboxHost]


@pytest.fixture(scope="session")
def framework(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    """The functions framework, and with it Flask and the CloudEvents SDK."""
    return workshop(RUNTIME, ("requirements.txt", "functions-framework\n"))


@pytest.fixture
def load(place: Place) -> Load:
    """load(contract, code, …) → the sandbox, which has loaded `main.NAME` of it."""

    def load(contract: str, code: str, name: str = "handler", *, extra: Path | None = None, **fields: Any) -> Any:
        host = place({"main.py": code, **fields.pop("files", {})}, extra)
        host.load(f"main.{name}", contract=contract, **fields)
        return host

    return load


# --- each contract in both process models ---

SMALLEST: Mapping[str, tuple[str, str]] = {
    "web": ("def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'made']\n", "app"),
    "event": ("def handler(event, context):\n    return 'made'\n", "handler"),
    "lambda": ("def handler(event, context):\n    return {'statusCode': 200, 'body': 'made'}\n", "handler"),
    "fc-event": ("def handler(event, context):\n    return b'made'\n", "handler"),
    "fc3-http": ("def handler(event, context):\n    return 'made'\n", "handler"),
    "fc-http": ("def handler(environ, start):\n    start('200 OK', [])\n    return [b'made']\n", "handler"),
    "functions-framework-http": ("def hello(request):\n    return 'made'\n", "hello"),
    "functions-framework-cloudevent": ("def hello(event):\n    print(event['type'])\n", "hello"),
    "openfaas": ("def handle(event, context):\n    return {'body': 'made'}\n", "handle"),
    "openwhisk": ("def main(params):\n    return {'body': 'made'}\n", "main"),
    "cloudevents": ("def handler(event):\n    return {**event, 'data': b'made'}\n", "handler"),
}


@pytest.mark.parametrize("model", ["resident", "ephemeral"])
@pytest.mark.parametrize("contract", SMALLEST)
def test_every_contract_in_both_models(load: Load, framework: Path, contract: str, model: str) -> None:
    code, name = SMALLEST[contract]
    host = load(contract, code, name, extra=framework if "framework" in contract else None, model=model)
    for turn in range(2):
        if turn and model == "ephemeral":
            host.next_connection()
            assert host.agent.expect("done")["code"] == 0
        answer = host.request("POST", headers=EVENT)
        assert (answer.status, answer.body) == (200, b"OK" if contract.endswith("cloudevent") else b"made")


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
    for result in wrong:
        answer = host.request("POST", "/results", json.dumps(result), JSON)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response"), result
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


def test_a_flask_app_is_an_fc_http_handler(load: Load, framework: Path) -> None:
    code = """
from flask import Flask, request
app = Flask(__name__)

def init(context):
    app.config["made"] = context.function.name

@app.route("/<name>")
def index(name):
    return [app.config["made"], name, request.environ["fc.context"].region]
"""
    host = load("fc-http", code, "app", extra=framework, initializer="main.init")
    assert host.request("GET", "/x").json == ["tested", "x", "local"]


# --- functions framework ---

FRAMEWORK = """
import functions_framework
from flask import abort, jsonify
from markupsafe import escape

@functions_framework.http
def hello_http(request):
    if request.path == "/abort":
        abort(405)
    if request.path == "/tuple":
        return ({"method": request.method}, 201, {"X-A": "b"})
    if request.path == "/raises":
        raise ValueError("it broke")
    request_json = request.get_json(silent=True)
    request_args = request.args
    name = (request_json or request_args or {}).get("name", "World")
    return f"Hello {escape(name)}!"

@functions_framework.cloud_event
def hello_event(cloud_event):
    print(f"Received event {cloud_event['id']} of {cloud_event['source']}: {cloud_event.data}")
"""


def test_functions_framework_http(load: Load, framework: Path) -> None:
    host = load("functions-framework-http", FRAMEWORK, "hello_http", extra=framework)
    assert host.request("GET", "/?name=<b>").body == b"Hello &lt;b&gt;!"
    assert host.request("POST", "/any/path", b'{"name": "Ann"}', JSON).body == b"Hello Ann!"
    answer = host.request("DELETE", "/tuple")
    assert (answer.status, answer.headers["x-a"], answer.json) == (201, "b", {"method": "DELETE"})
    assert host.request("GET", "/abort").status == 405
    assert host.request("GET", "/raises").status == 500
    host.logs.wait_for("it broke")


def test_functions_framework_cloudevent(load: Load, framework: Path) -> None:
    host = load("functions-framework-cloudevent", FRAMEWORK, "hello_event", extra=framework)
    answer = host.request("POST", "/", b'{"a": 1}', {**EVENT, **JSON}, invocation="I" * 26)
    assert (answer.status, answer.body) == (200, b"OK")
    assert host.logs.wait_for("Received event 1")[1] == "Received event 1 of /tests: {'a': 1}"
    structured = {"specversion": "1.0", "id": "2", "source": "/s", "type": "t", "data": "text"}
    answer = host.request("POST", "/", json.dumps(structured), {"Content-Type": "application/cloudevents+json"})
    assert answer.status == 200
    host.logs.wait_for("Received event 2 of /s: text")
    assert host.request("POST", "/", b'{"no": "event"}', JSON).status == 400


def test_functions_framework_on_asgi(load: Load, framework: Path) -> None:
    code = """
import functions_framework.aio

@functions_framework.aio.http
async def hello(request):
    return "Hello " + request.query_params["name"]
"""
    host = load("functions-framework-http", code, "hello", extra=framework)
    assert host.request("GET", "/?name=Ann").body == b"Hello Ann"


# --- OpenFaaS ---


def test_openfaas_of_the_http_template(load: Load) -> None:
    code = """
from . import helper
from function.helper import greeting
import helper as plain

def handle(event, context):
    if event.path == "/json":
        return {"statusCode": 201, "body": {"body": event.body.decode(), "name": event.query["name"],
                "type": event.headers["Content-Type"], "missing": event.headers.get("X-None"),
                "all": event.query.getlist("name"), "method": event.method}, "headers": {"X-Host": context.hostname}}
    if event.path == "/bytes":
        return {"body": bytes([0, 255])}
    if event.path == "/tuple":
        return "gone", 410
    if event.path == "/none":
        return None
    if event.path == "/bad":
        return {"statusCode": "soon"}
    return helper.greeting + greeting + plain.greeting
"""
    host = load("openfaas", code, "handle", files={"helper.py": "greeting = 'hi'\n"})
    answer = host.request("POST", "/json?name=a&name=b", b"body", FORM)
    assert (answer.status, bool(answer.headers["x-host"])) == (201, True)
    assert answer.json == {"body": "body", "name": "a", "type": FORM["Content-Type"], "missing": None,
                           "all": ["a", "b"], "method": "POST"}  # fmt: skip
    assert host.request("GET", "/bytes").body == b"\0\xff"
    assert (host.request("GET", "/tuple").status, host.request("GET", "/none").body) == (410, b"")
    text = host.request("GET", "/")
    assert (text.headers["content-type"], text.body) == ("text/html; charset=utf-8", b"hihihi")
    assert host.request("GET", "/bad").headers["x-fnctl-error"] == "bad_response"


def test_openfaas_of_the_classic_template(load: Load) -> None:
    code = 'def handle(req):\n    """handle a request"""\n    print("in the log")\n    return req.upper()\n'
    host = load("openfaas", code, "handle")
    assert host.request("POST", body="grüße".encode()).body.decode() == "GRÜSSE"
    host.logs.wait_for("in the log")


# --- OpenWhisk ---

OPENWHISK = """
import os

def main(args):
    path = args["__ow_path"]
    if path == "/result":
        return {k: v for k, v in args.items() if not k.startswith("__ow_")}
    if path == "/env":
        return {name: os.environ[name] for name in os.environ if name.startswith("__OW_")}
    if path == "/text":
        return "not a dict"
    name = args.get("name", "stranger")
    return {"greeting": "Hello " + name + "!", "params": args}
"""


def test_openwhisk_parameters(load: Load) -> None:
    host = load("openwhisk", OPENWHISK, "main")
    told = host.request("POST", "/p?name=query&q=1", b'{"name": "body", "n": 1}', {**JSON, "X-A": "b"}).json["params"]
    assert (told["name"], told["q"], told["n"]) == ("body", "1", 1)
    assert (told["__ow_method"], told["__ow_path"], told["__ow_headers"]["x-a"]) == ("post", "/p", "b")
    assert "__ow_body" not in told
    assert host.request("POST", "/", b"name=form", FORM).json["greeting"] == "Hello form!"
    assert host.request("GET", "/").json["params"]["__ow_path"] == ""
    assert host.request("POST", "/", b"Jane", {"Content-Type": "text/plain"}).json["params"]["__ow_body"] == "Jane"
    assert host.request("POST", "/", b"[1]", JSON).json["params"]["__ow_body"] == [1]
    binary = host.request("POST", "/", b"\0\xff", {"Content-Type": "image/png"}).json["params"]["__ow_body"]
    assert base64.b64decode(binary) == b"\0\xff"
    env = host.request("GET", "/env", invocation="I" * 26).json
    assert (env["__OW_ACTION_NAME"], env["__OW_ACTIVATION_ID"]) == ("/guest/tested", "I" * 26)
    assert int(env["__OW_DEADLINE"]) > 0
    for path, body in (("/?__ow_user=me", None), ("/", b'{"__ow_path": "/x"}'), ("/", b"{")):
        refused = host.request("POST", path, body, JSON)
        assert (refused.status, refused.json["error"]["code"]) == (400, "bad_request")
        assert "x-fnctl-error" not in refused.headers


def test_openwhisk_results(load: Load) -> None:
    host = load("openwhisk", OPENWHISK, "main")

    def answer(result: Any) -> tuple[int, str | None, bytes]:
        answer = host.request("POST", "/result", json.dumps(result), JSON)
        return answer.status, answer.headers.get("content-type"), answer.body

    html, as_json = "text/html; charset=utf-8", "application/json"
    png, both = {"Content-Type": "image/png"}, {"Content-Type": as_json}
    assert answer({"body": "<p>"}) == (200, html, b"<p>")
    assert answer({"statusCode": 302, "headers": {"location": "/"}}) == (302, None, b"")
    assert answer({"headers": png, "body": "AP8="}) == (200, "image/png", b"\0\xff")
    assert answer({"headers": both, "body": '{"a": 1}'}) == (200, as_json, b'{"a": 1}')
    assert answer({"headers": both, "body": "eyJhIjoxfQ=="}) == (200, as_json, b'{"a":1}')
    assert answer({"body": {"a": 1}}) == (200, as_json, b'{"a":1}')
    assert answer({"payload": 1}) == (200, as_json, b'{"payload":1}')
    assert answer({"error": {"statusCode": 404, "body": "none"}}) == (404, html, b"none")
    assert answer({"error": "wrong"}) == (502, as_json, b'{"error":"wrong"}')
    assert answer({"headers": png, "body": "not base64"})[0] == 502
    assert host.request("GET", "/text").headers["x-fnctl-error"] == "bad_response"


def test_an_openwhisk_archive_has_its_main_in_main(place: Place) -> None:
    code = "from helper import hello\ndef main(args):\n    return hello(args)\n"
    helper = "def hello(args):\n    return {'hello': args['name']}\n"
    host = place({"__main__.py": code, "helper.py": helper})
    host.load("__main__.main", contract="openwhisk")
    assert host.request("GET", "/?name=Ann").json == {"hello": "Ann"}


# --- CloudEvents ---

CLOUDEVENTS = """
def handler(event, context):
    print(f"{type(event).__module__} {event['id']}")
    if event["type"] == "echo":
        return event
    if event["type"] == "dict":
        return {"type": "made", "source": "/f", "datacontenttype": "text/plain", "data": "text"}
    if event["type"] == "new":
        return type(event)({"type": "made", "source": "/f", "subject": 'a "b" ü'}, {"seen": event.data})
    if event["type"] == "nothing":
        return None
    if event["type"] == "none":
        return {"type": "made"}
    return {"type": "told", "source": "/f", "data": {"data": event.data, "function": context.function}}
"""
STRUCTURED = {"Content-Type": "application/cloudevents+json"}


@pytest.mark.parametrize("sdk", [False, True])
def test_cloudevents_in_and_out(load: Load, framework: Path, sdk: bool) -> None:
    host = load("cloudevents", CLOUDEVENTS, extra=framework if sdk else None)
    answer = host.request("POST", body=b'{"a": 1}', headers={**EVENT, **JSON})
    assert answer.json == {"data": {"a": 1}, "function": "tested"}
    host.logs.wait_for("cloudevents.http.event 1" if sdk else "fnctl_agent.contracts.cloudevents 1")
    echoed = host.request("POST", body=b'{"a": 1}', headers={**EVENT, **JSON, "ce-type": "echo", "ce-own": "%22x%22"})
    assert {name: echoed.headers[f"ce-{name}"] for name in ("id", "type", "own", "source", "specversion")} == {
        "id": "1", "type": "echo", "own": "%22x%22", "source": "/tests", "specversion": "1.0"
    }  # fmt: skip
    assert (echoed.headers["content-type"], echoed.json) == ("application/json", {"a": 1})
    document = {"specversion": "1.0", "id": "2", "source": "/s", "type": "echo", "data_base64": "AP8="}
    again = host.request("POST", body=json.dumps(document), headers=STRUCTURED)
    assert again.headers["content-type"] == STRUCTURED["Content-Type"]
    assert document.items() <= again.json.items()
    made = host.request("POST", body=b"x", headers={**EVENT, "ce-type": "new", "Content-Type": "text/plain"})
    assert (made.headers["ce-type"], made.headers["ce-subject"], made.json) == (
        "made",
        "a%20%22b%22%20%C3%BC",
        {"seen": "x"},
    )
    of_dict = host.request("POST", headers={**EVENT, "ce-type": "dict"})
    assert (of_dict.headers["ce-source"], of_dict.body) == ("/f", b"text")


def test_what_is_no_cloudevent_is_refused(load: Load) -> None:
    host = load("cloudevents", CLOUDEVENTS)
    document = {"specversion": "1.0", "id": "2", "source": "/s", "type": "t"}
    binary: list[tuple[dict[str, str], bytes]] = [
        ({}, b"{}"),
        ({**EVENT, "ce-specversion": "0.3"}, b""),
        ({name: value for name, value in EVENT.items() if name != "ce-id"}, b""),
        ({**EVENT, "ce-source": ""}, b""),
        ({**EVENT, **JSON}, b"{"),
    ]
    structured = [b"{", b"[]", b"{}", json.dumps({**document, "Bad-Name": 1}).encode(),
                  json.dumps({**document, "own": {}}).encode(), json.dumps({**document, "time": "noon"}).encode(),
                  json.dumps({**document, "data": 1, "data_base64": "AA=="}).encode(),
                  json.dumps({**document, "data_base64": "?"}).encode()]  # fmt: skip
    for headers, body in [*binary, *((STRUCTURED, body) for body in structured)]:
        answer = host.request("POST", body=body, headers=headers)
        assert answer.status == 400, (headers, body)
        assert "CloudEvent" in answer.json["error"]["message"]
    assert (
        host.request("POST", body=b"[]", headers={"Content-Type": "application/cloudevents-batch+json"}).status == 415
    )
    good = host.request("POST", body=json.dumps({**document, "data": 1}), headers=STRUCTURED)
    assert good.json["data"] == {"data": 1, "function": "tested"}
    assert host.request("POST", headers={**EVENT, "ce-type": "nothing"}).status == 204
    bad = host.request("POST", headers={**EVENT, "ce-type": "none"})
    assert (bad.status, bad.headers["x-fnctl-error"]) == (502, "bad_response")


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


def test_a_wrong_framework_target_names_what_is_there(place: Place, framework: Path) -> None:
    host = place({"main.py": "def hello(request):\n    pass\n"}, framework)
    host.send_load("main.helo", contract="functions-framework-http")
    failed = host.agent.expect("load_failed")
    assert ("'hello'" in failed["message"], failed["file"]) == (True, "main.py")


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

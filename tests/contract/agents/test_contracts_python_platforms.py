"""The Python agent with functions of the Functions Framework, OpenFaaS, OpenWhisk, and for CloudEvents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.contract.agents.conftest import Load, Place
from tests.contract.agents.contract_bench import JSON

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/tests", "ce-type": "made"}


# --- Google's Functions Framework ---

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


def test_functions_framework_http(load: Load, python_platforms: Path) -> None:
    host = load("functions-framework-http", FRAMEWORK, "hello_http", extra=python_platforms)
    assert host.request("GET", "/?name=<b>").body == b"Hello &lt;b&gt;!"
    assert host.request("POST", "/any/path", b'{"name": "Ann"}', JSON).body == b"Hello Ann!"
    answer = host.request("DELETE", "/tuple")
    assert (answer.status, answer.headers["x-a"], answer.json) == (201, "b", {"method": "DELETE"})
    assert host.request("GET", "/abort").status == 405
    assert host.request("GET", "/raises").status == 500
    host.logs.wait_for("it broke")


def test_functions_framework_cloudevent(load: Load, python_platforms: Path) -> None:
    host = load("functions-framework-cloudevent", FRAMEWORK, "hello_event", extra=python_platforms)
    answer = host.request("POST", "/", b'{"a": 1}', {**EVENT, **JSON}, invocation="I" * 26)
    assert (answer.status, answer.body) == (200, b"OK")
    assert host.logs.wait_for("Received event 1")[1] == "Received event 1 of /tests: {'a': 1}"
    structured = {"specversion": "1.0", "id": "2", "source": "/s", "type": "t", "data": "text"}
    answer = host.request("POST", "/", json.dumps(structured), {"Content-Type": "application/cloudevents+json"})
    assert answer.status == 200
    host.logs.wait_for("Received event 2 of /s: text")
    assert host.request("POST", "/", b'{"no": "event"}', JSON).status == 400


def test_functions_framework_on_asgi(load: Load, python_platforms: Path) -> None:
    code = """
import functions_framework.aio

@functions_framework.aio.http
async def hello(request):
    return "Hello " + request.query_params["name"]
"""
    host = load("functions-framework-http", code, "hello", extra=python_platforms)
    assert host.request("GET", "/?name=Ann").body == b"Hello Ann"


def test_a_wrong_framework_target_names_what_is_there(place: Place, python_platforms: Path) -> None:
    host = place({"main.py": "def hello(request):\n    pass\n"}, python_platforms)
    host.send_load("main.helo", contract="functions-framework-http")
    failed = host.agent.expect("load_failed")
    assert ("'hello'" in failed["message"], failed["file"]) == (True, "main.py")


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


def test_the_classic_handler_finds_the_request_in_its_environment(load: Load) -> None:
    code = """
import json, os
def handle(req):
    return json.dumps({name: value for name, value in os.environ.items() if name.startswith("Http_")})
"""
    host = load("openfaas", code, "handle")
    told = host.request("POST", "/a/b?x=1", b"hi", {"User-Agent": "test", "X-Forwarded-For": "203.0.113.7"}).json
    wanted = {
        "Http_Method": "POST", "Http_Path": "/a/b", "Http_Query": "x=1", "Http_User_Agent": "test",
        "Http_ContentLength": "2", "Http_X_Forwarded_For": "203.0.113.7",
    }  # fmt: skip
    assert {name: told.get(name) for name in wanted} == wanted
    assert not any("fnctl" in name.lower() for name in told)
    assert "Http_Query" not in host.request("GET", "/a").json


HEADERS = '{"x-none": None, "x-some": "some", "x-list": ["a", None]}'


@pytest.mark.parametrize("contract", ["event", "lambda", "fc-event", "fc3-http", "openfaas"])
def test_a_header_without_a_value_is_left_out(load: Load, contract: str) -> None:
    code = f'def handle(event, context):\n    return {{"statusCode": 200, "headers": {HEADERS}, "body": "x"}}\n'
    answer = load(contract, code, "handle").request("POST", "/", b"{}")
    assert (answer.status, answer.headers["x-some"]) == (200, "some")
    assert "x-none" not in answer.headers


def test_an_action_s_header_without_a_value_is_refused(load: Load) -> None:
    code = 'def main(args):\n    return {"headers": {"x-none": None}, "body": "x"}\n'
    assert load("openwhisk", code, "main").request("GET", "/").headers["x-fnctl-error"] == "bad_response"


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
def test_cloudevents_in_and_out(load: Load, python_platforms: Path, sdk: bool) -> None:
    host = load("cloudevents", CLOUDEVENTS, extra=python_platforms if sdk else None)
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


# --- all of them ---

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
def test_every_contract_in_both_models(load: Load, python_platforms: Path, contract: str, model: str) -> None:
    code, name = SMALLEST[contract]
    host = load(contract, code, name, extra=python_platforms if "framework" in contract else None, model=model)
    for turn in range(2):
        if turn and model == "ephemeral":
            host.next_connection()
            assert host.agent.expect("done")["code"] == 0
        answer = host.request("POST", headers=EVENT)
        assert (answer.status, answer.body) == (200, b"OK" if contract.endswith("cloudevent") else b"made")

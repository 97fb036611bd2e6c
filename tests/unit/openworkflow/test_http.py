"""Requests of HTTP, OpenAPI and AsyncAPI calls: what is sent, and what becomes of the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from fnctl.openworkflow.kinds.authentication import digest_answer
from fnctl.openworkflow.kinds.openapi import base_of
from fnctl.openworkflow.world import HttpRequest, HttpResponse
from tests.support.openworkflow import error, output
from tests.support.workflow_world import FakeWorld

DOCUMENTS: Mapping[str, Any] = {
    "https://x.example/openapi.json": {
        "openapi": "3.1.0",
        "servers": [{"url": "/v1"}],
        "components": {"parameters": {"Id": {"name": "id", "in": "path", "required": True}}},
        "paths": {
            "/pets/{id}": {
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "put": {
                    "operationId": "savePet",
                    "parameters": [
                        {"name": "dry", "in": "query"},
                        {"name": "X-Who", "in": "header"},
                        {"name": "sid", "in": "cookie"},
                    ],
                    "requestBody": {"content": {"application/json": {}}},
                },
            }
        },
    },
    "https://x.example/async2.json": {
        "asyncapi": "2.6.0",
        "servers": {
            "mq": {"url": "mq.example", "protocol": "amqp"},
            "web": {"url": "web.example", "protocol": "https"},
        },
        "channels": {"/orders/{kind}": {"publish": {"operationId": "order"}}},
    },
}


class Web:
    """Keeps what is asked; answers documents by their address, and everything else as it is told."""

    def __init__(self, *answers: HttpResponse) -> None:
        self.asked: list[HttpRequest] = []
        self._answers = list(answers) or [said({"ok": True})]
        self.world = FakeWorld(addresses=self._answer, secrets={"basic": {"username": "u", "password": "p"}})

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.url in DOCUMENTS:
            return said(DOCUMENTS[request.url])
        self.asked.append(request)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def said(value: Any, status: int = 200, **headers: str) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json", **headers}, json.dumps(value).encode())


def call(more: str, method: str = "get") -> str:
    return f"do:\n- a: {{call: http, with: {{method: {method}, {more}}}}}\n"


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ("endpoint: 'https://x.example/p/{id}'", "https://x.example/p/a%2Fb"),
        ("endpoint: {uri: 'https://x.example/p/{nobody}/x'}", "https://x.example/p//x"),
        ("endpoint: '${ \"https://x.example/\" + .path }'", "https://x.example/deep"),
        ("endpoint: 'https://x.example/p', query: {q: '${ .id }', n: '1'}", "https://x.example/p?q=a%2Fb&n=1"),
        ("endpoint: 'https://x.example/p?z=1', query: '${ {q: .n} }'", "https://x.example/p?z=1&q=5"),
    ],
)
def test_where_it_is_sent(more: str, url: str) -> None:
    web = Web()
    output(call(more), {"id": "a/b", "path": "deep", "n": 5}, web.world)
    assert web.asked[0].url == url


def test_what_is_sent() -> None:
    web = Web()
    output(
        call("endpoint: 'https://x.example/', headers: {X-A: '${ .a }'}, body: {b: '${ .a }'}", "post"),
        {"a": "1"},
        web.world,
    )
    (asked,) = web.asked
    assert (asked.method, asked.headers["x-a"], json.loads(asked.body or b"")) == ("POST", "1", {"b": "1"})
    output(
        call("endpoint: 'https://x.example/', headers: {content-type: text/plain}, body: plain", "put"), {}, web.world
    )
    assert web.asked[1].body == b"plain"


def test_what_it_gives() -> None:
    text = call("endpoint: 'https://x.example/', output: %s")
    assert output(text % "content", {}, Web(said([1])).world) == [1]
    assert output(text % "raw", {}, Web(said([1])).world) == base64.b64encode(b"[1]").decode()
    whole = output(text % "response", {}, Web(said({"x": 1}, etag="e")).world)
    assert (whole["statusCode"], whole["headers"]["etag"], whole["content"]) == (200, "e", {"x": 1})
    assert whole["request"]["uri"] == "https://x.example/"


@pytest.mark.parametrize(("status", "redirect", "fails"), [(404, False, True), (302, False, True), (302, True, False)])
def test_which_answers_are_faults(status: int, redirect: bool, fails: bool) -> None:
    text = call(f"endpoint: 'https://x.example/', redirect: {str(redirect).lower()}")
    if fails:
        found = error(text, {}, Web(said({"why": "gone"}, status)).world)
        assert found["status"] == status and '{"why": "gone"}' in found["detail"]
    else:
        assert output(text, {}, Web(said({"moved": 1}, status)).world) == {"moved": 1}


@pytest.mark.parametrize(
    ("policy", "header"),
    [
        ("basic: {username: u, password: '${ .p }'}", "Basic " + base64.b64encode(b"u:p").decode()),
        ("basic: {use: basic}", "Basic " + base64.b64encode(b"u:p").decode()),
        ("bearer: {token: '${ .p }'}", "Bearer p"),
        ("use: named", "Bearer reused"),
    ],
)
def test_who_asks(policy: str, header: str) -> None:
    web = Web()
    text = "use: {secrets: [basic], authentications: {named: {bearer: {token: reused}}}}\n" + call(
        f"endpoint: {{uri: 'https://x.example/', authentication: {{{policy}}}}}, output: response"
    )
    whole = output(text, {"p": "p"}, web.world)
    assert web.asked[0].headers["authorization"] == header
    assert "authorization" not in whole["request"]["headers"]  # it would be in the log


def test_oauth_asks_for_a_token_first() -> None:
    policy = "oauth2: {authority: 'https://id.example/realm', grant: client_credentials, scopes: [a, b], "
    policy += "client: {id: me, secret: s}}"
    web = Web(said({"access_token": "tok"}), said({"ok": 1}))
    output(call(f"endpoint: {{uri: 'https://x.example/', authentication: {{{policy}}}}}"), {}, web.world)
    token, asked = web.asked
    assert token.url == "https://id.example/realm/oauth2/token"
    assert token.body == b"grant_type=client_credentials&scope=a+b&client_id=me&client_secret=s"
    assert asked.headers["authorization"] == "Bearer tok"
    refused = Web(said({}, 400))
    found = error(call(f"endpoint: {{uri: 'https://x.example/', authentication: {{{policy}}}}}"), {}, refused.world)
    assert found["type"].endswith("/authentication")


def test_a_digest_is_that_of_its_standard() -> None:
    """The example of RFC 2617, 3.5."""
    given = {"realm": "testrealm@host.com", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093", "qop": "auth,auth-int"}
    request = HttpRequest("GET", "http://www.nowhere.org/dir/index.html")
    who = {"username": "Mufasa", "password": "Circle Of Life"}
    answer = digest_answer({**given, "opaque": "x"}, request, who, "0a4f113b")
    assert 'response="6629fae49393a05397450978507c4ef1"' in answer
    assert 'uri="/dir/index.html"' in answer and 'opaque="x"' in answer


def test_an_operation_by_its_id() -> None:
    web = Web()
    text = (
        "do:\n- a:\n    call: openapi\n    with:\n      document: {endpoint: 'https://x.example/openapi.json'}\n"
        "      operationId: %s\n      parameters: {id: '${ .id }', dry: true, X-Who: me, sid: s, name: Milou}\n"
    )
    output(text % "savePet", {"id": 7}, web.world)
    (asked,) = web.asked
    assert (asked.method, asked.url) == ("PUT", "https://x.example/v1/pets/7?dry=true")
    assert (asked.headers["x-who"], asked.headers["cookie"]) == ("me", "sid=s")
    assert json.loads(asked.body or b"") == {"name": "Milou"}
    found = error(text % "savePat", {"id": 7}, web.world)
    assert "no operation `savePat`; there are savePet" in found["detail"]
    missing = (text % "savePet").replace("id: '${ .id }', ", "")
    assert "needs the parameter `id`" in error(missing, {}, web.world)["detail"]


def test_where_operations_are() -> None:
    swagger = {"swagger": "2.0", "host": "h.example", "basePath": "/b", "schemes": ["http", "https"]}
    assert base_of(swagger, "https://doc.example/s.json") == "https://h.example/b"
    variables = {"servers": [{"url": "https://{at}.example/", "variables": {"at": {"default": "eu"}}}]}
    assert base_of(variables, "https://doc.example/s.json") == "https://eu.example/"


def test_a_message_for_a_channel_that_speaks_http() -> None:
    web = Web()
    text = (
        "do:\n- a:\n    call: asyncapi\n    with:\n      document: {endpoint: 'https://x.example/async2.json'}\n"
        "      operation: order\n%s      message: {payload: {n: '${ .n }'}, headers: {X-A: b}}\n"
    )
    output(text % "", {"n": 1, "kind": "new"}, web.world)
    (asked,) = web.asked
    assert (asked.method, asked.url, asked.headers["x-a"]) == ("POST", "https://web.example/orders/new", "b")
    found = error(text % "      server: {name: mq}\n", {}, web.world)
    assert "speak amqp; only http and https" in found["detail"]

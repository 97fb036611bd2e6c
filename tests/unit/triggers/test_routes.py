"""The routing table: addresses, triggers, precedence, and the one normal form of a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.errors import ConfigError, NotFound, UsageError
from fnctl.model import Contract, Function, HttpTrigger
from fnctl.triggers.http.found import Index, Match, MethodNotAllowed, Redirect
from fnctl.triggers.http.index import index_page
from fnctl.triggers.http.routes import Routes
from fnctl.triggers.http.target import normal_path


def function(name: str, *triggers: HttpTrigger) -> Function:
    return Function(name, Path("/code"), "node24", "index.js", triggers=triggers)


def go(routes: Routes, target: bytes, host: bytes = b"localhost:8080", method: bytes = b"GET") -> tuple[str, bytes]:
    match = routes.match(host, method, target)
    assert isinstance(match, Match)
    return match.function.name, match.target


TWO = Routes([function("todos"), function("mail")])


@pytest.mark.parametrize(
    ("host", "target", "name", "sent"),
    [
        (b"todos.localhost", b"/a//b?q=1", "todos", b"/a//b?q=1"),
        (b"ToDos.LocalHost.:8080", b"/", "todos", b"/"),
        (b"mail.localhost:80", b"/todos/x", "mail", b"/todos/x"),
        (b"localhost", b"/todos/x?y", "todos", b"/x?y"),
        (b"127.0.0.1:8080", b"/mail/", "mail", b"/"),
        (b"example.com", b"/mail/a%2fb", "mail", b"/a%2Fb"),
        (b"localhost", b"/todos/%252e%252e/mail/", "todos", b"/%252e%252e/mail/"),
        (b"localhost", b"/todos/../mail/x", "mail", b"/x"),
        (b"localhost", b"/todos/%2e%2e/mail/x", "mail", b"/x"),
        (b"localhost", b"//todos//x", "todos", b"/x"),
        (b"localhost", b"/%74odos/x", "todos", b"/x"),
    ],
)
def test_addresses_of_functions_without_triggers(host: bytes, target: bytes, name: str, sent: bytes) -> None:
    assert go(TWO, target, host) == (name, sent)


def test_a_stripped_prefix_is_told() -> None:
    match = TWO.match(b"localhost", b"GET", b"/todos/x")
    assert isinstance(match, Match)
    assert match.headers == b"X-Forwarded-Prefix: /todos\r\n"


def test_a_name_without_its_slash_is_redirected() -> None:
    assert TWO.match(b"localhost", b"GET", b"/todos?a=1") == Redirect(b"/todos/?a=1")
    assert TWO.match_by_name(b"", b"GET", b"/todos") == Redirect(b"/todos/")


def test_a_redirect_never_leads_to_another_host() -> None:
    routes = Routes([function("todos"), function("mail")])
    found = routes.match(b"localhost", b"GET", b"//todos")
    assert found == Redirect(b"/todos/")


@pytest.mark.parametrize("target", [b"/", b"/x", b"/a/b?c"])
def test_the_only_function_has_the_root(target: bytes) -> None:
    assert go(Routes([function("todos")]), target) == ("todos", target)


def test_the_root_of_several_is_an_index() -> None:
    found = TWO.match(b"localhost:8080", b"GET", b"/")
    assert isinstance(found, Index)
    kind, page = index_page(found, b"localhost:8080", as_json=True)
    assert kind == b"application/json"
    assert b'"http://todos.localhost:8080/"' in page
    assert b'href="http://mail.localhost:8080/"' in index_page(found, b"localhost:8080", as_json=False)[1]


@pytest.mark.parametrize(("host", "target"), [(b"localhost", b"/nobody/x"), (b"nobody.localhost", b"/")])
def test_unknown_addresses_are_refused_with_the_known_ones(host: bytes, target: bytes) -> None:
    with pytest.raises(NotFound) as caught:
        TWO.match(host, b"GET", target)
    assert "http://todos.localhost/" in (caught.value.hint or "")


@pytest.mark.parametrize("target", [b"/..", b"/todos/../../x", b"/%", b"/todos/%zz", b"/%2e%2e/"])
def test_a_path_without_a_normal_form_is_malformed(target: bytes) -> None:
    for host in (b"localhost", b"todos.localhost"):
        with pytest.raises(UsageError):
            TWO.match(host, b"GET", target)


ITEMS = Routes(
    [
        function("items", HttpTrigger("/items/{id}", frozenset({"GET", "DELETE"}))),
        function("fresh", HttpTrigger("/items/new", frozenset({"GET"}))),
        function("files", HttpTrigger("/files/{user}/{path...}")),
        function("shop", HttpTrigger("/{rest...}", host="shop.example")),
        function("plain"),
    ]
)


def test_parameters_are_sent_as_a_query_string() -> None:
    match = ITEMS.match(b"localhost", b"GET", b"/files/a%20b/x/y%2Fz?q=1")
    assert isinstance(match, Match)
    assert match.headers == b"X-Fnctl-Params: user=a%20b&path=x%2Fy%2Fz\r\n"
    assert match.target == b"/files/a%20b/x/y%2Fz?q=1"


@pytest.mark.parametrize(
    ("trigger", "headers"),
    [
        (HttpTrigger("/items/{id}", frozenset({"GET"})), b"X-Fnctl-Params: id=7\r\nX-Fnctl-Route: /items/{id}\r\n"),
        (HttpTrigger("/items/{id}"), b"X-Fnctl-Params: id=7\r\nX-Fnctl-Route: ANY /items/{id}\r\n"),
        (HttpTrigger("/{rest...}"), b"X-Fnctl-Route: ANY /{rest...}\r\n"),
    ],
)
def test_a_lambda_function_is_told_its_route(trigger: HttpTrigger, headers: bytes) -> None:
    routes = Routes([replace(function("api", trigger), contract=Contract.LAMBDA)])
    match = routes.match(b"localhost", b"GET", b"/items/7")
    assert isinstance(match, Match)
    assert match.headers == headers


def test_a_fixed_segment_is_before_a_parameter_unless_its_method_differs() -> None:
    assert go(ITEMS, b"/items/new")[0] == "fresh"
    assert go(ITEMS, b"/items/new", method=b"DELETE")[0] == "items"
    assert go(ITEMS, b"/items/7", method=b"HEAD")[0] == "items"


def test_a_known_path_with_another_method() -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        ITEMS.match(b"localhost", b"POST", b"/items/7")
    assert caught.value.allow == ("DELETE", "GET", "HEAD")
    assert caught.value.http_status == 405


def test_a_host_is_before_no_host() -> None:
    assert go(ITEMS, b"/items/new", b"Shop.Example:443")[0] == "shop"


def test_triggers_replace_the_addresses_by_name() -> None:
    for host, target in ((b"items.localhost", b"/"), (b"localhost", b"/items/")):
        with pytest.raises(NotFound):
            ITEMS.match(host, b"GET", target)
    assert go(ITEMS, b"/x", b"plain.localhost") == ("plain", b"/x")


def test_by_name_every_function_is_reached_whatever_its_triggers() -> None:
    match = ITEMS.match_by_name(b"anything.localhost", b"POST", b"/items/a?b")
    assert isinstance(match, Match)
    assert (match.function.name, match.target) == ("items", b"/a?b")
    with pytest.raises(NotFound):
        ITEMS.match_by_name(b"localhost", b"GET", b"/nobody/")


def test_replace_is_atomic() -> None:
    routes = Routes([function("todos")])
    clash = [function("a", HttpTrigger("/x")), function("b", HttpTrigger("/x", frozenset({"GET"})))]
    with pytest.raises(ConfigError):
        routes.replace(clash)
    assert go(routes, b"/x") == ("todos", b"/x")
    routes.replace([function("mail")])
    assert go(routes, b"/x") == ("mail", b"/x")


@given(st.lists(st.sampled_from([b"a", b".", b"..", b"", b"%2e", b"%2E%2e", b"%2f", b"%41", b"%252e"]), max_size=8))
def test_the_normal_form_is_a_fixed_point_without_dot_segments(segments: list[bytes]) -> None:
    try:
        path = normal_path(b"/" + b"/".join(segments))
    except UsageError:
        return
    assert normal_path(path) == path
    assert not {b"", b".", b".."} & set(path.split(b"/")[1:-1])

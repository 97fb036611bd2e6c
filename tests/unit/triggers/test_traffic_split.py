"""Aliases: where they are read in a request, how calls are shared, and who gets the same version again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import NotFound, UsageError
from fnctl.model import Function, SiteKey
from fnctl.triggers.http import traffic_split
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.head import RequestHead, RequestParser
from fnctl.triggers.http.routes import Routes, Shares
from fnctl.triggers.http.traffic_split import Split


def function(name: str) -> Function:
    return Function(name=name, path=Path("/nowhere"), runtime="node24", handler="index.js")


def head(*lines: str) -> RequestHead:
    data = "\r\n".join(["GET /shop/ HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
    return RequestParser().parse(data, len(data))


def version(tag: str, *names: str) -> Routes:
    return Routes([function(each) for each in names], None, {each: SiteKey(each, tag) for each in names})


def shared(**aliases: Shares) -> Routes:
    routes = Routes([function("shop"), function("mail")])
    routes.share({name.encode(): each for name, each in aliases.items()})
    return routes


TWO = Shares(((0.9, version("7", "shop", "mail")), (1.0, version("8", "shop", "more"))))


@pytest.mark.parametrize(("at", "tag"), [(0.0, "7"), (0.899, "7"), (0.9, "8"), (0.999, "8")])
def test_calls_are_shared_by_weight(at: float, tag: str) -> None:
    found = shared(prod=TWO).match(b"prod--shop.localhost:8080", b"GET", b"/x?y")
    assert isinstance(found, Split)
    match = found.pick(head(), lambda: at)
    assert isinstance(match, Match)
    assert (match.site, match.target) == (SiteKey("shop", tag), b"/x?y")


def test_what_a_version_does_not_have_it_refuses() -> None:
    found = shared(prod=TWO).match(b"localhost", b"GET", b"/mail/", b"prod")
    assert isinstance(found, Split)
    assert isinstance(found.pick(head(), lambda: 0.1), Match)
    with pytest.raises(NotFound):
        found.pick(head(), lambda: 0.95)


def test_without_an_alias_or_with_latest_the_table_that_serves_is_asked() -> None:
    for routes in (shared(prod=TWO), shared()):
        for match in (
            routes.match(b"shop.localhost", b"GET", b"/"),
            routes.match(b"localhost", b"GET", b"/shop/", b"latest"),
            routes.match_alias_by_name(b"", b"GET", b"/shop/"),
        ):
            assert isinstance(match, Match)
            assert match.site == SiteKey("shop")


def test_an_unknown_alias_is_told_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="no alias nosuch") as told:
        shared(prod=TWO).match(b"nosuch--shop.localhost", b"GET", b"/")
    assert "prod" in (told.value.hint or "")


def test_a_function_whose_name_looks_like_an_alias_is_meant_first() -> None:
    routes = Routes([function("prod--shop"), function("shop")])
    routes.share({b"prod": TWO})
    found = routes.match(b"prod--shop.localhost", b"GET", b"/")
    assert isinstance(found, Match)
    assert found.function.name == "prod--shop"


@pytest.mark.parametrize(
    ("by", "line"),
    [
        ("cookie:session", "Cookie: a=1; session={}"),
        ("header:X-User", "X-User: {}"),
        ("key", "Authorization: Bearer {}"),
    ],
)
def test_the_same_value_gets_the_same_version_and_many_are_spread(by: str, line: str) -> None:
    two = Shares(TWO.parts, traffic_split.sticky(by))
    found = shared(prod=two).match(b"prod--shop.localhost", b"GET", b"/")
    assert isinstance(found, Split)

    def tag(value: int) -> str:
        match = found.pick(head(line.format(f"u{value}")), lambda: 1 / 0)
        assert isinstance(match, Match)
        return match.site.alias

    tags = [tag(value) for value in range(1000)]
    assert [tag(value) for value in range(1000)] == tags
    assert 60 < tags.count("8") < 140
    assert isinstance(found.pick(head(), lambda: 0.5), Match)  # who has none can get any


def test_the_field_is_ours_and_goes_no_further() -> None:
    asked = head("X-Fnctl-Alias: prod")
    assert asked.fields.alias == b"prod"
    assert b"lias" not in asked.fields.forward


@pytest.mark.parametrize("text", ["cookies", "cookie:", "header:a b", "key:x", "user", "cookie:a;b"])
def test_what_cannot_tell_callers_apart_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--by cannot be"):
        traffic_split.sticky(text)


def test_a_client_without_a_cookie_is_given_one_that_keeps_it_there() -> None:
    shares = Shares(TWO.parts, traffic_split.sticky("cookie"))
    found = shared(prod=shares).match(b"prod--shop.localhost", b"GET", b"/")
    assert isinstance(found, Split)
    met = set[SiteKey]()
    for _ in range(100):
        first, given = found.assign(head())
        name, _, rest = given.decode().removeprefix("Set-Cookie: ").partition("=")
        assert (name, rest[16:]) == ("fnctl-prod", "; Path=/; HttpOnly; SameSite=Lax\r\n")
        again, none = found.assign(head(f"Cookie: a=b; {name}={rest[:16]}"))
        assert (again, none) == (first, b"")
        assert isinstance(first, Match)
        met.add(first.site)
    assert len(met) == 2


@pytest.mark.parametrize("by", ["", "key", "header:X-User", "cookie:session"])
def test_no_other_way_gives_a_cookie(by: str) -> None:
    found = shared(prod=Shares(TWO.parts, traffic_split.sticky(by))).match(b"prod--shop.localhost", b"GET", b"/")
    assert isinstance(found, Split)
    assert found.assign(head())[1] == b""

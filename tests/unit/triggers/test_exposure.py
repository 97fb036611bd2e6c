"""Who can reach the gateway, and for which Host names it answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import UsageError
from fnctl.model import Auth, Function, HttpTrigger
from fnctl.triggers.http.exposure import Exposure, Misdirected, exposure
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.routes import Routes


def function(name: str = "app", auth: Auth = Auth.NONE, host: str | None = None) -> Function:
    triggers = (HttpTrigger("/{rest...}", frozenset(), host),) if host else ()
    return Function(name, Path("/code"), "node24", "index.js", auth=auth, triggers=triggers)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.test"])
def test_beyond_loopback_needs_keys_or_a_proxy(host: str) -> None:
    with pytest.raises(UsageError, match="without a key: open"):
        exposure(host, [function("open"), function("shut", Auth.KEY)])
    assert exposure(host, [function("shut", Auth.KEY), function("too", Auth.JWT)]) == Exposure(None, strangers=True)
    assert exposure(host, [function("open")], proxies=["192.0.2.1"]).names is None


@pytest.mark.parametrize("text", ["nginx", "10.0.0.0/99", ""])
def test_a_proxy_is_named_by_address(text: str) -> None:
    with pytest.raises(UsageError, match="--behind-proxy"):
        exposure("127.0.0.1", [], proxies=[text])


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        ("10.0.0.5", True),
        ("10.0.1.5", False),
        ("::ffff:10.0.0.9", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("", False),
    ],
)
def test_only_the_named_proxies_are_believed(address: str, believed: bool) -> None:
    assert exposure("127.0.0.1", [], proxies=["10.0.0.0/24", "fd00::1"]).believes(address) is believed


def routes(host: str = "127.0.0.1", *names: str) -> Routes:
    functions = [function(), function("shop", host="shop.example")]
    return Routes(functions, exposure(host, functions, names=names).names)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "app.localhost", "LOCALHOST", "localhost.", ""],
)
def test_on_loopback_our_own_names_are_answered(host: str) -> None:
    assert isinstance(routes().match(host.encode(), b"GET", b"/app/"), Match)


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example", "10.0.0.1", "localhost.evil"])
def test_a_page_that_was_rebound_to_loopback_is_refused(host: str) -> None:
    with pytest.raises(Misdirected):
        routes().match(host.encode(), b"GET", b"/app/")


def test_configured_names_are_answered() -> None:
    assert isinstance(routes().match(b"shop.example", b"GET", b"/"), Match)
    assert isinstance(routes("127.0.0.1", "My.Test.").match(b"my.test:80", b"GET", b"/app/"), Match)
    assert isinstance(routes("127.0.0.5").match(b"127.0.0.5", b"GET", b"/app/"), Match)


def test_behind_a_proxy_names_are_the_proxys_business() -> None:
    names = exposure("127.0.0.1", [], proxies=["127.0.0.1"]).names
    assert isinstance(Routes([function()], names).match(b"anything.example", b"GET", b"/app/"), Match)

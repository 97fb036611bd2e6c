"""What a proxy says of its client: read only where it is well formed, and only from a proxy that is believed."""

from __future__ import annotations

import pytest

from fnctl.triggers.http.head import RequestParser
from fnctl.triggers.http.proxied import Proxied, lines, said


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Proxied()),
        ({b"x-forwarded-for": b"203.0.113.9, 10.0.0.2"}, Proxied(b"203.0.113.9, 10.0.0.2")),
        (
            {b"x-forwarded-proto": b"https", b"x-forwarded-host": b"shop.example:8443"},
            Proxied(b"", b"https", b"shop.example:8443"),
        ),
        ({b"x-forwarded-proto": b"gopher"}, Proxied()),
        ({b"x-forwarded-host": b"a b"}, Proxied()),
        ({b"x-forwarded-for": b"<script>"}, Proxied()),
        (
            {b"forwarded": b'for=192.0.2.60;proto=https;host=shop.example, for="[2001:db8::17]:4711"'},
            Proxied(b"192.0.2.60, [2001:db8::17]:4711", b"https", b"shop.example"),
        ),
        ({b"forwarded": b'for="a,b";proto=https'}, Proxied(b"a,b", b"https")),
        (
            {b"forwarded": b"proto=https", b"x-forwarded-proto": b"http"},
            Proxied(b"", b"http"),
        ),
    ],
)
def test_what_is_said(fields: dict[bytes, bytes], expected: Proxied) -> None:
    assert said(fields) == expected


def test_the_proxys_own_address_comes_last() -> None:
    assert lines(Proxied(b"203.0.113.9", b"https"), b"10.0.0.2") == (
        b"X-Forwarded-For: 203.0.113.9, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n"
    )


HEAD = (
    b"GET / HTTP/1.1\r\nHost: inner\r\nX-Forwarded-Host: shop.example\r\nX-Forwarded-For: 203.0.113.9\r\nA: b\r\n\r\n"
)


def test_a_stranger_is_not_believed() -> None:
    fields = RequestParser().parse(HEAD, len(HEAD)).fields
    assert fields.proxied is None
    assert fields.forward == b"Host: inner\r\nX-Forwarded-Host: inner\r\nA: b\r\n"


def test_a_proxy_is() -> None:
    fields = RequestParser(behind_proxy=True).parse(HEAD, len(HEAD)).fields
    assert fields.proxied == Proxied(b"203.0.113.9", b"http", b"shop.example")
    assert fields.forward == b"Host: inner\r\nX-Forwarded-Host: shop.example\r\nA: b\r\n"

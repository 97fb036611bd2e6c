"""What a proxy that is believed says of the client behind it: X-Forwarded-*, or Forwarded (RFC 7239). Pure.

What strangers say of forwarding is dropped (head.py): applications trust what their edge says, and without a proxy the
gateway is the edge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

SPOKEN = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"))
_PAIR = re.compile(rb'\s*([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*')
_PROTO = frozenset((b"http", b"https"))
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LONGEST = 2048  # bytes of Forwarded: a client may have said a part of it
_CHAIN = re.compile(rb"[0-9A-Za-z._:\[\]\", -]{0,1024}")


class Proxied(NamedTuple):
    """`chain`: addresses, the client's first, without the proxy's own; b"" where nothing was said."""

    chain: bytes = b""
    proto: bytes = b"http"
    host: bytes = b""


def said(fields: Mapping[bytes, bytes]) -> Proxied:
    """Of the fields in SPOKEN, by lower-case name. What is malformed counts as not said."""
    older = _forwarded(fields.get(b"forwarded", b""))
    chain = fields.get(b"x-forwarded-for") or older.chain
    proto = fields.get(b"x-forwarded-proto", older.proto).partition(b",")[0].strip().lower()
    host = fields.get(b"x-forwarded-host", older.host).partition(b",")[0].strip()
    return Proxied(
        chain if _CHAIN.fullmatch(chain) else b"",
        proto if proto in _PROTO else b"http",
        host if _HOST.fullmatch(host) else b"",
    )


def lines(proxied: Proxied, peer: bytes) -> bytes:
    """X-Forwarded-For and -Proto as a function gets them; `peer`: the proxy's address."""
    chain = proxied.chain + b", " + peer if proxied.chain else peer
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (chain, proxied.proto)


def _forwarded(value: bytes) -> Proxied:
    """The `for` of every element, and what the first one says of protocol and host."""
    if len(value) > _LONGEST:
        return Proxied()
    chain: list[bytes] = []
    first: dict[bytes, bytes] = {}
    for index, element in enumerate(_split(value)):
        pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(element)}
        if b"for" in pairs:
            chain.append(pairs[b"for"])
        if index == 0:
            first = pairs
    return Proxied(b", ".join(chain), first.get(b"proto", b"http"), first.get(b"host", b""))


def _split(value: bytes) -> list[bytes]:
    """At commas outside of quotes."""
    return re.findall(rb'(?:"(?:[^"\\]|\\.)*"|[^,"])+', value)

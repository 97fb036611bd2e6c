"""Split calls between versions by weight, and keep a client on its version. Pure, except for chance."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from fnctl.errors import FnctlError, UsageError
from fnctl.triggers.http.found import Found
from fnctl.triggers.http.head import RequestHead

_BITS = 64
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


OWN = (b"cookie", b"")  # by a cookie of the gateway's own


@dataclass(frozen=True, slots=True)
class Split:
    """What a request found in each of several versions. `parts`: the share up to which a version is meant, of 1, with
    what it has there. `by`: see `sticky`; b"" where any call can go to any."""

    name: bytes
    parts: tuple[tuple[float, Found | FnctlError], ...]
    by: tuple[bytes, bytes]

    def pick(self, head: RequestHead, chance: Callable[[], float] = random.random) -> Found:
        """One of them; raises what that version refuses the request with."""
        return self._at(_place_of(self, head, chance))

    def assign(self, head: RequestHead) -> tuple[Found, bytes]:
        """One of them, and the field of the answer by which the client gets the same one again; b"" where it has that,
        or something else tells. Raises as `pick` does."""
        if self.by != OWN or _value(self, head) is not None:
            return self.pick(head), b""
        value = secrets.token_hex(8).encode()
        given = b"Set-Cookie: %b=%b; Path=/; HttpOnly; SameSite=Lax\r\n" % (own_cookie(self.name), value)
        return self._at(_place(self.name, value)), given

    def _at(self, place: float) -> Found:
        found = next((each for share, each in self.parts if place < share), self.parts[-1][1])
        if isinstance(found, FnctlError):
            raise found
        return found


def sticky(text: str) -> tuple[bytes, bytes]:
    """What `--by` says: `cookie`, `cookie:NAME`, `header:NAME`, `key`, or nothing. UsageError where it says something
    else."""
    kind, _, name = text.partition(":")
    fits = kind in ("cookie", "header") and _TOKEN.fullmatch(name) is not None
    if not (fits or text in ("", "key", "cookie")):
        raise UsageError(f"--by cannot be `{text[:60]}`", hint="cookie, cookie:NAME, header:NAME or key")
    return kind.encode(), name.encode()


def own_cookie(alias: bytes) -> bytes:
    """The name of the cookie that the gateway gives."""
    return b"fnctl-" + alias


def _place_of(split: Split, head: RequestHead, chance: Callable[[], float]) -> float:
    value = _value(split, head)
    return chance() if value is None else _place(split.name, value)


def _value(split: Split, head: RequestHead) -> bytes | None:
    """That the request has where it is told apart by; None: it has none."""
    kind, name = split.by
    if split.by == OWN:
        name = own_cookie(split.name)
    lines = head.fields.forward
    if kind == b"header":
        return _field(lines, name)
    if kind == b"key":
        return _field(lines, b"authorization") or _field(lines, b"x-api-key")
    if kind == b"cookie":
        found = re.search(rb"(?:^|;)[ \t]*%b=([^;]*)" % re.escape(name), _field(lines, b"cookie") or b"")
        return found[1] if found is not None else None
    return None


def _field(lines: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"(?i)(?:^|\n)%b:[ \t]*([^\r\n]*)" % re.escape(name), lines)
    return found[1].strip() or None if found is not None else None


def _place(name: bytes, value: bytes) -> float:
    """The same for the same value, evenly spread over [0, 1)."""
    return (int.from_bytes(hashlib.sha256(name + b"\0" + value).digest()[: _BITS // 8], "big") >> 11) / 2**53

"""The one normal form of a request's path, which routing decides on. Pure.

Still percent-encoded, so that nothing is lost: escapes of unreserved characters are resolved (`%2e` is `.`), others
keep standing for themselves with upper-case digits (`%2F` is no separator), `//` is `/`, dot segments are resolved.
Decoded once: `%252e` stays. The function is chosen by this form and by nothing else.
"""

from __future__ import annotations

from fnctl.triggers.http.head import malformed

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DIGITS = "0123456789abcdefABCDEF"


def _normal(digits: str) -> bytes:
    byte = int(digits, 16)
    return bytes((byte,)) if byte in _UNRESERVED else b"%" + digits.upper().encode()


# By what follows the percent sign. A path may have ten thousand: a table is ten times as fast as a rule.
_ESCAPES = {(first + second).encode(): _normal(first + second) for first in _DIGITS for second in _DIGITS}


def normal_path(path: bytes) -> bytes:
    """Raises UsageError (bad_request) where an escape is malformed or `..` leads above the root."""
    path = resolved(path)
    if b"//" in path or b"/." in path:
        path = _flat(path)
    return path


def resolved(path: bytes) -> bytes:
    """With every escape in its normal form. Raises UsageError as `normal_path` does."""
    if b"%" not in path:
        return path
    before, *parts = path.split(b"%")
    pieces = [before]
    for part in parts:
        meant = _ESCAPES.get(part[:2])
        if meant is None:
            raise malformed("a percent sign in the path is not followed by two hex digits")
        pieces += (meant, part[2:])
    return b"".join(pieces)


def _flat(path: bytes) -> bytes:
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise malformed("the path goes above its root")
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    closing = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + closing

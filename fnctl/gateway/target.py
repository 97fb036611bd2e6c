"""The one normal form of a request's path, which routing decides on. Pure.

Still percent-encoded, so that nothing is lost: escapes of unreserved characters are resolved (`%2e` is `.`), others
keep standing for themselves with upper-case digits (`%2F` is no separator), `//` is `/`, dot segments are resolved.
Decoded once: `%252e` stays. The function is chosen by this form and by nothing else.
"""

from __future__ import annotations

import re

from fnctl.gateway.head import malformed

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_path(path: bytes) -> bytes:
    """Raises UsageError (bad_request) where an escape is malformed or `..` leads above the root."""
    if b"%" in path:
        path = _ESCAPE.sub(_resolve, path)
    if b"//" in path or b"/." in path:
        path = _flat(path)
    return path


def _resolve(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        raise malformed("a percent sign in the path that no two hex digits follow")
    byte = int(escape[1], 16)
    return bytes((byte,)) if byte in _UNRESERVED else escape[0].upper()


def _flat(path: bytes) -> bytes:
    segments = path.split(b"/")[1:]
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise malformed("the path leads above its root")
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    closing = b"/" if kept and segments[-1] in (b"", b".", b"..") else b""
    return b"/" + b"/".join(kept) + closing

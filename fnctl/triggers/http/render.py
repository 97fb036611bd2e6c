"""Heads as the gateway writes them, to functions and to clients: values → bytes. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

from fnctl.dispatch.admission import Lease
from fnctl.errors import FnctlError
from fnctl.model import StartKind
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.frames import BODY_BYTES, HEAD_BYTES, METHODS, Asked
from fnctl.triggers.http.head import RequestHead, ResponseHead
from fnctl.triggers.http.refusal import REASONS, error_headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"
_WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
# A field whose value is a path, or a URL with one. `//host` is a URL without its scheme.
_LOCATION = re.compile(rb"(?i)^(location:[ \t]*)(https?://[^/\s]+)?(/(?!/)[^\r\n]*)", re.MULTILINE)
_WARM = b"Server-Timing: start;desc=warm, queue;dur=0.0, container;dur=0.0, runtime;dur=0.0, load;dur=0.0, handler;dur="

_NO_HOST = b"Host: localhost\r\n"  # of HTTP/1.0, which needs none: functions are asked in HTTP/1.1, which does


class Stem(NamedTuple):
    """What is the same in equal requests of one connection, as functions get them; `request_tail` follows."""

    whole: bytes
    asked: Asked | None  # the same for a frame; None: it has to have a connection of its own


def request_stem(head: RequestHead, match: Match, forwarded: bytes, *, tunnels: bool) -> Stem:
    """`forwarded`: X-Forwarded-*."""
    fields = head.fields
    length = fields.length
    counted = length > 0 or (length == 0 and head.method in _WITH_BODY)
    framing = b"Content-Length: %d\r\n" % length if counted else _CHUNKED if length < 0 else b""
    lines = b"%b%b%b%b" % (b"" if fields.host else _NO_HOST, fields.forward, forwarded, match.headers)
    upgrade = _WEBSOCKET if tunnels else b""
    whole = b"%b %b HTTP/1.1\r\n%b%b%b" % (head.method, match.target, lines, framing, upgrade)
    asked = None
    if head.http_1_1 and 0 <= length <= BODY_BYTES and not tunnels and _is_plain(head, match.target, whole):
        asked = Asked.of(head.method, match.target, lines, length=counted)
    return Stem(whole, asked)


def _is_plain(head: RequestHead, target: bytes, whole: bytes) -> bool:
    """Nothing about it is a matter for the parser of the function's server."""
    small = len(whole) <= HEAD_BYTES and not head.fields.expects_continue
    return small and head.method in METHODS and target[:1] == b"/" and target.isascii()


def request_tail(stem: bytes, invocation: bytes, deadline_ms: float) -> bytes:
    """The whole head, for the agent (layers/PROTOCOL.md, Data connection)."""
    return b"%bX-Fnctl-Invocation-Id: %b\r\nX-Fnctl-Deadline-Ms: %d\r\n\r\n" % (stem, invocation, deadline_ms)


def response_head(head: ResponseHead, length: int, own: bytes, date: bytes, *, bodyless: bool, chunked: bool) -> bytes:
    """For the client. `length` of the payload, negative where it is not known; `own`: the gateway's fields; `date`:
    the Date field where the response has none."""
    if bodyless or head.status == 304:
        length = head.fields.length  # what a GET would have brought, where that was said
    framing = _CHUNKED if chunked else b""
    if length >= 0 and head.status != 204:
        framing = b"Content-Length: %d\r\n" % length
    return b"%b%b%b%b\r\n" % (head.lines, framing, date, own)


def warm_response(head: ResponseHead, payload: bytes, invocation: bytes, handler_ms: float) -> bytes:
    """Head and payload in one, of a warm call that waited for nothing, whose response has a date and a length: what
    `response_head` gives with the fields of `own_fields` and `server_timing`, in one step for the path that is busiest.
    """
    return b"%bX-Fnctl-Invocation-Id: %b\r\n%b%.2f\r\n\r\n%b" % (head.framed, invocation, _WARM, handler_ms, payload)


def relocated(head: ResponseHead, prefix: bytes, host: bytes) -> ResponseHead:
    """A response at `/NAME/…` whose Location leads to a path of the function: with the prefix, which it was not told.

    A path that begins with the prefix is one of a function that knows it. `host`: the client's, by which a URL is one
    of this gateway.
    """

    def within(found: re.Match[bytes]) -> bytes:
        field, origin, path = found.groups()
        elsewhere = origin and origin.partition(b"//")[2].lower() != host.lower()
        knows = path == prefix or path.startswith((prefix + b"/", prefix + b"?", prefix + b"#"))
        return found[0] if elsewhere or knows else field + (origin or b"") + prefix + path

    lines = _LOCATION.sub(within, head.lines)
    if lines == head.lines:
        return head
    framed = head.framed and b"%bContent-Length: %d\r\n" % (lines, head.fields.length)
    return head._replace(lines=lines, framed=framed)


def interim_head(head: ResponseHead) -> bytes:
    """A 1xx response."""
    return head.lines + b"\r\n"


def switching(head: ResponseHead, own: bytes) -> bytes:
    return b"HTTP/1.1 101 Switching Protocols\r\n%b%b%b\r\n" % (_WEBSOCKET, head.fields.forward, own)


def error_head(error: FnctlError, length: int, own: bytes, date: bytes) -> bytes:
    status = error.http_status
    return answer_head(status, error_headers(error), length, own, date)


def answer_head(status: int, headers: bytes, length: int, own: bytes, date: bytes) -> bytes:
    """Of a response that the gateway itself gives."""
    reason = REASONS.get(status, b"Error")
    return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n%b%b\r\n" % (status, reason, headers, length, date, own)


def own_fields(invocation: bytes, timing: bytes, connection: bytes) -> bytes:
    return b"X-Fnctl-Invocation-Id: %b\r\n%b%b" % (invocation, timing, connection)


def server_timing(lease: Lease | None, since_ms: float) -> bytes:
    """`since_ms`: since the lease was had; without one, since the request came."""
    if lease is None:
        return b"Server-Timing: queue;dur=%.1f\r\n" % since_ms
    if lease.start is StartKind.WARM and not lease.queue_ms:
        return b"%b%.2f\r\n" % (_WARM, since_ms)
    return (
        b"Server-Timing: start;desc=%b, queue;dur=%.1f, container;dur=%.1f, runtime;dur=%.1f, load;dur=%.1f, "
        b"handler;dur=%.2f\r\n"
        % (
            lease.start.encode(),
            lease.queue_ms,
            lease.container_ms,
            lease.runtime_ms,
            lease.load_ms,
            since_ms,
        )
    )

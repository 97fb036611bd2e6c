"""Request and response heads: bytes → values that can be written out anew. Pure; no connection, no routing.

Nothing is forwarded that was not matched here against the grammar of RFC 9112: one regular expression for the whole of
the fields, and one split. That is stricter than llhttp (no obs-fold, no bare CR or LF, no list in Content-Length, no
Transfer-Encoding but `chunked`), leaves nothing for two parsers to read in two ways, and needs no callback a field.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from fnctl.errors import FunctionError, TooLarge, UsageError
from fnctl.triggers.http import proxied
from fnctl.triggers.http.proxied import Proxied

CHUNKED = -1
UNTIL_CLOSE = -2

MAX_FIELDS = 256  # of a head: each takes time to look at, however small it is

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~\x80-\xff]+) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~\x80-\xff]*+\r\n)*+")
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)((?:[/?][^#]*)?)")
_ERROR_CODE = re.compile(rb"[a-z_]{1,32}")
# What cannot stand in a head however it goes on. A CR may be the last byte that has come so far.
_EVENT_STREAM = re.compile(rb"(?i)\ncontent-type:[ \t]*text/event-stream[ \t]*[;\r]")
_NEVER = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Connection-level fields (RFC 9110 §7.6.1) and those that only the gateway may set. `Proxy` becomes HTTP_PROXY in
# CGI-like environments ("httpoxy"). What a client says of forwarding is dropped: the gateway is the edge, and
# applications trust what their edge says.
_NOT_RETURNED = frozenset(b"connection keep-alive proxy-connection transfer-encoding upgrade content-length".split())
_NOT_FORWARDED = _NOT_RETURNED | frozenset(b"te host expect proxy forwarded".split())
# Who asks so is answered 202 now and the function called later (RFC 7240; AWS Lambda's Invoke; Alibaba FC's).
_DEFERRALS = {b"prefer": b"respond-async", b"x-amz-invocation-type": b"event", b"x-fc-invocation-type": b"async"}
_OWN = (b"x-fnctl-", b"x-forwarded-")
_ALIAS = b"x-fnctl-alias"
_TRAILERS_NEVER = _NOT_FORWARDED | frozenset(b"trailer authorization cookie set-cookie content-encoding".split())


class HeadTooLarge(TooLarge):
    http_status = 431
    code = "head_too_large"


class RequestFields(NamedTuple):
    """A request's header fields. A tuple, not a dataclass: it is made for every request, four times as fast."""

    forward: bytes  # the lines to send on, each with its CRLF; without framing, connection fields and ours
    host: bytes  # as the client sent it; b"" where HTTP/1.0 sent none
    length: int  # of the body; CHUNKED
    keep_alive: bool
    websocket: bool
    expects_continue: bool
    wants_json: bool
    proxied: Proxied | None = None  # what a proxy that is believed says of its client
    deferral: bytes = b""  # which field asks for an answer later, if one does: `prefer`, or a platform's own
    alias: bytes = b""  # of the versions, that it asks for by a field of ours


class RequestHead(NamedTuple):
    method: bytes
    target: bytes  # origin form, as the client sent it: path and query
    http_1_1: bool
    fields: RequestFields


class ResponseFields(NamedTuple):
    forward: bytes
    length: int  # of the body that the fields announce; CHUNKED; UNTIL_CLOSE
    close: bool
    keep_alive: bool
    websocket: bool
    error: bytes  # X-Fnctl-Error, b"" without
    dated: bool


class ResponseHead(NamedTuple):
    status: int
    reason: bytes
    http_1_1: bool
    fields: ResponseFields
    lines: bytes  # status line and forwarded fields, for the client
    framed: bytes  # these, and the length that the fields announce; only where they announce one

    @property
    def is_event_stream(self) -> bool:
        return _EVENT_STREAM.search(self.lines) is not None

    @property
    def redirects(self) -> bool:
        """Its Location, where it has one, is an address for the client to go to."""
        return 300 <= self.status < 400 or self.status == 201


def malformed(what: str, hint: str | None = None) -> UsageError:
    return UsageError(f"malformed request: {what}", code="bad_request", hint=hint)


def bad_response(what: str) -> FunctionError:
    return FunctionError(f"the function's response cannot be relayed: {what}", code="bad_response")


def empty_lines(data: bytes) -> int:
    """The bytes of the empty lines that it begins with, up to 8 KiB: more are for another look."""
    found = _EMPTY_LINES.match(data, 0, 8192)
    return found.end() if found else 0


def hopeless(data: bytes | bytearray, start: int = 0) -> bool:
    """Whether the beginning of a head can never become a valid one. `start`: what was looked at before."""
    return _NEVER.search(data, max(0, start - 1)) is not None


class RequestParser:
    """Parses the heads of one connection. Raises `UsageError` (bad_request), HeadTooLarge.

    Clients repeat themselves from request to request, whole heads or all but the first line: what was parsed last is
    kept with its result. `behind_proxy`: the peer is a proxy whose word about its client is believed.
    """

    __slots__ = ("_behind_proxy", "_block", "_fields", "_head", "_http_1_1", "_whole")

    def __init__(self, *, behind_proxy: bool = False) -> None:
        self._behind_proxy = behind_proxy
        self._whole = b""
        self._head: RequestHead | None = None
        self._block: bytes | None = None
        self._http_1_1 = False
        self._fields: RequestFields | None = None

    def parse(self, data: bytes, end: int) -> RequestHead:
        """`data[:end]` is a head with its empty line. An equal head gives the same object."""
        whole = data[:end]
        if whole == self._whole and self._head is not None:
            return self._head
        self._head = head = self._parse(whole)
        self._whole = whole
        return head

    def _parse(self, data: bytes) -> RequestHead:
        line = _REQUEST_LINE.match(data)
        if line is None:
            raise malformed("the request line", "send plain HTTP/1.1: TLS and HTTP/2 are not supported")
        method, target, minor = line.groups()
        http_1_1 = minor == b"1"
        block = data[line.end() : -2]
        fields = self._fields
        if fields is None or block != self._block or http_1_1 is not self._http_1_1:
            fields = _request_fields(block, http_1_1, self._behind_proxy)
            self._block, self._fields, self._http_1_1 = block, fields, http_1_1
        if target[0] != 0x2F:
            target, fields = _origin_form(method, target, fields)
        elif b"#" in target:
            raise malformed("a fragment in the target")
        return RequestHead(method, target, http_1_1, fields)


def _origin_form(method: bytes, target: bytes, fields: RequestFields) -> tuple[bytes, RequestFields]:
    """`http://host/path` → `/path`, and its host counts (RFC 9112 §3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target, fields
    match = _ABSOLUTE.fullmatch(target)
    if match is None or _HOST.fullmatch(match[1]) is None:
        raise malformed("the target is not a path")
    rest = match[2]
    if not rest.startswith(b"/"):
        rest = b"/" + rest
    forward = _hosted(match[1], fields.forward.split(b"\r\n", 2)[2] if fields.host else fields.forward)
    return rest, fields._replace(host=match[1], forward=forward)


def _hosted(host: bytes, rest: bytes) -> bytes:
    """Host comes first, and once more as what proxies call it."""
    return b"Host: %b\r\nX-Forwarded-Host: %b\r\n%b" % (host, host, rest)


def _request_fields(block: bytes, http_1_1: bool, behind_proxy: bool) -> RequestFields:
    if _FIELDS.fullmatch(block) is None:
        raise malformed("the header fields")
    if block.count(b"\n") > MAX_FIELDS:
        raise HeadTooLarge(f"the request has more than {MAX_FIELDS} header fields")
    kept: list[bytes] = []
    special: dict[bytes, bytes] = {}
    spoken: dict[bytes, bytes] = {}
    wants_json = False
    deferral = alias = b""
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        key = name.lower()
        if key in _DEFERRALS and _DEFERRALS[key] in re.split(rb"[\s,;]+", value.lower()):
            deferral = key
        if b"_" in key and _owned(key.replace(b"_", b"-")):
            continue  # CGI-like servers read `-` and `_` as one: a disguised name would pass as the real one
        if behind_proxy and key in proxied.SPOKEN:
            spoken[key] = b", ".join(filter(None, (spoken.get(key), value.strip(b" \t"))))
            continue
        if key in _NOT_FORWARDED:
            value = value.strip(b" \t")
            if key in special:
                if key not in _LISTS:
                    raise malformed(f"more than one {name.decode()}")
                value = special[key] + b"," + value
            special[key] = value
        elif key.startswith(_OWN):
            if key == _ALIAS:
                alias = value.strip(b" \t")
        else:
            if key == b"accept" and b"application/json" in value:
                wants_json = True
            kept.append(line)
    summary = _request_summary(kept, special, http_1_1, wants_json)
    if deferral or alias:
        summary = summary._replace(deferral=deferral, alias=alias)
    return _by_proxy(summary, proxied.said(spoken)) if behind_proxy else summary


def _by_proxy(fields: RequestFields, said: Proxied) -> RequestFields:
    """With the host that the client asked the proxy for, where the proxy says one."""
    forward = fields.forward
    if said.host and fields.host:
        forward = b"Host: %b\r\nX-Forwarded-Host: %b\r\n%b" % (fields.host, said.host, forward.split(b"\r\n", 2)[2])
    return fields._replace(forward=forward, proxied=said)


_LISTS = frozenset({b"connection", b"keep-alive", b"te", b"proxy", b"forwarded", b"upgrade", b"proxy-connection"})


def _owned(key: bytes) -> bool:
    return key in _NOT_FORWARDED or key.startswith(_OWN)


def _request_summary(kept: list[bytes], special: dict[bytes, bytes], http_1_1: bool, wants_json: bool) -> RequestFields:
    host = special.get(b"host", b"")
    if (host and _HOST.fullmatch(host) is None) or (b"host" not in special and http_1_1):
        raise malformed("the Host field", "HTTP/1.1 needs exactly one")
    options = _options(special.get(b"connection", b""))
    lines = b"\r\n".join(_without(kept, options))
    return RequestFields(
        forward=_hosted(host, lines) if host else lines,
        host=host,
        length=_request_length(special, http_1_1),
        keep_alive=b"close" not in options and (http_1_1 or b"keep-alive" in options),
        # Only WebSocket: an Upgrade to h2c would carry requests past the gateway.
        websocket=http_1_1 and b"upgrade" in options and special.get(b"upgrade", b"").lower() == b"websocket",
        expects_continue=http_1_1 and special.get(b"expect", b"").lower() == b"100-continue",
        wants_json=wants_json,
    )


def _options(connection: bytes) -> frozenset[bytes]:
    if not connection:
        return frozenset()
    return frozenset(option.strip(b" \t") for option in connection.lower().split(b","))


def _without(lines: list[bytes], options: frozenset[bytes]) -> list[bytes]:
    """The fields that Connection names are for the next hop only."""
    if not options - {b"close", b"keep-alive", b"upgrade", b"te"}:
        return lines
    return [line for line in lines if line.partition(b":")[0].lower() not in options or not line]


def _request_length(special: dict[bytes, bytes], http_1_1: bool) -> int:
    coding = special.get(b"transfer-encoding")
    length = special.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise malformed("both Transfer-Encoding and Content-Length")
        if coding.lower() != b"chunked" or not http_1_1:
            raise malformed("Transfer-Encoding other than chunked")
        return CHUNKED
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise malformed("Content-Length is not a number")
    return int(length)


class ResponseParser:
    """Parses the heads of one data connection, and keeps the last. Raises `FunctionError` (bad_response)."""

    __slots__ = ("_head", "_whole")

    def __init__(self) -> None:
        self._whole = b""
        self._head: ResponseHead | None = None

    def parse(self, data: bytes, end: int) -> ResponseHead:
        whole = data[:end]
        if whole == self._whole and self._head is not None:
            return self._head
        self._head = head = self._parse(whole)
        self._whole = whole
        return head

    def _parse(self, data: bytes) -> ResponseHead:
        line = _STATUS_LINE.match(data)
        if line is None:
            raise bad_response("its status line is malformed")
        minor, status, reason = line.groups()
        fields = _response_fields(data[line.end() : -2])
        lines = b"HTTP/1.1 %b %b\r\n%b" % (status, reason or b"", fields.forward)
        framed = b"%bContent-Length: %d\r\n" % (lines, fields.length) if fields.length >= 0 else b""
        return ResponseHead(int(status), reason or b"", minor == b"1", fields, lines, framed)


def _response_fields(block: bytes) -> ResponseFields:
    if _FIELDS.fullmatch(block) is None:
        raise bad_response("its header fields are malformed (a line break or a control character in one?)")
    if block.count(b"\n") > MAX_FIELDS:
        raise bad_response(f"it has more than {MAX_FIELDS} header fields")
    kept: list[bytes] = []
    special: dict[bytes, bytes] = {}
    error = b""
    dated = False
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        key = name.lower()
        if key in _NOT_RETURNED:
            value = value.strip(b" \t")
            if key in special:
                if key in (b"content-length", b"transfer-encoding"):
                    raise bad_response(f"more than one {name.decode()}")
                value = special[key] + b"," + value
            special[key] = value
        elif key.startswith(b"x-fnctl-"):
            if key == b"x-fnctl-error":
                value = value.strip(b" \t")
                error = value if _ERROR_CODE.fullmatch(value) else b"bad_response"
        else:
            dated = dated or key == b"date"
            kept.append(line)
    options = _options(special.get(b"connection", b""))
    return ResponseFields(
        forward=b"\r\n".join(_without(kept, options)),
        length=_response_length(special),
        close=b"close" in options,
        keep_alive=b"keep-alive" in options,
        websocket=special.get(b"upgrade", b"").lower() == b"websocket",
        error=error,
        dated=dated,
    )


def _response_length(special: dict[bytes, bytes]) -> int:
    coding = special.get(b"transfer-encoding")
    length = special.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise bad_response("it has both Transfer-Encoding and Content-Length")
        if coding.lower() != b"chunked":
            raise bad_response("its Transfer-Encoding is not chunked")
        return CHUNKED
    if length is None:
        return UNTIL_CLOSE
    if _LENGTH.fullmatch(length) is None:
        raise bad_response("its Content-Length is not a number")
    return int(length)


def trailers(block: bytes) -> bytes | None:
    """The trailer fields of a chunked body that may be sent on (RFC 9110 §6.5.1); None where they are malformed."""
    if _FIELDS.fullmatch(block) is None:
        return None
    kept = []
    for line in block.split(b"\r\n"):
        key = line.partition(b":")[0].lower().replace(b"_", b"-")
        if key and key not in _TRAILERS_NEVER and not key.startswith(_OWN):
            kept.append(line + b"\r\n")
    return b"".join(kept)

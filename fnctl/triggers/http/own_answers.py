"""What the gateway answers itself, without a function: the bytes of any, and what is said of redirects, health and the
index page."""

from __future__ import annotations

import time

from fnctl.triggers.http.found import Health, Index, Redirect
from fnctl.triggers.http.head import RequestHead
from fnctl.triggers.http.index import index_page
from fnctl.triggers.http.render import CLOSE, answer_head, own_fields
from fnctl.triggers.http.state import GatewayState


def own_answer(
    gateway: GatewayState,
    status: int,
    headers: bytes,
    body: bytes,
    *,
    closing: bool,
    bodyless: bool = False,
    id: str = "",
) -> bytes:
    """A whole response. `closing`: the connection ends with it; `bodyless`: it is one to HEAD; `id`: of the
    invocation, where there is one already."""
    now = time.time()
    own = own_fields((id or gateway.next_id(now)).encode(), b"", CLOSE if closing else b"")
    answer = answer_head(status, headers, len(body), own, gateway.date(now))
    return answer if bodyless else answer + body


def page(gateway: GatewayState, routed: Redirect | Health | Index, head: RequestHead) -> tuple[int, bytes, bytes]:
    """(status, header fields, body) of what is at this route."""
    if isinstance(routed, Redirect):
        return 308, b"Location: %b\r\n" % routed.location, b""
    if isinstance(routed, Health):
        return 503 if gateway.draining else 200, b"Content-Type: text/plain\r\n", b"ok\n"
    content_type, text = index_page(routed, head.fields.host, as_json=head.fields.wants_json)
    return 200, b"Content-Type: %b\r\n" % content_type, text

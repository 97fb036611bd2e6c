"""Who serves a request for one of the gateway's own addresses, where its answer takes a look into the store."""

from __future__ import annotations

from fnctl.triggers.http import deferral, workflow_routes
from fnctl.triggers.http.deferral import Acceptor, Client, Deferral
from fnctl.triggers.http.exposure import refuse_other_sites
from fnctl.triggers.http.found import Aws, Events, Flow, FlowRun, Found, Queued, Stored
from fnctl.triggers.http.head import RequestHead
from fnctl.triggers.http.state import GatewayState

Own = Stored | Events | Flow | FlowRun | Queued


def check(routed: Found, raw: bytes) -> None:
    """Raises Forbidden where one is asked by a page of another site."""
    if isinstance(routed, Own | Aws):
        refuse_other_sites(raw)


def serving(
    gateway: GatewayState, client: Client, acceptor: Acceptor | None, routed: Own, head: RequestHead, raw: bytes
) -> Deferral:
    """`raw`: the head as it came."""
    match routed:
        case Stored():
            return Deferral(gateway, client, head, deferral.looking_up(acceptor, routed, head))
        case Events():
            return Deferral(gateway, client, head, deferral.publishing(acceptor, routed, head, raw))
        case Flow():
            return Deferral(gateway, client, head, workflow_routes.beginning(acceptor, routed, head))
        case FlowRun():
            return Deferral(gateway, client, head, workflow_routes.looking_up(acceptor, routed, head))
        case Queued():
            asking = deferral.at_queues(acceptor, routed, head, raw)
            return Deferral(gateway, client, head, asking.reply, asking.presence, deferral.BATCH_BYTES)

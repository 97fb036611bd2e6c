"""A call that failed for want of a network: told by the words of the error, and how to allow it. Pure."""

from __future__ import annotations

import re

from fnctl.model import Function, Network

# What the system's errors are called by Node, by Python and by the C library, where there is no route or no resolver.
_NO_ROUTE = re.compile(
    r"ENETUNREACH|EHOSTUNREACH|EAI_AGAIN|ENOTFOUND|EADDRNOTAVAIL|Network is unreachable|No route to host"
    r"|Temporary failure in name resolution|Name or service not known|No address associated with hostname"
)
_HINTS = {
    Network.NONE: "this function has no network: `network: egress` in fnctl.yaml lets it out, `network: services` lets"
    " it reach the project's services",
    Network.SERVICES: "this function reaches only the project's services: `network: egress` in fnctl.yaml lets it out",
}


def hint(function: Function, text: str) -> str | None:
    """How to allow what `text` says has failed; None where it says nothing of the kind, or the network is open."""
    advice = _HINTS.get(function.network)
    return advice if advice is not None and _NO_ROUTE.search(text) else None

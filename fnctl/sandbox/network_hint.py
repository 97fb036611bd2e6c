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
    Network.NONE: "this function has no network: set `network: egress` in fnctl.yaml for the outside world, or"
    " `network: services` for the project's services",
    Network.SERVICES: "this function reaches only the project's services: set `network: egress` in fnctl.yaml for the"
    " outside world",
}


# A refused connection to an address, by number; a name is a program of somebody else's that does not listen.
_REFUSED = re.compile(r"(ECONNREFUSED|[Cc]onnection refused).*?\b(?!127\.)\d+\.\d+\.\d+\.\d+", re.DOTALL)
_OWN = "addresses of this machine are refused to functions: `egress: {host: true}` in fnctl.yaml allows them"
_LINK_LOCAL = "link-local addresses are refused to functions: `egress: {link_local: true}` in fnctl.yaml allows them"


def hint(function: Function, text: str) -> str | None:
    """How to allow what `text` says has failed; None where it says nothing of the kind, or nothing is closed."""
    if function.network is Network.EGRESS:
        return _refused(function, text)
    return _HINTS[function.network] if _NO_ROUTE.search(text) else None


def _refused(function: Function, text: str) -> str | None:
    if (found := _REFUSED.search(text)) is None:
        return None
    if " 169.254." in found[0]:
        return None if function.egress.link_local else _LINK_LOCAL
    return None if function.egress.host else _OWN

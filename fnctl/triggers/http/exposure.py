"""Who can reach the gateway, and which Host names it answers for. Pure: decided once, before anything listens.

On loopback the danger is a web page: by DNS rebinding its own name comes to mean 127.0.0.1, and the browser then lets
the page call whatever listens there. Such a request still carries the page's name in Host, so only names that are ours
are answered. Without rebinding, a page can still send a simple request, whose answer it cannot read: fnctl's own
addresses refuse what a browser says to come from another site (Sec-Fetch-Site). Beyond loopback the danger is
everybody: the gateway listens there only behind a proxy that is named, or with authentication on every function.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fnctl.errors import FnctlError, Forbidden, UsageError
from fnctl.model import Auth, Function

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Misdirected(FnctlError):
    """The request's Host is not a name of this gateway (RFC 9110 §15.5.20)."""

    http_status = 421
    code = "misdirected"


_CROSS_SITE = re.compile(rb"(?i)\r\nsec-fetch-site:[ \t]*cross-site[ \t]*\r\n")


def refuse_other_sites(raw: bytes) -> None:
    """`raw`: a head. Raises Forbidden where a browser has sent it for a page of another site."""
    if _CROSS_SITE.search(raw) is not None:
        raise Forbidden("a page of another site cannot use this address", hint="call it from a function of the project")


@dataclass(frozen=True, slots=True)
class Exposure:
    """`names`: the Host names to answer for, beside `*.localhost` and those of triggers; None: all.
    `proxies`: the addresses whose `Forwarded` and `X-Forwarded-*` are believed. `strangers`: they can reach it with no
    proxy between: a function that became open after the start is not served."""

    names: frozenset[bytes] | None = None
    proxies: tuple[Network, ...] = ()
    strangers: bool = False

    def believes(self, address: str) -> bool:
        """Whether this peer is a proxy of ours."""
        if not self.proxies:
            return False
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self.proxies)


UNEXPOSED = Exposure()  # any name, and no proxy: where there is no TCP, and in tests


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def exposure(
    host: str, functions: Iterable[Function], *, proxies: Iterable[str] = (), names: Iterable[str] = ()
) -> Exposure:
    """For a gateway that listens on `host`. UsageError where that would serve strangers without a check."""
    believed = tuple(_network(each) for each in proxies)
    if is_loopback(host):
        if believed:  # the proxy is on this machine, and the names it serves are its own business
            return Exposure(None, believed)
        extra = {name.rstrip(".").lower() for name in names}
        return Exposure(frozenset(name.encode() for name in (*LOOPBACK_NAMES, host.strip("[]").lower(), *extra)))
    unchecked = [function.name for function in functions if function.auth is Auth.NONE]
    if unchecked and not believed:
        shown = ", ".join(unchecked[:5]) + (f" and {len(unchecked) - 5} more" if len(unchecked) > 5 else "")
        raise UsageError(
            f"--host {host} would let anyone on the network call functions without a key: {shown}",
            hint="give each function `auth: key` in fnctl.yaml, or listen for a proxy alone: --behind-proxy ADDRESS",
        )
    return Exposure(None, believed, strangers=not believed)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise UsageError(
            f"--behind-proxy {text}: not an address or network ({error})",
            hint="for example 10.0.0.5 or 10.0.0.0/24",
        ) from error

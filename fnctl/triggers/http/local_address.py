"""The address inside each sandbox: functions call functions, known by their sandbox, within what `calls` allows.

http://NAME.fnctl.internal/…          the function NAME, whatever its triggers
http://fnctl.internal/NAME/…          the same
/2015-03-31/functions/NAME/…          AWS Lambda's API; /2023-03-30/… and /2016-08-15/… Function Compute's
/2025-12-01/…                         that of durable functions: to the execution that runs here, and callbacks
"""

from __future__ import annotations

import re
from dataclasses import replace

from fnctl.dispatch import chain
from fnctl.dispatch.invocation import Invocation
from fnctl.errors import NotFound
from fnctl.model import INSIDE, SiteKey
from fnctl.sandbox.connection import Sandboxed
from fnctl.triggers.http import fc_api
from fnctl.triggers.http.bodies import Bodies
from fnctl.triggers.http.fc_api import FcInvoke
from fnctl.triggers.http.found import Aws, Begin, Events, Flow, Found, Match, Queued
from fnctl.triggers.http.lambda_api import INVOKE, LambdaInvoke
from fnctl.triggers.http.permission import check
from fnctl.triggers.http.routes import Routes
from fnctl.triggers.http.state import GatewayState

_DOT = f".{INSIDE}".encode()
CONNECTIONS = 256  # of one instance
OWN = 8  # of these, that it can always have, however many the others have
_DURABLE = b"/2025-12-01/"
_AMAZON = b"/2015-03-31/"
_APIS = re.compile(rb"/(?:2015-03-31|2023-03-30|2016-08-15/services/[^/?]+)/functions/([^/?]+)/")


class NoSuchFunction(NotFound):
    amazon = "ResourceNotFoundException"


class Caller:
    """Whoever calls from inside one sandbox. Known by the socket: no word from inside is needed or believed."""

    def __init__(self, sandboxed: Sandboxed, routes: Routes, gateway: GatewayState) -> None:
        self._sandboxed = sandboxed
        self._routes = routes
        self._invocations = gateway.invocations
        self._all = gateway.inside
        self._connections = 0
        self.bodies = Bodies(gateway.limits.held_inside_bytes, self._all.bodies)

    def enter(self) -> bool:
        """One more connection; whether it may be."""
        self._connections += 1
        self._all.connections += 1
        room = self._all.connections <= self._all.most or self._connections <= OWN
        return self._sandboxed.function is not None and room and self._connections <= CONNECTIONS

    def leave(self) -> None:
        """One less, whether it might be or not."""
        self._connections -= 1
        self._all.connections -= 1

    def match(self, host: bytes, method: bytes, target: bytes) -> Found:
        """Raises as Routes does, and Forbidden where the caller may not call that function or begin that workflow. What
        the rest of a request has to say first (which queue, which execution) is checked by whoever reads that."""
        name = host.partition(b":")[0].rstrip(b".").lower()
        if target.startswith(_DURABLE):
            return Aws(target, self._sandboxed.id, self._sandboxed.function)
        if (api := _APIS.match(target)) is not None:
            found: Found = self._api(_plain(api[1]), target)
        elif name.endswith(_DOT):
            found = self._whole(name.removesuffix(_DOT).decode("latin-1"), target)
        else:
            found = self._routes.match_by_name(host, method, target, trusted=False)
        caller = self._sandboxed.function
        if isinstance(found, Match | Begin):
            check(caller, found.function.name)
        elif isinstance(found, Flow):
            check(caller, f"workflow/{found.name}", "begin")
        if isinstance(found, Begin) and api is not None:
            return Aws(target, self._sandboxed.id, caller)
        if isinstance(found, Aws):
            return Aws(found.target, self._sandboxed.id, caller)
        return replace(found, caller=caller) if isinstance(found, Events | Queued) else found

    def _whole(self, name: str, target: bytes) -> Match | Begin:
        function = self._routes.function(name)
        if function is None:
            raise NotFound(f"no function named {name[:100]}", hint=f"functions: {', '.join(self._routes.names())}")
        if function.durable is not None:
            return Begin(function)
        return Match(function, SiteKey(function.name), target, b"")

    def _api(self, name: str, target: bytes) -> Match | Begin:
        """Of a platform, whose SDKs know an unknown function by a field of the answer."""
        try:
            found = self._whole(name, target)
        except NotFound as error:
            kind = NoSuchFunction if target.startswith(_AMAZON) else fc_api.NoSuchFunction
            raise kind(error.message, hint=error.hint) from None
        if not isinstance(found, Match):
            return found
        if fc_api.INVOKE.fullmatch(target):
            return FcInvoke(found.function, found.site, fc_api.canonical(found.function.name), b"")
        return LambdaInvoke(*found) if INVOKE.fullmatch(target) else found

    def parent(self, raw: bytes) -> tuple[Invocation | None, int]:
        """For which invocation the call is made, and how many calls then stand above it.

        Where the instance serves several at once, the request has to say which (`X-Fnctl-Invocation-Id`, passed on by
        the code). Where it does not, the parent is not known, and the deepest of them counts: a circle has an end.
        """
        here = [each for each in self._invocations.active if each.lease and each.lease.instance == self._sandboxed.id]
        if not here:
            return None, 0
        if len(here) == 1:
            return here[0], here[0].depth + 1
        said = re.search(rb"(?i)\r\nx-fnctl-invocation-id:[ \t]*([0-9A-Z]{26})[ \t]*\r\n", raw)
        known = next((each for each in here if said is not None and each.id.encode() == said[1]), None)
        return known, (known.depth if known is not None else max(each.depth for each in here)) + 1

    def told(self, parent: Invocation | None, forward: bytes) -> bytes:
        """The fields that tell the function who calls it."""
        function = self._sandboxed.function
        lines = b"X-Fnctl-Caller: function/%b\r\n" % (function.name.encode() if function is not None else b"")
        if parent is None:
            return lines
        lines += b"X-Fnctl-Parent-Id: %b\r\n" % parent.id.encode()
        if re.search(rb"(?i)(^|\r\n)traceparent:", forward) is None:
            lines += b"Traceparent: %b\r\n" % chain.traceparent(parent).encode()
        return lines


def _plain(name: bytes) -> str:
    """The function's name in what a platform's API takes for one: a name, `NAME:ALIAS`, an ARN."""
    text = name.decode("latin-1").replace("%3A", ":").replace("%3a", ":")
    if text.startswith("arn:"):
        return text.split(":")[6] if text.count(":") >= 6 else text
    return text.partition(":")[0]

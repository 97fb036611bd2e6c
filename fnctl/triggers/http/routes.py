"""Which function a request is for: a routing table built from the project's functions. Pure; no I/O.

Precedence: a rule with a host before one without; in a path a fixed segment before `{name}`, that before `{rest...}`.
A function without triggers is reached at `NAME.localhost`, at `/NAME/…` (the prefix is stripped) and, where it is the
only function, at `/…`. Triggers replace these.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote_to_bytes

from fnctl.errors import FnctlError, NotFound, UsageError
from fnctl.model import Contract, Function, HttpTrigger, SiteKey
from fnctl.triggers.http.exposure import Misdirected
from fnctl.triggers.http.found import (
    Aws,
    Begin,
    Events,
    Flow,
    FlowRun,
    Found,
    Health,
    Index,
    Match,
    MethodNotAllowed,
    Queued,
    Redirect,
    Stored,
)
from fnctl.triggers.http.route_tree import Rule, Table
from fnctl.triggers.http.target import normal_path, resolved
from fnctl.triggers.http.traffic_split import Split

LOCAL = ".localhost"
LATEST = b"latest"
_REST = "rest"
# The same requests come again and again: what they matched is kept, and all of it forgotten at once when it is much.
_MEMO_SIZE = 1024
_MEMO_TARGET = 256
# Before any function's routes, which may take all paths.
HEALTH = b"/_fnctl/health"
_EVENTS = b"/_fnctl/events"
_AWS = b"/_fnctl/aws/"
_FLOW = re.compile(rb"/_fnctl/workflows/([a-z][a-z0-9-]{0,62})")
_FLOW_RUN = re.compile(rb"/_fnctl/runs/([0-9A-Z]{26})(?:/([0-9a-f]{32}))?")
_QUEUES = re.compile(rb"/_fnctl/(?:queues/[^/?]+|sqs(?:/[^?]*)?)")
_STORED = re.compile(rb"/_fnctl/invocations/([0-9A-Z]{26})(?:/([0-9a-f]{32}))?")


@dataclass(frozen=True, slots=True)
class Shares:
    """The versions that an alias means: each up to a share of 1; None: the table that serves; an error: it is not
    loaded. `by`: split.sticky."""

    parts: tuple[tuple[float, Routes | FnctlError | None], ...]
    by: tuple[bytes, bytes] = (b"", b"")


def _outcome(match: Callable[[Routes], Found], table: Routes) -> Found | FnctlError:
    try:
        return match(table)
    except FnctlError as error:
        return error


class Routes:
    """The table in force. `replace` swaps all of it in one step; requests on their way keep what they matched."""

    def __init__(
        self,
        functions: Iterable[Function] = (),
        names: frozenset[bytes] | None = None,
        sites: Mapping[str, SiteKey] | None = None,
    ) -> None:
        """`sites`: of which versions, by function; None: of the current ones. `names`: the hosts to answer for, beside
        `*.localhost` and those of triggers; None: any (exposure.py).

        Raises ConfigError where two functions claim the same requests."""
        self._names = names
        functions = tuple(functions)
        sites = sites or {}
        self._shared: Mapping[bytes, Shares] = {}
        hosts: dict[str | None, list[Rule]] = {None: []}
        for function in functions:
            for host, rule in _rules(function, alone=len(functions) == 1):
                hosts.setdefault(host, []).append(replace(rule, version=sites.get(function.name)))
        tables = {host.encode(): Table(rules) for host, rules in hosts.items() if host is not None}
        anywhere = Table(hosts[None])
        by_name = Table(
            Rule(each, f"/{each.name}/{{{_REST}...}}", strip=True, version=sites.get(each.name)) for each in functions
        )
        self._hosts, self._anywhere, self._by_name, self._functions = tables, anywhere, by_name, functions
        self._memo: dict[tuple[bytes, bytes, bytes], Match | Split] = {}
        # Made here, for a request can ask for them as often as it likes.
        self._index = Index(tuple((function.name, self.addresses(function)) for function in functions))
        self._known = _known([address for _, addresses in self._index.functions for address in addresses])

    def replace(self, functions: Iterable[Function]) -> None:
        """Raises ConfigError where two functions claim the same requests; then the old table stays."""
        self.become(Routes(functions, self._names))

    def become(self, made: Routes) -> None:
        """Take over a table that is made already."""
        self._hosts, self._anywhere, self._by_name = made._hosts, made._anywhere, made._by_name
        self._functions, self._index, self._known = made._functions, made._index, made._known
        self._memo = {}

    def share(self, shared: Mapping[bytes, Shares]) -> None:
        """These aliases, and no others, are known from now on; b"" is what calls get that ask for none, where that is
        not this table alone."""
        self._shared = shared
        self._memo = {}

    def match(self, host: bytes, method: bytes, target: bytes, alias: bytes = b"") -> Found | Split:
        """Raises NotFound, MethodNotAllowed, Misdirected, and UsageError for a path that has no normal form. `alias`:
        that is asked for beside the address; Split: where several versions share the calls."""
        key = (host, method, target)
        if not alias and (known := self._memo.get(key)) is not None:
            return known
        bare = _bare(host)
        if not self._shared and not alias:
            found: Found | Split = self._match(bare, method, target)
        else:
            asked, bare = (alias, bare) if alias else self._named(bare)
            found = self._split(asked, lambda table: table._match(bare, method, target))
        if alias:
            return found
        if isinstance(found, Match | Split) and len(target) <= _MEMO_TARGET:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = found
        return found

    def _named(self, host: bytes) -> tuple[bytes, bytes]:
        """Alias and host of `ALIAS--NAME.localhost`; a function whose name is such is meant first."""
        alias, dashes, rest = host.partition(b"--")
        if dashes and host.endswith(LOCAL.encode()) and host not in self._hosts:
            return alias, rest
        return b"", host

    def _split(self, alias: bytes, match: Callable[[Routes], Found]) -> Found | Split:
        shares = self._shared.get(alias)
        if shares is None:
            if not alias or alias == LATEST:
                return match(self)
            known = ", ".join(sorted(each.decode() for each in self._shared if each)) or "none"
            raise NotFound(f"no alias {_shown(alias)}", hint=f"aliases: {known}; `fnctl alias` lists them")
        parts = [
            (upto, table if isinstance(table, FnctlError) else _outcome(match, table or self))
            for upto, table in shares.parts
        ]
        return Split(alias, tuple(parts), shares.by)

    def _match(self, host: bytes, method: bytes, target: bytes) -> Found:
        if target == HEALTH or target == b"*":
            return Health()
        table = self._hosts.get(host)
        local = host.endswith(LOCAL.encode())
        if table is None and not local and self._names is not None and host and host not in self._names:
            raise Misdirected(
                f"this gateway does not serve the host {_shown(host)}",
                hint="name it: `fnctl run --allow-host HOST`, or a trigger's `host` in fnctl.yaml",
            )
        own = _own(target, trusted=False)
        # Whoever publishes or begins a workflow calls functions past their authentication: beyond loopback, none does.
        if own is not None and not (isinstance(own, Events | Queued | Aws | Flow) and self._names is None):
            return own
        if table is None and local:
            raise self._not_found(f"no function at the host {_shown(host)}")
        path, question, query = target.partition(b"?")
        normal = normal_path(path)
        allowed: set[str] = set()
        for candidate in (table, None if local else self._anywhere):
            if candidate is None:
                continue
            found = candidate.find(method.decode(), normal)
            if isinstance(found, tuple):
                return _begun(_matched(found[0], found[1], path, normal, question + query))
            allowed |= found
        return self._unmatched(allowed, method, normal, question + query, None if local else self._anywhere)

    def match_alias_by_name(self, host: bytes, method: bytes, target: bytes, alias: bytes = b"") -> Found | Split:
        """As `match_by_name`, where aliases count."""
        return self._split(alias, lambda table: table.match_by_name(host, method, target))

    def match_by_name(self, host: bytes, method: bytes, target: bytes, *, trusted: bool = True) -> Found:
        """`/NAME/…` for every function, whatever its triggers. Raises as `match` does. `trusted`: who asks is the user
        of this service, and sees every deferred call."""
        if (own := _own(target, trusted=trusted)) is not None:
            return own
        path, question, query = target.partition(b"?")
        normal = normal_path(path)
        found = self._by_name.find(method.decode(), normal)
        if isinstance(found, tuple):
            return _begun(_matched(found[0], found[1], path, normal, question + query))
        return self._unmatched(found, method, normal, question + query, self._by_name)

    def function(self, name: str) -> Function | None:
        return next((function for function in self._functions if function.name == name), None)

    def names(self) -> list[str]:
        return [function.name for function in self._functions]

    def addresses(self, function: Function, origin: str = "", port: int | None = None) -> tuple[str, ...]:
        """The hosts and paths a function is reached at, as a person would write them, the best first.

        `origin` ("http://127.0.0.1:8080") goes before what is reached at any host, `port` behind every host.
        """
        alone = len(self._functions) == 1
        return tuple(_address(host, rule, origin, port) for host, rule in _rules(function, alone=alone))

    def _unmatched(
        self, allowed: set[str], method: bytes, normal: bytes, query: bytes, table: Table | None
    ) -> Redirect | Index:
        if allowed:
            allowed |= {"HEAD"} if "GET" in allowed else set()
            raise MethodNotAllowed(f"{method.decode()} is not allowed at {_shown(normal)}", sorted(allowed))
        if table is not None and not normal.endswith(b"/"):
            found = table.find(method.decode(), normal + b"/")
            if isinstance(found, tuple) and found[0].strip:
                return Redirect(normal + b"/" + query)
        if table is not None and normal == b"/":
            return self._index
        raise self._not_found(f"no function at {_shown(normal)}")

    def _not_found(self, message: str) -> NotFound:
        return NotFound(message, hint=self._known)


def _known(addresses: Sequence[str]) -> str:
    """The hint of a 404."""
    more = f", and {len(addresses) - 12} more" if len(addresses) > 12 else ""
    return f"known: {', '.join(addresses[:12])}{more}" if addresses else "no functions are running"


def _own(target: bytes, *, trusted: bool) -> Stored | Events | Queued | Aws | Flow | FlowRun | None:
    """What is fnctl's own, before any function's."""
    if not target.startswith(b"/_fnctl/"):
        return None
    if target == _EVENTS:
        return Events()
    if target.startswith(_AWS):
        return Aws(target[len(_AWS) - 1 :])
    path = target.partition(b"?")[0]
    if _QUEUES.fullmatch(path):
        return Queued(unquote_to_bytes(path).decode("utf-8", "replace"))
    if (found := _STORED.fullmatch(path)) is not None:
        return Stored(found[1].decode(), (found[2] or b"").decode(), trusted)
    if (found := _FLOW_RUN.fullmatch(path)) is not None:
        return FlowRun(found[1].decode(), (found[2] or b"").decode(), trusted)
    found = _FLOW.fullmatch(path)
    return None if found is None else Flow(found[1].decode())


def _rules(function: Function, *, alone: bool) -> list[tuple[str | None, Rule]]:
    routes = function.routes or (HttpTrigger(),)
    return [each for route in routes for each in _rules_of(function, route, alone=alone)]


def _rules_of(function: Function, route: HttpTrigger, *, alone: bool) -> list[tuple[str | None, Rule]]:
    """A route without a path is at the usual addresses."""
    if route.path:
        return [(_route_host(route), Rule(function, route.path, route.methods))]
    everything = f"/{{{_REST}...}}"
    if route.host:
        return [(_route_host(route), Rule(function, everything, route.methods))]
    rules: list[tuple[str | None, Rule]] = [(function.name + LOCAL, Rule(function, everything, route.methods))]
    prefix = f"/{function.name}"
    # Where the app has routes below /NAME itself, only a second one shows that the first is a prefix.
    below = f"{prefix}{prefix}" if alone and function.owns_prefix else prefix
    rules.append((None, Rule(function, f"{below}{everything}", route.methods, strip=True)))
    if alone:
        rules.append((None, Rule(function, everything, route.methods)))
    return rules


def _route_host(route: HttpTrigger) -> str | None:
    return route.host.lower() if route.host else None


def _address(host: str | None, rule: Rule, origin: str, port: int | None) -> str:
    path = rule.path.removesuffix(f"{{{_REST}...}}") if rule.strip or rule.path == f"/{{{_REST}...}}" else rule.path
    methods = f"{'|'.join(sorted(rule.methods))} " if rule.methods else ""
    where = f"http://{host}{f':{port}' if port else ''}" if host else origin
    return f"{methods}{where}{path}"


def _begun(match: Match) -> Match | Begin:
    return match if match.function.durable is None else Begin(match.function)


def _matched(rule: Rule, values: list[tuple[str, bytes]], path: bytes, normal: bytes, query: bytes) -> Match:
    if rule.strip:
        prefix = b"/" + rule.function.name.encode()
        target = _rest(path, normal, prefix) + query
        return Match(
            rule.function,
            rule.site,
            target,
            b"X-Forwarded-Prefix: " + prefix + b"\r\n",
            prefix,
        )
    route = _route(rule)
    if rule.path == "/{rest...}" or not values:
        return Match(rule.function, rule.site, path + query, route)
    params = "&".join(f"{quote(name, safe='')}={quote(unquote_to_bytes(value), safe='')}" for name, value in values)
    return Match(
        rule.function,
        rule.site,
        path + query,
        b"X-Fnctl-Params: " + params.encode() + b"\r\n" + route,
    )


def _rest(path: bytes, normal: bytes, prefix: bytes) -> bytes:
    """What follows the prefix: as it came, `//` and all, where that is what was matched; else the form that was."""
    matched = normal[len(prefix) :]
    if path != normal and path.startswith(prefix + b"/") and resolved(path) == path:
        rest = path[len(prefix) :]
        with contextlib.suppress(UsageError):  # `..` beyond the prefix
            if normal_path(rest) == matched:
                return rest
    return matched


def _route(rule: Rule) -> bytes:
    """Code for AWS Lambda asks by which route it was called (`event.routeKey`). ANY: its trigger names no methods."""
    if rule.function.contract is not Contract.LAMBDA or not rule.function.routes:
        return b""
    return f"X-Fnctl-Route: {'' if rule.methods else 'ANY '}{quote(rule.path, safe='/{}.')}\r\n".encode()


def _bare(host: bytes) -> bytes:
    """Without port and final dot, in lower case."""
    if host.startswith(b"["):
        return host.partition(b"]")[0][1:].lower()
    return host.partition(b":")[0].rstrip(b".").lower()


def _shown(path: bytes) -> str:
    return path[:200].decode("ascii", "replace")

"""What the contracts share: a request as they read it, and how one is bound to a callable. Knows no platform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

from fnctl_agent.contracts.bodies import JSON, Result
from fnctl_agent.interface import Found, NotCallable, described, plain
from fnctl_agent.later import Later
from fnctl_agent.wire import Headers, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    import urllib.parse as urls
    from typing import Any, Protocol
else:
    inspect, urls = Later("inspect"), Later("urllib.parse")
    Protocol = object

PARAMS_HEADER = b"x-fnctl-params"
ROUTE_HEADER = b"x-fnctl-route"
DEADLINE_HEADER = b"x-fnctl-deadline-ms"
OWN_PREFIX = b"x-fnctl-"  # between host and agent: no platform's code is to see them

Load = Mapping[str, "Any"]  # the `load` message of layers/PROTOCOL.md
Resolve = Callable[[str], "Any"]  # "module.attr" to what it names, imported; raises NoSuchHandler


class Refused(Exception):
    """The request is not one that the contract can carry: the client is told, the handler is not called."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status

    def result(self) -> Result:
        body = json.dumps({"error": {"code": "bad_request", "message": str(self)}}).encode()
        return self.status, [("content-type", JSON)], body


class Call:
    """One invocation's request, read to its end."""

    __slots__ = ("body", "deadline_ms", "id", "method", "raw_headers", "target", "version")

    def __init__(self, request: Request, body: bytes, *, id: str, deadline_ms: int) -> None:
        self.id = id
        self.deadline_ms = deadline_ms  # wall clock, epoch
        self.method: str = request.method
        self.target = request.target  # path and query as they came
        self.version: str = request.version  # of HTTP
        self.raw_headers: Headers = request.headers  # names in lower case; the host's own among them
        self.body = body

    @property
    def path(self) -> str:
        """Still percent-encoded."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> str:
        return self.target.partition(b"?")[2].decode("latin-1")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query's, decoded, in order."""
        return _fields(self.query)

    @property
    def params(self) -> dict[str, str]:
        """The path parameters of the matched trigger."""
        found = next((value for name, value in self.raw_headers if name == PARAMS_HEADER), b"")
        return dict(_fields(found.decode("latin-1")))

    @property
    def route(self) -> str:
        """The path of the matched trigger, after `ANY ` where it names no methods; empty without one."""
        return next((value.decode("latin-1") for name, value in self.raw_headers if name == ROUTE_HEADER), "")

    @property
    def client(self) -> str:
        """The client's address, as the gateway tells it."""
        return self.header("x-forwarded-for").partition(",")[0].strip() or "127.0.0.1"

    def headers(self, separator: str = ", ") -> dict[str, str]:
        """The client's, by lower-case name; those that came more than once are joined."""
        merged: dict[str, str] = {}
        for name, value in self.raw_headers:
            if name.startswith(OWN_PREFIX):
                continue
            key, text = name.decode("latin-1"), value.decode("latin-1")
            merged[key] = f"{merged[key]}{'; ' if key == 'cookie' else separator}{text}" if key in merged else text
        return merged

    def header(self, name: str) -> str:
        """One header; empty where it is not there."""
        return next((value.decode("latin-1") for key, value in self.raw_headers if key == name.encode()), "")

    def remaining_ms(self) -> int:
        """Until the host gives up; never below zero."""
        return remaining_ms(self.deadline_ms)


def received(request: Request, load: Load) -> Call:
    """Read a request to its end. Without a host there is no id and no deadline in it: they are made here."""
    body = request.body()
    deadline = request.header(DEADLINE_HEADER)
    return Call(
        request,
        body,
        id=request.invocation or _own_id(),
        deadline_ms=int(deadline) if deadline else int(time.time() * 1000) + load["timeout_ms"],
    )


def _fields(query: str) -> list[tuple[str, str]]:
    return urls.parse_qsl(query, keep_blank_values=True) if query else []


def _own_id() -> str:
    import uuid  # needed without a host only

    return str(uuid.uuid4())


def remaining_ms(deadline_ms: int) -> int:
    return max(0, deadline_ms - int(time.time() * 1000))


class Binding(Protocol):
    """How one callable is called in one contract. Used from several threads: keeps nothing of an invocation."""

    def arguments(self, call: Call) -> tuple[Any, ...]:
        """Raises Refused for a request that cannot be one of this contract."""

    def response(self, result: Any, call: Call) -> Result:
        """Raises BadResponse for a result that the contract does not know."""


class Contract:
    """One way to call a function: what is looked for, what the environment promises, how it is called."""

    runs_files = False  # whether a handler may be a file, run as the main program
    initializes = False  # whether it has an initializer

    def environment(self, load: Load) -> dict[str, str]:
        """Variables that the platform promises. The function's own of the same name win."""
        return {}

    def find(self, load: Load, resolve: Resolve) -> Found:
        """Import what the handler names, and take it. Raises what importing raises, and NotCallable."""
        return self.adopt(resolve(load["handler"]), load["handler"], load)

    def adopt(self, target: Any, name: str, load: Load) -> Found:
        raise NotImplementedError


def expect(target: Any, name: str, contract: str, *parameters: str) -> None:
    """Raises NotCallable unless `target` can be called with these, by position."""
    call = f"{contract} calls {name}({', '.join(parameters)})"
    if not callable(target) or isinstance(target, type):
        raise NotCallable(f"{call}, but {name} is {described(target)}", place(target))
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        return  # of a builtin: nothing is known before it is called
    try:
        signature.bind(*parameters)
    except TypeError:
        raise NotCallable(f"{call}, but it is defined as {name.rpartition('.')[2]}{signature}", place(target)) from None


def arity(target: Any, most: int) -> int:
    """How many positional arguments a callable takes, `most` where it takes any number."""
    if (known := plain(target)) is not None:
        names, variable = known
        return most if variable else min(most, len(names))
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return most
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return most
    return min(most, sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters))


def place(target: Any) -> tuple[str, int] | None:
    """File and line of a function's definition."""
    code = getattr(inspect.unwrap(target) if callable(target) else target, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else None

"""What a request is for, as the routes have found it: a function, or an address of the gateway itself. Plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fnctl.errors import NotFound
from fnctl.model import Function, SiteKey


class MethodNotAllowed(NotFound):
    """The path is known, but not with this method. `allow`: the methods that are."""

    http_status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, allow: Sequence[str]) -> None:
        super().__init__(message, hint=f"allowed here: {', '.join(allow)}")
        self.allow = tuple(allow)


class Match(NamedTuple):
    """The request goes to `function`. A tuple, not a dataclass: it is made for every request."""

    function: Function
    site: SiteKey
    target: bytes  # what to send: as it came, or without its prefix
    headers: bytes  # X-Forwarded-Prefix, X-Fnctl-Params, X-Fnctl-Route; b"" mostly
    prefix: bytes = b""  # that `target` lacks: "/NAME"


@dataclass(frozen=True, slots=True)
class Redirect:
    """`/NAME` → `/NAME/`, so that relative links of the function's pages work."""

    location: bytes


@dataclass(frozen=True, slots=True)
class Index:
    """The root of the gateway, where no function has it: the functions by name, each with its addresses."""

    functions: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What load balancers ask: is the gateway there? By any name of it, and of no function."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A deferred call, by its id. `trusted`: whoever asks may see it without a token."""

    id: str
    token: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Events:
    """Where events for the project's bus are published. `caller`: as with Aws."""

    caller: Function | None = None


@dataclass(frozen=True, slots=True)
class Aws:
    """A request of AWS's API. `instance`, `caller`: of the sandbox that it comes from; None: from this machine."""

    target: bytes
    instance: str | None = None
    caller: Function | None = None


@dataclass(frozen=True, slots=True)
class Begin:
    """The request begins an execution of a durable function."""

    function: Function


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a workflow is begun."""

    name: str


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A run of a workflow, by its id. `trusted`: as with Stored."""

    id: str
    token: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Queued:
    """Named queues: `/_fnctl/queues/NAME`, and the API of SQS below `/_fnctl/sqs`. `path`: which of them; `caller`: as
    with Aws."""

    path: str
    caller: Function | None = None


Found = Match | Redirect | Index | Stored | Events | Queued | Flow | FlowRun | Health | Aws | Begin

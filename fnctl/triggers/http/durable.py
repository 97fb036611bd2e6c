"""Durable functions at the gateway: requests that begin an execution, and AWS's API for it. Not what an execution is.

Where the API is: at http://fnctl.internal in a sandbox, below /_fnctl/aws at the gateway for this machine's own tools.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from fnctl.errors import FnctlError, NotFound
from fnctl.model import Function
from fnctl.triggers.http.deferral import Client, Deferral, Reply, fields_of
from fnctl.triggers.http.found import Aws, Begin, MethodNotAllowed
from fnctl.triggers.http.head import RequestHead
from fnctl.triggers.http.state import GatewayState

BODY_BYTES = 28 << 20  # a result of 6 MiB, escaped in JSON


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of AWS's API, whole."""

    method: str
    target: str  # raw: an ARN in it is one segment, with its slashes escaped
    headers: dict[str, str]  # by name in lower case
    body: bytes
    instance: str | None  # of the sandbox that it comes from; None: from this machine's user
    caller: Function | None


class Durable(Protocol):
    """What keeps the executions (workflow/durable)."""

    async def answer(self, asked: Asked) -> Reply:
        """Errors are replies, as AWS's."""
        ...

    async def begin(self, function: Function, input: bytes, headers: dict[str, str], *, later: bool) -> Reply:
        """The reply at the execution's end, or (`later`) once it is on disk. Raises FnctlError."""
        ...


def answering(
    durable: Durable | None, gateway: GatewayState, client: Client, routed: Aws, head: RequestHead, raw: bytes
) -> Deferral:
    """In an Exchange's place, for a request of AWS's API."""

    async def produce(body: bytes) -> Reply:
        if durable is None:
            raise _nothing()
        method, target = head.method.decode(), routed.target.decode("latin-1")
        return await durable.answer(Asked(method, target, fields_of(raw), body, routed.instance, routed.caller))

    return _deferral(gateway, client, head, produce)


def beginning(
    durable: Durable | None, gateway: GatewayState, client: Client, routed: Begin, head: RequestHead, raw: bytes
) -> Deferral:
    """For a request to a durable function: its body is the execution's input."""

    async def produce(body: bytes) -> Reply:
        if durable is None:
            raise _nothing()
        if head.method != b"POST":
            raise MethodNotAllowed(f"{routed.function.name} is durable: send its input as JSON by POST", ("POST",))
        return await durable.begin(routed.function, body, fields_of(raw), later=bool(head.fields.deferral))

    return _deferral(gateway, client, head, produce)


def _deferral(
    gateway: GatewayState, client: Client, head: RequestHead, produce: Callable[[bytes], Awaitable[Reply]]
) -> Deferral:
    return Deferral(gateway, client, head, produce, most=BODY_BYTES, lasting=True)


def _nothing() -> FnctlError:
    return NotFound("durable functions are not served here", hint="`fnctl run` serves them")

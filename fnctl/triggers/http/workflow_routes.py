"""HTTP requests that start a workflow, or ask for the state of a run. The running: workflow/.

POST /_fnctl/workflows/NAME          200 with its output, or the status of its fault; 202 where it takes longer, and
                                     with `Prefer: respond-async`, with the address of its state in `Location`
GET  /_fnctl/runs/ID/TOKEN           the run's state
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fnctl.errors import NotFound, UsageError
from fnctl.triggers.http.deferral import JSON, Acceptor, Reply, as_json
from fnctl.triggers.http.found import Flow, FlowRun, MethodNotAllowed
from fnctl.triggers.http.head import RequestHead

WAIT_S = 30.0  # for a run's end; then its address is told
RUNS = "/_fnctl/runs/"
_PROBLEM = b"Content-Type: application/problem+json\r\nCache-Control: no-store\r\n"


class Flows(Protocol):
    """What runs workflows (fnctl/workflow)."""

    async def start(self, name: str, input: Any, *, flush: bool = True) -> str:
        """The run's id. Raises NotFound, UsageError, TooLarge, StoreUnavailable."""
        ...

    def waits(self, id: str) -> asyncio.Future[Mapping[str, Any]]:
        """The end of a run that was begun just now."""
        ...

    async def state(self, id: str) -> Mapping[str, Any]:
        """Raises NotFound."""
        ...


def beginning(acceptor: Acceptor | None, routed: Flow, head: RequestHead) -> Callable[[bytes], Awaitable[Reply]]:
    async def produce(body: bytes) -> Reply:
        flows = _there(acceptor)
        if head.method != b"POST":
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("POST",))
        later = bool(head.fields.deferral)
        id = await flows.start(routed.name, _input(body), flush=later)
        if not later:
            ending = flows.waits(id)
            try:
                return ended(id, await asyncio.wait_for(ending, WAIT_S))
            except TimeoutError:
                pass
        assert acceptor is not None
        where = f"{RUNS}{id}/{acceptor.token(id)}"
        headers = f"Location: {where}\r\n".encode() + (b"Preference-Applied: respond-async\r\n" if later else b"")
        return Reply(202, headers + JSON, as_json({"id": id, "url": where}), id)

    return produce


def looking_up(acceptor: Acceptor | None, routed: FlowRun, head: RequestHead) -> Callable[[bytes], Awaitable[Reply]]:
    async def produce(body: bytes) -> Reply:
        flows = _there(acceptor)
        assert acceptor is not None
        if not (routed.trusted or acceptor.believes(routed.id, routed.token)):
            raise NotFound("no run at this address", hint="use the `Location` that its 202 named")
        if head.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed(f"{head.method.decode()} is not allowed here", ("GET", "HEAD"))
        said = await flows.state(routed.id)
        pending = b"Retry-After: 1\r\n" if "ended" not in said else b""
        return Reply(200, JSON + pending, as_json(dict(said)), routed.id)

    return produce


def _there(acceptor: Acceptor | None) -> Flows:
    flows = acceptor.flows if acceptor is not None else None
    if flows is None:
        raise NotFound("no workflows are served here", hint="`fnctl run` serves those of fnctl.yaml")
    return flows


def _input(body: bytes) -> Any:
    if not body.strip():
        return {}
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the input of a workflow must be JSON: {error}") from error


def ended(id: str, end: Mapping[str, Any]) -> Reply:
    """Its output, or its fault (RFC 9457) with the status that the fault names, where that is one of an error."""
    lines = f"X-Fnctl-Run: {id}\r\n".encode()
    if end["state"] == "completed":
        return Reply(200, JSON + lines, as_json(end.get("output")), id)
    said = dict(end.get("error") or {"title": f"the run was {end['state']}", "status": 409})
    status = said.get("status")
    if not isinstance(status, int) or status not in range(400, 600):
        status = 500
    return Reply(status, _PROBLEM + lines, as_json(said), id)

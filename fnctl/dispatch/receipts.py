"""An invocation's receipt, as far as the gateway knows it: the runtime adds CPU time and memory. Pure.

Arguments are positional and in the order of the fields: a receipt is made for every request, and keywords cost as much
again as all the rest of it.
"""

from __future__ import annotations

import math

from fnctl.dispatch.admission import Lease
from fnctl.model import Receipt


def served_receipt(
    invocation: str,
    lease: Lease,
    status: int,
    verdict: str,
    at: float,
    handler_ms: float,
    total_ms: float,
    method: str,
    path: str,
    detail: str | None,
) -> Receipt:
    return Receipt(
        invocation,
        lease.function,
        lease.version,
        lease.start,
        status,
        verdict,
        at,
        lease.queue_ms,
        lease.container_ms,
        lease.runtime_ms,
        lease.load_ms,
        handler_ms,
        total_ms,
        math.ceil(handler_ms),
        None,
        1,
        None,
        lease.instance,
        method,
        path,
        detail,
    )


def refused_receipt(
    invocation: str,
    function: str,
    status: int,
    verdict: str,
    at: float,
    waited_ms: float,
    method: str,
    path: str,
    detail: str | None,
) -> Receipt:
    """No instance was reached: all its time is waiting."""
    return Receipt(
        id=invocation,
        function=function,
        version="",
        start=None,
        status=status,
        verdict=verdict,
        at=at,
        queue_ms=waited_ms,
        total_ms=waited_ms,
        method=method,
        path=path,
        detail=detail,
    )

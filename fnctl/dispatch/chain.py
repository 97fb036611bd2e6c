"""Calls that functions make to each other: the chain that a call stands at the end of, and whether it can end. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Protocol

from fnctl.dispatch.admission import Lease
from fnctl.errors import CallLoop
from fnctl.model import Function

DEPTH = 16  # calls in a chain


class Link(Protocol):
    """An invocation, as a chain sees it."""

    @property
    def id(self) -> str: ...

    @property
    def function(self) -> Function: ...

    @property
    def depth(self) -> int: ...

    @property
    def lease(self) -> Lease | None: ...

    @property
    def parent(self) -> Link | None: ...


def callers(call: Link) -> Iterator[Link]:
    """Who waits for this call, the nearest first."""
    link = call.parent
    while link is not None:
        yield link
        link = link.parent


def problem(call: Link) -> CallLoop | None:
    """Why this call must not be made, if so: the chain is too long, or waits for itself."""
    chain = list(callers(call))
    function = call.function
    if call.depth >= DEPTH:
        return CallLoop(
            f"a chain of more than {DEPTH} calls: {_shown(call, chain)}",
            hint="functions call each other endlessly",
        )
    held = {link.lease.instance for link in chain if link.function.name == function.name and link.lease is not None}
    if function.concurrency == 1 and len(held) >= function.scale.max:
        every = f"all {function.scale.max} of its instances" if function.scale.max > 1 else "its only instance"
        return CallLoop(
            f"{function.name} would wait for itself: {_shown(call, chain)} holds {every}",
            hint="raise its scale.max, or do not call it from what it calls",
        )
    return None


def _shown(call: Link, chain: list[Link]) -> str:
    names = [link.function.name for link in reversed(chain)] + [call.function.name]
    return " → ".join(names if len(names) <= 6 else [*names[:3], "…", *names[-2:]])


def traceparent(call: Link) -> str:
    """W3C Trace Context for what `call` calls: one trace for a chain, its parts made from the invocations' ids."""
    root = call
    for link in callers(call):
        root = link
    return f"00-{_digest(root.id, 32)}-{_digest(call.id, 16)}-01"


def _digest(id: str, length: int) -> str:
    return hashlib.sha256(id.encode()).hexdigest()[:length]

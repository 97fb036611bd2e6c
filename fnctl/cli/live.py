"""What `fnctl run` shows while it serves: a live table on a terminal, nothing otherwise. Not what it serves."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl.cli import output
from fnctl.cli.ps import services_table

if TYPE_CHECKING:
    from fnctl.control.compose import Stack

REFRESH_S = 0.5
AROUND = 5  # lines of the page beside a row a function, and the cursor's own


async def watch(stack: Stack) -> None:
    """Until the stack is asked to stop."""
    if not sys.stderr.isatty():
        await stack.stopping.wait()
        return
    with output.live() as show:
        before = stack.gateway.requests
        while not stack.stopping.is_set():
            now = stack.gateway.requests
            show(page(stack.status(), (now - before) / REFRESH_S, shutil.get_terminal_size().lines))
            before = now
            try:
                await asyncio.wait_for(stack.stopping.wait(), REFRESH_S)
            except TimeoutError:
                continue


def page(status: Mapping[str, Any], rate: float, lines: int) -> str:
    """The view: a row a function, one a service, a line for the pool. Where `lines` are too few, functions in use."""
    functions = status["functions"]
    services = status.get("services") or []
    room = lines - AROUND - (len(services) + 2 if services else 0)
    shown = functions if len(functions) <= room else [row for row in functions if row["instances"] or row["queued"]]
    shown = shown[: max(0, room)]
    rows = [
        (
            row["name"],
            row["model"],
            row["version"],
            row["instances"],
            row["in_flight"],
            row["queued"],
            row["errors"],
        )
        for row in shown
    ]
    more = f"\n… and {len(functions) - len(shown)} more" if len(shown) < len(functions) else ""
    pool = status["pool"]
    memory = sum(row["memory_mb"] or 0 for row in status["instances"])
    return (
        output.table(("FUNCTION", "MODEL", "VERSION", "INSTANCES", "IN FLIGHT", "QUEUED", "ERRORS"), rows)
        + more
        + (f"\n\n{services_table(services)}" if services else "")
        + f"\n\npool {pool['base']} base + {pool['runtime']} runtime of {pool['target']}"
        + f"   {rate:.0f} requests/s   {status['requests']} requests in total   {memory:.0f} MB   Ctrl-C to stop"
    )

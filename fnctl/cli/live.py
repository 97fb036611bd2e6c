"""What `fnctl run` shows while it serves: a live table on a terminal, nothing otherwise. Not what it serves."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from fnctl.cli import output

if TYPE_CHECKING:
    from fnctl.cli.compose import Stack

REFRESH_S = 0.5


async def watch(stack: Stack) -> None:
    """Until the stack is asked to stop."""
    if not sys.stderr.isatty():
        await stack.stopping.wait()
        return
    with output.live() as show:
        before = stack.gateway.requests
        while not stack.stopping.is_set():
            now = stack.gateway.requests
            show(page(stack, (now - before) / REFRESH_S))
            before = now
            try:
                await asyncio.wait_for(stack.stopping.wait(), REFRESH_S)
            except TimeoutError:
                continue


def page(stack: Stack, rate: float) -> str:
    """The view as text: one row a function, one line for the pool."""
    status = stack.status()
    rows = [
        (row["name"], row["model"], row["version"], row["instances"], row["in_flight"], row["queued"])
        for row in status["functions"]
    ]
    pool = status["pool"]
    memory = sum(row["memory_mb"] or 0 for row in status["instances"])
    return (
        output.table(("FUNCTION", "MODEL", "VERSION", "INSTANCES", "IN FLIGHT", "QUEUED"), rows)
        + f"\n\npool {pool['base']} base + {pool['runtime']} runtime of {pool['target']}"
        + f"   {rate:.0f} requests/s   {status['requests']} in all   {memory:.0f} MB   Ctrl-C stops"
    )

"""Waiting for what a test asserts, in tests whose event loop is also that of what is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

WAIT_S = 30.0
PAUSE_S = 0.001


async def until(condition: Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Let the loop turn until it is so. TimeoutError where it does not come to be so."""

    async def turn() -> None:
        while not condition():  # noqa: ASYNC110 - what is waited for is other code's state
            await asyncio.sleep(PAUSE_S)

    await asyncio.wait_for(turn(), timeout_s)


async def turns(count: int) -> None:
    """Let the loop turn this often: what is ready to happen has happened then."""
    for _ in range(count):
        await asyncio.sleep(0)


async def past(timer_s: float) -> None:
    """Let twice the time of a timer pass, to show that it does not fire. For nothing else."""
    await asyncio.sleep(2 * timer_s)

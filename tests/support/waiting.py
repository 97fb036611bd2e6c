"""Waiting for what a test asserts, in tests that look at processes, containers and threads from outside."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_S = 30.0
PAUSE_S = 0.02

Found = TypeVar("Found")


def until(condition: Callable[[], Found | None], what: str, timeout_s: float = WAIT_S) -> Found:
    """What the condition gives, once that is true. AssertionError with `what` where it does not come to be so."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(PAUSE_S)
    return found

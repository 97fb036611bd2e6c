"""What an invocation is for, how its instance came to be, and what it cost."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple


class SiteKey(NamedTuple):
    """What an invocation is for: a function, and which of its versions where several run at once. No alias: the current
    one. A tuple, since it is looked up for every invocation."""

    function: str
    alias: str = ""


class StartKind(enum.StrEnum):
    """How the instance that served an invocation came to be; the same five words everywhere."""

    COLD = "cold"
    BASE = "base"
    RUNTIME = "runtime"
    ASLEEP = "asleep"
    WARM = "warm"


@dataclass(slots=True)
class Receipt:
    """What one invocation cost and how it ended. Times in ms; None where it could not be measured, never a guess.

    Not frozen, alone among these values: one is made for every request, and freezing makes that ten times as slow. The
    meter fills in what it measures, and nobody changes a receipt after that.
    """

    id: str
    function: str
    version: str  # first 12 hex digits of the bundle digest
    start: StartKind | None  # None where no instance was reached
    status: int
    verdict: str  # "ok" or the error's code: crash, oom, timeout, queue_full, …
    at: float  # wall clock, seconds since the epoch, when the request's head was read
    queue_ms: float = 0.0
    container_ms: float = 0.0
    runtime_ms: float = 0.0
    load_ms: float = 0.0
    handler_ms: float = 0.0
    total_ms: float = 0.0
    billed_ms: int = 0
    cpu_ms: float | None = None
    shared_by: int = 1  # cpu_ms is the instance's CPU in a window divided by the invocations in it
    peak_memory_mb: float | None = None
    instance: str | None = None
    method: str = ""
    path: str = ""
    detail: str | None = None
    parent: str | None = None  # the invocation that made this call

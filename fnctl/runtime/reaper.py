"""The reaper: which idle instances end, and the small loop that asks. The policy is pure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fnctl.runtime.instance import Instance
from fnctl.runtime.lifecycle import Death, State
from fnctl.runtime.site import Site

# Often enough that an instance outstays its keep-alive by a quarter at most, never more often than four times a second.
SHARE = 4
FASTEST_S, SLOWEST_S = 0.25, 5.0


@dataclass(frozen=True, slots=True)
class Idle:
    """An instance as the policy sees it. `since` is when its last invocation ended (monotonic seconds)."""

    key: str
    since: float


def due(idle: Sequence[Idle], total: int, keep: int, idle_timeout_s: float, now: float) -> list[str]:
    """The keys of the instances to end, longest idle first; `keep` of the function's `total` instances stay."""
    surplus = max(0, total - keep)
    late = [one for one in sorted(idle, key=lambda one: one.since) if now - one.since >= idle_timeout_s]
    return [one.key for one in late[:surplus]]


def interval(idle_timeouts_s: Iterable[float]) -> float:
    """Seconds between two looks."""
    shortest = min(idle_timeouts_s, default=SLOWEST_S * SHARE)
    return min(SLOWEST_S, max(FASTEST_S, shortest / SHARE))


def reap(site: Site, now: float) -> list[Instance]:
    """End what is due at one site. Look and end are one turn of the loop: no invocation can slip in between."""
    function = site.code.function
    idle = {instance.id: instance for instance in site.instances if instance.state is State.IDLE}
    seen = [Idle(key, instance.last_used) for key, instance in idle.items() if instance.in_flight == 0]
    ended = [idle[key] for key in due(seen, site.live, function.scale.min, function.idle_timeout_s, now)]
    for instance in ended:
        instance.end(Death.REAPED)
    return ended


async def patrol(sites: Callable[[], Iterable[Site]], clock: Callable[[], float]) -> None:
    """Look at every site, again and again, until cancelled."""
    while True:
        await asyncio.sleep(interval(site.code.function.idle_timeout_s for site in sites()))
        now = clock()
        for site in sites():
            reap(site, now)

"""The reaper: which idle instances fall asleep, which sleeping ones end, and the small loop that asks. The policies are
pure: `due`, and Greedy-Dual for those that there is no memory for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fnctl.dispatch.site import Site
from fnctl.greedydual import GreedyDual, Sleeper
from fnctl.policy import Sizes
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import Death

# Often enough that an instance outstays its keep-alive by a quarter at most, never more often than four times a second.
SHARE = 4
FASTEST_S, SLOWEST_S = 0.25, 5.0
LOADED_MB = Sizes().loaded_mb  # of one whose memory cannot be read (a remote engine)


@dataclass(frozen=True, slots=True)
class Idle:
    """An instance as the policy sees it. `since`: when its last invocation ended, or its load (monotonic seconds)."""

    key: str
    since: float


def due(idle: Sequence[Idle], total: int, keep: int, idle_timeout_s: float, now: float) -> list[str]:
    """The keys of the instances that have been idle for too long, longest idle first; `keep` of the function's `total`
    instances stay."""
    surplus = max(0, total - keep)
    late = [one for one in sorted(idle, key=lambda one: one.since) if now - one.since >= idle_timeout_s]
    return [one.key for one in late[:surplus]]


def interval(times_s: Iterable[float]) -> float:
    """Seconds between two looks, where something is due after these times."""
    shortest = min(times_s, default=SLOWEST_S * SHARE)
    return min(SLOWEST_S, max(FASTEST_S, shortest / SHARE))


def reap(site: Site, now: float) -> list[Instance]:
    """End what is due at one site, and put to sleep what may be of use yet; returns what has ended. Look and end are
    one turn of the loop: no invocation can slip in between."""
    function = site.code.function
    asleep = {instance.id: instance for instance in site.asleep()}
    kept = [Idle(key, each.asleep_since) for key, each in asleep.items()]
    ended = [asleep[key] for key in due(kept, site.live, site.least, function.keep_s, now)]
    idle = {instance.id: instance for instance in site.idle()}
    seen = [Idle(key, each.serving.idle_since) for key, each in idle.items()]
    awake = site.live - len(asleep)
    sleeps = function.keep_s > 0
    least = 0 if site.standby and sleeps else site.least
    late = [idle[key] for key in due(seen, awake, least, function.idle_timeout_s, now)]
    if sleeps:
        for instance in late:
            instance.sleep()
    else:
        ended += late
    for instance in ended:
        instance.end(Death.REAPED)
    return ended


class Reaper:
    """Looks at every site, again and again. On the event loop's thread."""

    def __init__(
        self, sites: Callable[[], Iterable[Site]], memory_mb: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        """`memory_mb`: how much of it all sleeping instances may take together, now."""
        self._sites = sites
        self._memory_mb = memory_mb
        self._clock = clock
        self._policy = GreedyDual()
        self._values: dict[Instance, float] = {}  # of those asleep, since the first look at each

    def look(self) -> None:
        """What fell asleep at the last look has collected its memory by now, and is weighed."""
        self._make_room()
        now = self._clock()
        for site in self._sites():
            reap(site, now)

    def _make_room(self) -> None:
        asleep = {one.id: one for site in self._sites() for one in site.asleep()}
        self._values = {one: value for one, value in self._values.items() if one.id in asleep}
        if not asleep:
            return
        sleepers = [self._sleeper(instance) for instance in asleep.values()]
        for key in self._policy.evict(sleepers, self._memory_mb()):
            asleep[key].end(Death.EVICTED)

    def _sleeper(self, instance: Instance) -> Sleeper:
        size_mb = instance.usage.memory_mb() if instance.usage is not None else LOADED_MB
        if instance not in self._values:
            self._values[instance] = self._policy.value(instance.serving.served, instance.start.load_ms, size_mb)
        return Sleeper(instance.id, self._values[instance], size_mb)

    async def patrol(self) -> None:
        """Until cancelled."""
        while True:
            functions = [site.code.function for site in self._sites()]
            times_s = [each for one in functions for each in (one.idle_timeout_s, one.keep_s) if each > 0]
            await asyncio.sleep(interval(times_s))
            self.look()

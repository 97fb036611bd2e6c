"""Everything about one function at run time: its instances, its free connections, its queue, and when it grows."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fnctl.errors import FnctlError, QueueFull
from fnctl.model import Model, StartKind
from fnctl.runtime import advice
from fnctl.runtime.code import Code
from fnctl.runtime.instance import Instance, Keeper
from fnctl.runtime.lease import DataConnection, Lease
from fnctl.runtime.lifecycle import Death, State

# A function that has an instance waits this long for it before another is started for the next request: one that is
# being cleaned is back within 1 to 60 ms; a new container takes 150 and the processor of all others.
PATIENCE_S = 0.1
# After a start failed, requests are answered with that failure at once, this long; doubled at each failure in a row.
BACKOFF_S = 1.0
BACKOFF_MAX_S = 30.0


class Starter(Protocol):
    """Who brings instances up for a site (the scheduler): it has the pool and the engine."""

    def pooled(self, code: Code) -> Instance | None:
        """Take the best pooled instance, if there is one."""
        ...

    def bring_up(self, site: Site, instance: Instance | None) -> None:
        """Start a task that loads the site's code into it (None: into a new one), then says `arrived` or `failed`."""
        ...


class SiteLease:
    """A Lease (runtime/lease.py). Made on the warm path, so slotted and plain."""

    __slots__ = (
        "_instance",
        "connection",
        "container_ms",
        "function",
        "instance",
        "load_ms",
        "plain",
        "queue_ms",
        "runtime_ms",
        "start",
        "version",
    )

    def __init__(self, site: Site, instance: Instance, connection: DataConnection) -> None:
        self._instance = instance
        self.connection = connection
        self.instance = instance.id
        self.function = site.name
        self.version = instance.version
        self.start = StartKind.WARM
        self.plain = not instance.ephemeral  # a process of its own may tell its own figures: a receipt waits for them
        self.queue_ms = self.container_ms = self.runtime_ms = self.load_ms = 0.0

    def first(self, waited_ms: float) -> None:
        """This lease is the one its instance was started for: it says what the start cost."""
        timings = self._instance.timings
        self.plain = False
        self.start = self._instance.start_kind
        self.container_ms = timings["container"]
        self.runtime_ms = timings["runtime"]
        self.load_ms = timings["load"]
        self.queue_ms = max(0.0, waited_ms - self.container_ms - self.runtime_ms - self.load_ms)

    def waited(self, waited_ms: float) -> None:
        self.plain = False
        self.queue_ms = waited_ms

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        self._instance.finish(self.connection, reusable=reusable, error=error)

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        self._instance.explain(answered)


@dataclass(slots=True, eq=False)
class SiteWaiter:
    """One queued request. `since` on the loop's clock."""

    site: Site
    ready: Callable[[Lease | FnctlError], None]
    since: float

    def cancel(self) -> None:
        if self in self.site.waiters:
            self.site.waiters.remove(self)


class Site(Keeper):
    """The keeper of a function's instances. On the event loop's thread.

    Holds: `free` are connections of serving instances, ready to carry a request; nobody waits while there are any.
    """

    def __init__(self, code: Code, starter: Starter, clock: Callable[[], float]) -> None:
        self.code = code
        self.name = code.function.name
        self.instances: set[Instance] = set()
        self.free: list[tuple[Instance, DataConnection]] = []  # last in, first out: load gathers, the rest goes idle
        self.waiters: deque[SiteWaiter] = deque()
        self.starting = 0
        self.on_log: Callable[[str, str, str | None, str], None] = lambda function, instance, invocation, text: None
        self._starter = starter
        self._clock = clock
        self._broken: tuple[FnctlError, float] | None = None  # (why, until)
        self._backoff_s = BACKOFF_S
        self._patience: asyncio.TimerHandle | None = None
        self._advised: set[tuple[str, str]] = set()  # (instance, hint) that its log has already

    # -- the way of a request --------------------------------------------------------------------------------------

    def take(self) -> SiteLease | None:
        """A free connection at once, or None."""
        if not self.free:
            return None
        instance, connection = self.free.pop()
        instance.begin()
        return SiteLease(self, instance, connection)

    def enqueue(self, ready: Callable[[Lease | FnctlError], None]) -> SiteWaiter:
        waiter = SiteWaiter(self, ready, self._clock())
        if (why := self._refusal()) is not None:
            asyncio.get_running_loop().call_soon(ready, why)
            return waiter
        if len(self.waiters) >= self.code.function.queue:
            raise QueueFull(
                f"{self.name}: {len(self.waiters)} invocations wait already",
                hint="try again, or raise `queue` or `scale.max` in fnctl.yaml",
                retry_after_s=1,
            )
        self.waiters.append(waiter)
        self.grow()
        return waiter

    def _refusal(self) -> FnctlError | None:
        """Why no start is tried now: the last one failed a moment ago, and nothing else could serve."""
        if self._broken is None or self.instances or self.starting:
            return None
        why, until = self._broken
        return why if self._clock() < until else None

    def grow(self) -> None:
        """Have as many connections and instances on their way as there are requests waiting, within the bounds."""
        missing = len(self.waiters) - sum(instance.dialling for instance in self.instances)
        for instance in self.instances:
            if missing <= 0:
                return
            if (room := min(instance.room(), missing)) > 0:
                instance.dial(room)
                missing -= room
        each = 1 if self.code.function.model is Model.EPHEMERAL else self.code.function.concurrency
        want = math.ceil((missing - self.starting * each) / each)
        allowed = self.code.function.scale.max - self.live - self.starting
        for _ in range(min(want, allowed)):
            if not self._start_one():
                return

    @property
    def live(self) -> int:
        """Instances that count against `scale.max`: those that drain do not."""
        return sum(1 for instance in self.instances if instance.state is not State.DRAINING)

    def _start_one(self) -> bool:
        patient = (self.instances or self.starting) and not self._waited_enough()
        if patient and any(instance.cleaning for instance in self.instances):
            self._look_again()
            return False
        instance = self._starter.pooled(self.code)
        if instance is None and patient:
            self._look_again()
            return False
        self.starting += 1
        self._starter.bring_up(self, instance)
        return True

    def _waited_enough(self) -> bool:
        return bool(self.waiters) and self._clock() - self.waiters[0].since >= PATIENCE_S

    def _look_again(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._patience_over)

    def _patience_over(self) -> None:
        self._patience = None
        self.grow()

    # -- told by the starter ---------------------------------------------------------------------------------------

    def joined(self, instance: Instance) -> None:
        """A sandbox is this function's from now on, before its code is placed."""
        instance.keeper = self
        self.instances.add(instance)

    def arrived(self, instance: Instance) -> None:
        """Loaded and free to be offered."""
        self.starting -= 1
        self._broken, self._backoff_s = None, BACKOFF_S
        instance.release_hold()
        self.grow()

    def failed(self, error: FnctlError) -> None:
        """A start came to nothing. Requests are failed with it where nothing else could serve them."""
        self.starting -= 1
        self._broken = (error, self._clock() + (error.retry_after_s or self._backoff_s))
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
        if not self.instances and not self.starting:
            self.fail_waiters(error)

    def fail_waiters(self, error: FnctlError) -> None:
        waiters, self.waiters = self.waiters, deque()
        for waiter in waiters:
            waiter.ready(error)

    # -- told by its instances (Keeper) ----------------------------------------------------------------------------

    def offered(self, instance: Instance, connection: DataConnection) -> None:
        if not self.waiters:
            self.free.append((instance, connection))
            return
        waiter = self.waiters.popleft()
        instance.begin()
        lease = SiteLease(self, instance, connection)
        waited_ms = (self._clock() - waiter.since) * 1000
        if instance.served == 1:
            lease.first(waited_ms)
        else:
            lease.waited(waited_ms)
        waiter.ready(lease)
        if self.waiters:
            self.grow()

    def withdrawn(self, instance: Instance, connection: DataConnection) -> None:
        self.free = [(owner, there) for owner, there in self.free if there is not connection]
        if self.waiters:
            self.grow()  # its place can be dialled for anew

    def draining(self, instance: Instance) -> None:
        self.free = [(owner, connection) for owner, connection in self.free if owner is not instance]
        if self.waiters:
            self.grow()

    def died(self, instance: Instance) -> None:
        self.instances.discard(instance)
        self._advised = {each for each in self._advised if each[0] != instance.id}
        self.free = [(owner, connection) for owner, connection in self.free if owner is not instance]
        if self.waiters:
            self.grow()

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None:
        self.on_log(self.name, instance.id, invocation, text)
        told = advice.hint(self.code.function, text)
        if told is not None and (instance.id, told) not in self._advised:
            self._advised.add((instance.id, told))
            self.on_log(self.name, instance.id, invocation, f"hint: {told}")

    # -- versions and the end --------------------------------------------------------------------------------------

    def renew(self) -> None:
        """The code has changed: what failed before may work now."""
        self._broken, self._backoff_s = None, BACKOFF_S

    def retire(self, why: Death, keep: frozenset[Instance] = frozenset()) -> None:
        """Take every instance but these out of service: idle ones end now, busy ones after their last request."""
        self.free = [(owner, connection) for owner, connection in self.free if owner in keep]
        for instance in list(self.instances - keep):
            instance.drain(why)

    def close(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

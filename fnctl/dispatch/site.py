"""Everything about one function at run time: its instances, its free connections, its queue, and when it grows.

Long for one file: who waits, what is free and what is being started decide each other.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.growth import Growth, Processors
from fnctl.dispatch.startup import Claim, Failed, LogSink, Outcome
from fnctl.errors import FnctlError, QueueFull
from fnctl.model import Model, StartKind
from fnctl.sandbox import hints as advice
from fnctl.sandbox.connection import DataConnection
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code, once

# A function that has an instance waits this long for it before another is started for the next request: one that is
# being cleaned is back within 1 to 60 ms; a new container takes 150 and the processor of all others.
PATIENCE_S = 0.1
# Where another instance would only share the processors: so long one that waits lets those before it have them.
LONG_WAIT_S = 1.0
# After a start failed, requests are answered with that failure at once, this long; doubled at each failure in a row.
BACKOFF_S = 1.0
BACKOFF_MAX_S = 30.0


Listening = Callable[[str], None]


class Starter(Protocol):
    """Who brings instances up for a site (startup.py): it has the pool and the engine."""

    def take(self, code: Code) -> Instance | None:
        """Take the best pooled instance, if there is one."""
        ...

    def start(
        self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim, tell: Callable[[Outcome], None]
    ) -> None:
        """Load the code into the taken instance (None: into a new one), in a task of the starter's own.

        `claim` is called as soon as there is an instance, before anything is loaded; `tell` once, at the end: not where
        the starter was closed before.
        """
        ...


class SiteLease:
    """A Lease (dispatch/admission.py). Made on the warm path, so slotted and plain."""

    __slots__ = (
        "_instance",
        "_site",
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
        self._site = site
        self._instance = instance
        self.connection = connection
        self.instance = instance.id
        self.function = site.name
        self.version = instance.version
        self.start = StartKind.WARM
        self.plain = instance.serving.plain  # a process of its own may tell its own figures: a receipt waits for them
        self.queue_ms = self.container_ms = self.runtime_ms = self.load_ms = 0.0

    def first(self, waited_ms: float) -> None:
        """This lease is the one its instance was started for: it says what the start cost."""
        start = self._instance.start
        self.plain = False
        self.start = start.kind
        self.container_ms = start.container_ms
        self.runtime_ms = start.runtime_ms
        self.load_ms = start.load_ms
        self.queue_ms = max(0.0, waited_ms - self.container_ms - self.runtime_ms - self.load_ms)

    def woke(self) -> None:
        """It found its instance asleep."""
        self.plain = False
        self.start = StartKind.ASLEEP

    def waited(self, waited_ms: float) -> None:
        self.plain = False
        self.queue_ms = waited_ms

    @property
    def alone(self) -> bool:
        return self._instance.serving.in_flight <= 1

    def carry(self, invocation: str) -> None:
        self._instance.serving.carry(self.connection, invocation)

    def overhear(self, invocation: str, heard: Callable[[str], None] | None) -> None:
        self._site.overhear(invocation, heard)

    @property
    def unread(self) -> bool:
        return self._instance.conversation.unread

    def release(self, *, reusable: bool, error: FnctlError | None = None) -> None:
        self._instance.serving.finish(self.connection, reusable=reusable, error=error)

    def failure(self, answered: Callable[[FnctlError], None]) -> None:
        self._instance.explain(answered)


@dataclass(slots=True, eq=False)
class SiteWaiter:
    """One queued request. `since` on the loop's clock."""

    site: Site
    ready: Callable[[Lease | FnctlError], None]
    since: float

    @property
    def for_a_start(self) -> bool:
        return self.site.is_starting

    def cancel(self) -> None:
        if self in self.site.waiters:
            self.site.waiters.remove(self)


class Site(InstanceOwner):
    """The owner of a function's instances. On the event loop's thread.

    Holds: `free` are connections of serving instances, ready to carry a request; nobody waits while there are any.
    """

    def __init__(
        self,
        code: Code,
        starter: Starter,
        clock: Callable[[], float],
        on_log: LogSink = lambda function, instance, invocation, text: None,
        processors: Processors | None = None,
    ) -> None:
        """`processors`: what its instances run on; None where that is not known."""
        self.code = code
        self.name = code.function.name
        self.instances: dict[Instance, None] = {}  # a set in the order of their coming: what follows repeats
        self.free: list[tuple[Instance, DataConnection]] = []  # last in, first out: load gathers, the rest goes idle
        self.waiters: deque[SiteWaiter] = deque()
        self._starter = starter
        self._starts = 0  # under way: counted here alone, from `_start` until its outcome is told
        self._on_log = on_log
        self._overheard: dict[str | None, Callable[[str], None]] = {}  # by whose lines they get
        self._clock = clock
        self._growth = Growth(processors, clock)
        self._broken: tuple[FnctlError, float] | None = None  # (why, until)
        self._backoff_s = BACKOFF_S
        self._patience: asyncio.TimerHandle | None = None
        self._advised: set[tuple[str, str]] = set()  # (instance, hint) that its log has already
        self.standby = False  # a version that does not serve, and is kept ready to
        self.listening: Listening | None = None  # who gets what it prints, beside the log

    @property
    def is_starting(self) -> bool:
        """Whether all that there is of it is on its way."""
        return self._starts > 0 and not any(one.life.takes_requests for one in self.instances)

    # -- the way of a request --------------------------------------------------------------------------------------

    def take(self) -> SiteLease | None:
        """A free connection at once, or None."""
        if not self.free:
            return None
        instance, connection = self.free.pop()
        asleep = instance.life.state is State.ASLEEP
        instance.serving.begin()
        lease = SiteLease(self, instance, connection)
        if asleep:
            lease.woke()
        return lease

    def enqueue(self, ready: Callable[[Lease | FnctlError], None]) -> SiteWaiter:
        waiter = SiteWaiter(self, ready, self._clock())
        if (why := self._refusal()) is not None:
            asyncio.get_running_loop().call_soon(ready, why)
            return waiter
        if len(self.waiters) >= self.code.function.queue:
            raise QueueFull(
                f"{self.name}: {len(self.waiters)} invocations are already waiting",
                hint="retry later, or raise `queue` or `scale.max` in fnctl.yaml",
                retry_after_s=1,
            )
        self.waiters.append(waiter)
        self.grow()
        return waiter

    def _refusal(self) -> FnctlError | None:
        """Why no start is tried now: the last one failed a moment ago, and nothing else could serve."""
        if self._broken is None or self.instances or self._starts:
            return None
        why, until = self._broken
        return why if self._clock() < until else None

    def grow(self) -> None:
        """Have as many connections and instances on their way as there are requests waiting, within the bounds."""
        up = [instance for instance in self.instances if not instance.held]  # the others are starts, counted as such
        missing = len(self.waiters) - sum(instance.serving.dialling for instance in up)
        for instance in up:
            if missing <= 0:
                return
            if (room := min(instance.serving.room(), missing)) > 0:
                instance.serving.dial(room)
                missing -= room
        each = 1 if self.code.function.model is Model.EPHEMERAL else self.code.function.concurrency
        want = math.ceil((missing - self._starts * each) / each)
        allowed = self.code.function.scale.max - self._committed
        for _ in range(min(want, allowed)):
            if not self._start_if_worth_it():
                return

    @property
    def _committed(self) -> int:
        """Instances that serve or are to, by `scale.max`."""
        up = sum(1 for one in self.instances if not one.held and one.state is not State.DRAINING)
        return up + self._starts

    @property
    def live(self) -> int:
        """Instances that count against `scale.max`: those that drain do not."""
        return sum(1 for instance in self.instances if instance.state is not State.DRAINING)

    def idle(self) -> list[Instance]:
        """The instances awake that nothing is asked of. What is on its way to a waiting request is none of them."""
        return [one for one in self.instances if one.state is State.IDLE and not self._is_wanted(one)]

    def asleep(self) -> list[Instance]:
        return [one for one in self.instances if one.state is State.ASLEEP and not self._is_wanted(one)]

    def _is_wanted(self, instance: Instance) -> bool:
        serving = instance.serving
        return instance.held or serving.in_flight > 0 or (bool(self.waiters) and serving.dialling > 0)

    def _start_if_worth_it(self) -> bool:
        """Where an instance is there or comes, only a pooled one is worth a start at once; a new one after a wait. None
        is, where it would only share the processors with those that are there."""
        if self._is_enough():
            self._look_again()
            return False
        patient = (self.instances or self._starts) and not self._has_waited(PATIENCE_S)
        if patient and any(instance.serving.cleaning for instance in self.instances):
            self._look_again()
            return False
        taken = self._starter.take(self.code)
        if taken is None and patient:
            self._look_again()
            return False
        self._start(taken)
        return True

    def _is_enough(self) -> bool:
        """More would get nothing more done. Who waits for long behind long work gets a share all the same."""
        if once(self.code.function) or self._growth.helps(self.instances, self._committed):
            return False
        return self._starts > 0 or not self._has_waited(LONG_WAIT_S)

    def _has_waited(self, seconds: float) -> bool:
        return bool(self.waiters) and self._clock() - self.waiters[0].since >= seconds

    def _look_again(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._patience_over)

    def _patience_over(self) -> None:
        self._patience = None
        self.grow()

    # -- one start -------------------------------------------------------------------------------------------------

    @property
    def least(self) -> int:
        """Instances to keep whatever comes: a version on standby is one's worth of memory, however it scales."""
        return 1 if self.standby else self.code.function.scale.min

    def fill(self) -> None:
        """Start what `scale.min` asks for."""
        for _ in range(self.code.function.scale.min - self.live):
            self._start(None)

    def _start(self, taken: Instance | None) -> None:
        self._starts += 1
        self._starter.start(self.code, taken, self, self._claim, self._started)

    def _claim(self, instance: Instance, kind: StartKind) -> None:
        """It is this function's from now on, before its code is placed."""
        instance.claim(self, kind)
        self.instances[instance] = None

    def _started(self, outcome: Outcome) -> None:
        self._starts -= 1
        if outcome.code is not self.code:  # replaced while it was on its way: its failure says nothing of the new code
            if not isinstance(outcome, Failed):
                outcome.instance.end(Death.REPLACED)
            self.grow()
        elif isinstance(outcome, Failed):
            self._failed(outcome.error)
        else:
            self._broken, self._backoff_s = None, BACKOFF_S
            outcome.instance.release()
            self.grow()

    def _failed(self, error: FnctlError) -> None:
        """Requests are failed with it where nothing else could serve them."""
        self._broken = (error, self._clock() + (error.retry_after_s or self._backoff_s))
        self._backoff_s = min(self._backoff_s * 2, BACKOFF_MAX_S)
        if not self.instances and not self._starts:
            self.fail_waiters(error)

    def hand_over(self, heir: Site) -> None:
        """What waits here waits there, behind those that do already."""
        waiters, self.waiters = self.waiters, deque()
        for waiter in waiters:
            waiter.site = heir
        heir.waiters.extend(waiters)
        if waiters:
            heir.serve_waiters()

    def serve_waiters(self) -> None:
        """Those that have come from elsewhere: there may be connections free."""
        free, self.free = self.free, []
        for instance, connection in free:
            self.offered(instance, connection)
        self.grow()

    def fail_waiters(self, error: FnctlError) -> None:
        waiters, self.waiters = self.waiters, deque()
        for waiter in waiters:
            waiter.ready(error)

    # -- told by its instances (InstanceOwner) ---------------------------------------------------------------------

    def offered(self, instance: Instance, connection: DataConnection) -> None:
        if not self.waiters:
            self.free.append((instance, connection))
            return
        waiter = self.waiters.popleft()
        asleep = instance.life.state is State.ASLEEP
        instance.serving.begin()
        lease = SiteLease(self, instance, connection)
        waited_ms = (self._clock() - waiter.since) * 1000
        if instance.serving.served == 1:
            lease.first(waited_ms)
        else:
            lease.waited(waited_ms)
            if asleep:
                lease.woke()
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
        self.instances.pop(instance, None)
        self._advised = {each for each in self._advised if each[0] != instance.id}
        self.free = [(owner, connection) for owner, connection in self.free if owner is not instance]
        if self.waiters:
            self.grow()

    def overhear(self, invocation: str, heard: Callable[[str], None] | None) -> None:
        if heard is None:
            self._overheard.pop(invocation, None)
        else:
            self._overheard[invocation] = heard

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None:
        self._on_log(self.name, instance.id, invocation, text)
        if invocation in self._overheard:
            self._overheard[invocation](text)
        if self.listening is not None:
            self.listening(text)
        told = advice.hint(self.code.function, text)
        if told is not None and (instance.id, told) not in self._advised:
            self._advised.add((instance.id, told))
            self._on_log(self.name, instance.id, invocation, f"hint: {told}")

    # -- versions and the end --------------------------------------------------------------------------------------

    def renew(self, code: Code) -> None:
        """This is the code from now on: what failed before may work now."""
        self.code = code
        self._broken, self._backoff_s = None, BACKOFF_S

    def replace(self, code: Code, fresh: Instance) -> None:
        """A new version takes over, in an instance that is loaded and held for this site."""
        self.renew(code)
        self.instances[fresh] = None
        self.retire(Death.REPLACED, keep=frozenset({fresh}))
        fresh.release()

    def retire(self, why: Death, keep: frozenset[Instance] = frozenset()) -> None:
        """Take every instance but these out of service: idle ones end now, busy ones after their last request."""
        self.free = [(owner, connection) for owner, connection in self.free if owner in keep]
        for instance in [one for one in self.instances if one not in keep]:
            instance.drain(why)

    def close(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

"""The pool: pre-warmed instances without a function, by tier, and the making and unmaking of every sandbox.

Long for one file: who is a member and who is alive have one owner. What needs neither stands apart: tiers.py, ahead.py,
janitor.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, TypeVar

from fnctl.engine.base import LABEL, LABEL_PROJECT, LABEL_ROLE, LABEL_RUN, Engine
from fnctl.engine.cgroup import Cgroup
from fnctl.errors import EngineError, FnctlError, NoCapacity
from fnctl.model import DERIVED, Bundle, RuntimeSpec, SandboxSpec
from fnctl.policy import PoolPolicy, Targets
from fnctl.runtime.agent import DataFactory
from fnctl.runtime.ahead import Ahead
from fnctl.runtime.code import Code
from fnctl.runtime.departures import Departures
from fnctl.runtime.instance import Instance, Keeper
from fnctl.runtime.janitor import Janitor
from fnctl.runtime.lease import DataConnection
from fnctl.runtime.lifecycle import Death, State
from fnctl.runtime.slot import Slot, Slots
from fnctl.runtime.tiers import ANSWER_S, UNFIT, PoolSettings, has_booted, lacking, rank, shares, surplus

T = TypeVar("T")

SUPERVISOR = ("/usr/bin/perl", "/opt/fnctl/supervisor.pl")
# More than two creations at once are slower in sum: 6, 11 and 9 starts a second at 1, 2 and 8 (measured, 2 cores).
PARALLEL_CREATES = 2
GREETING_S = 15.0
# A refill that starts at once takes the processor from the very invocation that emptied the pool.
QUIET_S = 0.3
RESIZE_S = 10.0  # how often a pool that learns forgets
BACKOFF_S = (1.0, 2.0, 5.0, 15.0)


class Pool(Keeper):
    """Owns every slot and sandbox of a run. On the event loop's thread; engine calls go to the executor."""

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        slots: Slots,
        settings: PoolSettings,
        data_factory: DataFactory,
        on_end: Callable[[Instance], None] = lambda instance: None,
        cgroup_of: Callable[[int], Cgroup | None] = Cgroup.of,
        policy: PoolPolicy | None = None,
    ) -> None:
        """`policy` sizes the pool from the first calls it is told of; without one, it stays as set."""
        self.settings = settings
        self._policy = policy
        self._targets = shares(settings.warm, settings.runtimes) if policy is None else policy.targets(time.monotonic())
        self.members: list[Instance] = []  # oldest first
        self.alive: dict[str, Instance] = {}  # every instance of the run that is not dead, pooled or not
        self.trouble: FnctlError | None = None  # why the last refill failed
        self.engine = engine
        self._executor = executor
        self._slots = slots
        self._data_factory = data_factory
        self._on_end = on_end
        self._cgroup_of = cgroup_of
        self._gate = asyncio.Semaphore(PARALLEL_CREATES)
        self._creating = 0
        self._busy_starts = 0
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False
        self._calm_timer: asyncio.TimerHandle | None = None
        self._called_at = -math.inf  # when a first call came last
        self._networked = set(settings.networked)  # the functions that are put on a network
        self.departures = Departures(lambda: self.call(engine.ids, self.labels()))
        self._ahead = Ahead()
        self._changed = asyncio.Condition()
        self.janitor = Janitor(engine, self.labels(), self._names, self.call)

    @property
    def target(self) -> int:
        """Pooled instances to keep."""
        return self._targets.total

    # -- asked by the scheduler ------------------------------------------------------------------------------------

    def take(self, code: Code) -> Instance | None:
        """The best pooled instance for this code: booted before booting before base; None where there is none left."""
        ranks = [(rank(member, code), member) for member in self.members]
        fit, best = min(ranks, key=lambda ranked: ranked[0], default=(UNFIT, None))
        if best is None or fit == UNFIT:
            return None
        self.members.remove(best)
        self._wake.set()
        return best

    def first_call(self, code: Code) -> None:
        """A request found no loaded instance of its function."""
        self._called_at = time.monotonic()
        self._ahead.called(code)
        if self._policy is not None:
            self._policy.observe(time.monotonic(), code.runtime.tier)
            self._wake.set()

    def expect(self, code: Code) -> None:
        """It may be started from now on."""
        self._ahead.deployed(code)
        if code.networked:
            self._networked.add(code.function.name)
            self._drop_unjoinable()
        self._wake.set()

    def forget(self, code: Code) -> None:
        """It will not be started again. What was read ahead for its bundle ends, where that is nobody else's."""
        self._networked.discard(code.function.name)
        if self._ahead.withdrawn(code):
            for member in [one for one in self.members if one.ahead == code.bundle.digest]:
                self.members.remove(member)
                member.end(Death.SURPLUS)
            self._wake.set()

    def starting(self, delta: int) -> None:
        """An instance is (+1) or is no longer (-1) on its way to a waiting request: refills keep out of its way."""
        self._busy_starts += delta
        self._wake.set()

    async def create(self, keeper: Keeper, memory_mb: int | None = None, *, joinable: bool) -> Instance:
        """A new sandbox at tier base; `joinable`: it can be put on a network. NoCapacity where the engine cannot."""
        slot = self._slot()
        instance = Instance(slot, keeper, self._data_factory, self._ended)
        instance.joinable = joinable
        self.alive[instance.id] = instance
        try:
            await instance.open()
            async with self._gate:
                instance.sandbox = await self.call(self.engine.create, self._spec(instance, memory_mb))
            if instance.state is State.DEAD:  # ended while the engine was at work: its destruction had no id to go by
                self._spawn(self._destroy(instance))
                raise NoCapacity("the service is stopping", retry_after_s=1)
            await instance.greeted(GREETING_S)
            instance.cgroup = await self.call(self._cgroup_of, instance.pid) if instance.pid else None
        except OSError as error:  # no file descriptors, no space
            instance.end(Death.LOST)
            raise NoCapacity(f"no instance: {error.strerror or error}", retry_after_s=2) from error
        except EngineError as error:
            instance.end(Death.LOST)
            self.janitor.doubt()
            raise NoCapacity(f"no instance: {error.message}", hint=error.hint, retry_after_s=2) from error
        except BaseException:
            instance.end(Death.LOST)
            raise
        instance.timings["container"] = (instance.clock() - instance.created) * 1000
        return instance

    def _slot(self) -> Slot:
        try:
            return self._slots.acquire()
        except OSError as error:  # no space for its folder
            raise NoCapacity(f"no instance: {error.strerror or error}", retry_after_s=2) from error

    def _spec(self, instance: Instance, memory_mb: int | None) -> SandboxSpec:
        slot = instance.slot
        folder = (str(slot.folder), "/fn", True)
        return SandboxSpec(
            name=self._name(slot.id),
            image=self.settings.image,
            command=SUPERVISOR,
            labels=tuple(self.labels().items()),
            uid=slot.uid,
            mounts=(folder,) if instance.joinable else (folder, (str(slot.hosts), "/etc/hosts", True)),
            memory_mb=memory_mb or self.settings.memory_mb,
            tmp_mb=self.settings.tmp_mb,
            network="none" if instance.joinable else None,
            auto_remove=True,
        )

    def _name(self, instance: str) -> str:
        """Of its sandbox: known before the engine is asked, so that what it made is found though it never said so."""
        return f"fnctl-{self.settings.project}-{instance}"

    def _names(self) -> frozenset[str]:
        return frozenset(map(self._name, self.alive))

    def labels(self) -> Mapping[str, str]:
        return {
            LABEL: "1",
            LABEL_PROJECT: self.settings.project,
            LABEL_ROLE: "sandbox",
            LABEL_RUN: self.settings.run,
        }

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """A blocking engine call, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    # -- keeping the target ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name="pool")
        self._sweeper = asyncio.create_task(self.janitor.run(), name="janitor")
        self._wake.set()

    async def full(self) -> None:
        """Wait until the target is met, every wanted runtime is booted, or refilling fails (then raise why)."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.trouble is not None or self._is_full())
        if self.trouble is not None and not self._is_full():
            raise self.trouble

    async def quiet(self) -> None:
        """Full, and nothing under way any more: what ended is gone from the engine."""
        await self.full()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
            await self.full()

    def _is_full(self) -> bool:
        ready = [member for member in self.members if member.booting is None]
        return len(ready) >= self.target and not self._unbooted() and not self._unread()

    def _unbooted(self) -> list[RuntimeSpec]:
        """What is still to be booted of the wanted runtimes, as far as the target has room for it."""
        lack = lacking(self.members, self._targets.booted, self.settings.runtimes)
        return lack[: max(0, self.target - has_booted(self.members).total())]

    def _unread(self) -> list[tuple[Instance, Bundle]]:
        """What is still to be read ahead, and where."""
        pairs: list[tuple[Instance, Bundle]] = []
        for runtime, booted in self._targets.booted.items():
            mine = [member for member in self.members if member.runtime == runtime]
            wanted = self._ahead.wanted(runtime, booted, {member.ahead for member in mine if member.ahead})
            plain = [member for member in mine if member.ahead is None and member.booting is None]
            pairs += zip(plain, wanted, strict=False)
        return pairs

    def _resize(self) -> None:
        if self._policy is not None:
            self._targets = self._policy.targets(time.monotonic())

    def _drop_surplus(self) -> None:
        while (one := surplus(self.members, self._targets, self.settings.runtimes)) is not None:
            self.members.remove(one)
            one.end(Death.SURPLUS)
            self._wake.set()

    async def _keep(self) -> None:
        failures = 0
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), RESIZE_S if self._policy else None)
            self._wake.clear()
            self._resize()
            if self._busy_starts:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._calm(), QUIET_S)
                await asyncio.sleep(ANSWER_S)
            self._boot_ahead()
            self._read_ahead()
            while len(self.members) + self._creating < self.target and self._creating < PARALLEL_CREATES:
                self._creating += 1
                self._spawn(self._add())
            self._drop_surplus()
            failures = failures + 1 if self.trouble else 0
            if failures:
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])
                self._wake.set()
            await self._announce()

    async def _calm(self) -> None:
        while self._busy_starts:
            self._wake.clear()
            await self._wake.wait()

    async def _announce(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _add(self) -> None:
        trouble: FnctlError | None = FnctlError("a pooled container could not be made")  # a fault of ours, if it stays
        try:
            instance = await self.create(self, joinable=bool(self._networked))
            if instance.state is State.BASE:  # it may have died on this very turn
                self.members.append(instance)
            if self._networked:  # by now
                self._drop_unjoinable()
            trouble = None
        except FnctlError as error:
            trouble = error
        finally:
            self.trouble = trouble
            self._creating -= 1
            self._wake.set()

    def _drop_unjoinable(self) -> None:
        """A function that is to be put on a network has come: what cannot be would leave it without a pool."""
        for member in [one for one in self.members if not one.joinable]:
            self.members.remove(member)
            member.end(Death.SURPLUS)

    def _boot_ahead(self) -> None:
        """Where first calls follow each other, the next one is here before such a boot has paid: it is lean then, and
        made for the call."""
        unbooted = self._unbooted()
        if unbooted and (left := self._called_at + self.settings.calm_s - time.monotonic()) > 0:
            self._boot_later(left)
            return
        for spec in unbooted:
            idle = next((m for m in self.members if m.state is State.BASE and m.booting is None), None)
            if idle is None:
                return
            idle.booting = asyncio.create_task(self._boot(idle, spec), name=spec.tier)

    def _boot_later(self, seconds: float) -> None:
        if self._calm_timer is not None:
            self._calm_timer.cancel()
        self._calm_timer = asyncio.get_running_loop().call_later(seconds, self._wake.set)

    async def _boot(self, instance: Instance, spec: RuntimeSpec) -> None:
        try:
            await instance.boot(spec, ahead=True)
        except FnctlError as error:
            self.trouble = error
            instance.end(Death.CRASHED)
        finally:
            instance.booting = None
            self._wake.set()

    def _read_ahead(self) -> None:
        for member, bundle in self._unread():
            member.ahead = bundle.digest
            member.booting = asyncio.create_task(self._read(member, bundle), name=member.runtime)

    async def _read(self, member: Instance, bundle: Bundle) -> None:
        try:
            await self.call(member.slot.place_ahead, bundle.root / DERIVED)
            await member.read_ahead()
        except (FnctlError, OSError):
            self._ahead.unreadable(bundle.digest)
            member.end(Death.CRASHED)
        finally:
            member.booting = None
            self._wake.set()

    # -- told by its members (Keeper) ------------------------------------------------------------------------------

    def offered(self, instance: Instance, connection: DataConnection) -> None:
        connection.close()  # nothing without a function has any business on the data socket

    def withdrawn(self, instance: Instance, connection: DataConnection) -> None: ...

    def draining(self, instance: Instance) -> None: ...

    def died(self, instance: Instance) -> None:
        if instance in self.members:
            self.members.remove(instance)
        if instance.ahead is not None and instance.booting is not None:  # before anything is refilled
            self._ahead.unreadable(instance.ahead)
        self._wake.set()

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None: ...

    # -- the end of sandboxes --------------------------------------------------------------------------------------

    def _ended(self, instance: Instance) -> None:
        self.alive.pop(instance.id, None)
        self._on_end(instance)
        self._spawn(self._destroy(instance))

    async def _destroy(self, instance: Instance) -> None:
        try:
            # To be killed costs as much as a start. One that was used as it should is leaving already, its sockets
            # being closed, and the engine removes it.
            leaving = instance.sandbox is not None and instance.death is Death.USED
            if instance.sandbox is not None and not (leaving and await self.departures.gone(instance.sandbox)):
                await self.call(self.engine.destroy, instance.sandbox)
        except EngineError as error:
            # the sandbox ends by itself once its sockets are closed, and the engine removes what ended by itself
            self.trouble = error
            self.janitor.doubt()
        await self.call(instance.slot.remove)
        if instance.sandbox is not None or instance.state is State.DEAD:
            self._slots.release(instance.slot)
        if instance.cgroup is not None:
            instance.cgroup.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every instance of the run and wait until the engine has removed them all."""
        self._closing = True
        self._targets = Targets(0, {})
        if self._calm_timer is not None:
            self._calm_timer.cancel()
        for loop in (self._keeper, self._sweeper):
            if loop is not None:
                loop.cancel()
        while self.alive or self._tasks:
            for instance in list(self.alive.values()):
                instance.end(Death.STOPPED)
            if self._tasks:
                await asyncio.wait(list(self._tasks))
        with contextlib.suppress(EngineError):  # an engine that does not answer is swept by the next run
            await self.janitor.look()

"""The pool: pre-warmed instances without a function, how they are given away, and how the pool is refilled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor

from fnctl.engine.port import Engine
from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.model import Reach
from fnctl.pace import Pace
from fnctl.policy import PoolPolicy
from fnctl.pool.preparations import Preparations
from fnctl.pool.sandboxes import PARALLEL_CREATES, NetworksOf, Sandboxes
from fnctl.pool.selection import UNFIT, rank
from fnctl.pool.settings import PoolSettings
from fnctl.pool.wanted import Wanted
from fnctl.sandbox.connection import CallFactory, DataConnection, DataFactory
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.placement import Placement
from fnctl.tasks import Tasks

ANSWER_S = 0.05  # what a first invocation takes from being loaded to its answer
# A refill that starts at once takes the processor from the very invocation that emptied the pool.
QUIET_S = 0.3
RESIZE_S = 10.0  # how often a pool that learns forgets
# How much slower than a usual machine this one may turn out to be before a start is given up. Unless it was measured to
# be slower still, that is after four tries, two and a half minutes.
PATIENCE = 16.0
BACKOFF_S = (1.0, 2.0, 5.0, 15.0)


def _fits(made: PoolSettings, wanted: PoolSettings) -> bool:
    """Whether a container that was made by these settings can take a function under those."""
    return made.image == wanted.image and made.tmp_mb >= wanted.tmp_mb


class Pool(InstanceOwner):
    """Owns the instances that have no function yet (`members`), from their making until they are taken or end.

    On the event loop's thread. All sandboxes of the run, pooled or not, are its `sandboxes`'.
    """

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        placement: Placement,
        settings: PoolSettings,
        data_factory: DataFactory,
        on_end: Callable[[Instance], None] = lambda instance: None,
        on_left: Callable[[Instance], None] = lambda instance: None,
        policy: PoolPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
        networks: NetworksOf = lambda reach: (),
        pace: Pace | None = None,
        calls: CallFactory | None = None,
    ) -> None:
        """`policy` sizes the pool from the first calls it is told of; without one, it stays as set. `pace`: what the
        deadlines are set by."""
        self.settings = settings
        told = on_end, on_left, self._troubled
        made = engine, executor, placement, settings, data_factory
        self.sandboxes = Sandboxes(*made, *told, clock, networks, pace or Pace(), calls)
        self.call = self.sandboxes.call
        self.members: list[Instance] = []  # oldest first
        self.trouble: FnctlError | None = None  # why the last refill failed
        self._wanted = Wanted(settings, policy, clock)
        self._making: Counter[Reach] = Counter()
        self._first_calls = 0  # instances that are on their way to a waiting request
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._preparations = Preparations(self._wanted, clock, self.call, self._wake.set, self._troubled)
        self._adding = Tasks()
        self._loops: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def target(self) -> int:
        """Pooled instances to keep."""
        return self._wanted.total

    # -- asked by the function service -----------------------------------------------------------------------------

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
        self._preparations.first_call()
        self._wanted.first_call(code)
        if self._wanted.learns:
            self._wake.set()

    def expect(self, code: Code) -> None:
        """It may be started from now on."""
        self._wanted.deployed(code)
        self._wake.set()

    def forget(self, code: Code) -> None:
        """It will not be started again. What was read ahead for its bundle ends, where that is nobody else's."""
        if self._wanted.withdrawn(code):
            for member in [one for one in self.members if one.preparation.cache_of == code.bundle.digest]:
                self._drop(member)
            self._wake.set()

    def change(self, settings: PoolSettings, policy: PoolPolicy | None) -> None:
        """The project is another: what does not fit it any more is replaced, everything else is kept."""
        before, self.settings = self.settings, settings
        self.sandboxes.change(settings)
        self._wanted.change(settings, policy)
        if not _fits(before, settings):
            for member in list(self.members):
                self._drop(member)
        self._wake.set()

    def hold_refills(self) -> None:
        """An instance is on its way to a waiting request: refills keep out of its way until `resume_refills`."""
        self._first_calls += 1
        self._wake.set()

    def resume_refills(self) -> None:
        self._first_calls -= 1
        self._wake.set()

    # -- its life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._loops = [
            asyncio.create_task(self._keep_full(), name="pool"),
            asyncio.create_task(self.sandboxes.orphans.run(), name="orphans"),
        ]
        self._wake.set()

    async def full(self) -> None:
        """Wait until the target is met, every wanted runtime is booted, or refilling fails (then raise why). What was
        late only is tried again with more time, as far as that goes."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_full() or self._is_hopeless())
        if self.trouble is not None and not self._is_full():
            raise self.trouble

    def _is_hopeless(self) -> bool:
        late = isinstance(self.trouble, DeadlineExceeded) and self.sandboxes.pace.factor < PATIENCE
        return self.trouble is not None and not late

    async def quiet(self) -> None:
        """Full, and nothing under way any more: what ended is gone from the engine."""
        await self.full()
        while self._adding or self.sandboxes.unmaking:
            await self._adding.wait()
            await self.sandboxes.unmade()
            await self.full()

    async def close(self) -> None:
        """End every instance of the run and wait until the engine has removed them all."""
        self._closing = True
        self._wanted.nothing()
        self._preparations.close()
        for loop in self._loops:
            loop.cancel()
        while self._adding:
            self.sandboxes.end_all()
            await self._adding.wait()
        await self.sandboxes.close()

    # -- refilling -------------------------------------------------------------------------------------------------

    async def _keep_full(self) -> None:
        failures = 0
        while not self._closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), RESIZE_S if self._wanted.learns else None)
            self._wake.clear()
            self._wanted.resize()
            await self._let_first_calls_pass()
            self._preparations.begin(self.members, self.settings.calm_s)
            self._drop_surplus()
            while self._making.total() < PARALLEL_CREATES and (reach := self._missing()) is not None:
                self._making[reach] += 1
                self._adding.spawn(self._add(reach))
            failures = failures + 1 if self.trouble else 0
            if failures:
                await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S)) - 1])
                self._wake.set()
            async with self._changed:
                self._changed.notify_all()

    def _missing(self) -> Reach | None:
        return self._wanted.missing(self.members, self._making)

    def _is_full(self) -> bool:
        return self._wanted.met_by(self.members)

    async def _let_first_calls_pass(self) -> None:
        if self._first_calls:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._no_first_call(), QUIET_S)
            await asyncio.sleep(ANSWER_S)

    async def _no_first_call(self) -> None:
        while self._first_calls:
            self._wake.clear()
            await self._wake.wait()

    async def _add(self, reach: Reach) -> None:
        trouble: FnctlError | None = FnctlError("no pooled container could be created")  # a fault of ours, if it stays
        made_for = self.settings
        try:
            instance = await self.sandboxes.create(self, reach)
            if instance.state is State.BASE:  # it may have died on this very turn
                self.members.append(instance)
                if not _fits(made_for, self.settings):
                    self._drop(instance)
            trouble = None
        except FnctlError as error:
            trouble = error
        finally:
            self.trouble = trouble
            self._making[reach] -= 1
            self._wake.set()

    def _drop(self, member: Instance) -> None:
        self.members.remove(member)
        member.end(Death.SURPLUS)

    def _drop_surplus(self) -> None:
        while (one := self._wanted.surplus(self.members)) is not None:
            self._drop(one)
            self._wake.set()

    def _troubled(self, error: FnctlError) -> None:
        self.trouble = error

    # -- told by its members (InstanceOwner) -----------------------------------------------------------------------

    def offered(self, instance: Instance, connection: DataConnection) -> None:
        connection.close()  # nothing without a function has any business on the data socket

    def withdrawn(self, instance: Instance, connection: DataConnection) -> None: ...

    def draining(self, instance: Instance) -> None: ...

    def died(self, instance: Instance) -> None:
        if instance in self.members:
            self.members.remove(instance)
        prepared = instance.preparation
        if prepared.cache_of is not None and prepared.under_way:  # before anything is refilled
            self._wanted.unreadable(prepared.cache_of)
        self._wake.set()

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None: ...

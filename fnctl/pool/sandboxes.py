"""The making and unmaking of every sandbox of a run. Not what they are for: the pool and the sites know that."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from fnctl.engine.port import LABEL, LABEL_PROJECT, LABEL_ROLE, LABEL_RUN, Engine
from fnctl.errors import EngineError, NoCapacity
from fnctl.model import Reach, SandboxSpec
from fnctl.pace import Pace
from fnctl.pool.exits import SelfExits
from fnctl.pool.orphans import Orphans
from fnctl.pool.settings import PoolSettings
from fnctl.sandbox.connection import CallFactory, DataFactory
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.placement import Place, Placement
from fnctl.tasks import Tasks

T = TypeVar("T")
# The engine's networks that a sandbox of a reach is on, the one with the way out first. Blocking.
NetworksOf = Callable[[Reach], tuple[str, ...]]

SUPERVISOR = ("/usr/bin/perl", "/opt/fnctl/supervisor.pl")
# More than two creations at once are slower in sum: 6, 11 and 9 starts a second at 1, 2 and 8 (measured, 2 cores).
PARALLEL_CREATES = 2


class Sandboxes:
    """Owns every sandbox of a run, and the place of each. On the event loop's thread; engine calls go to the executor.

    `on_end` is called when an instance is dead and its sandbox still there, `on_left` when that has gone, too;
    `troubled` when the engine did not destroy.
    """

    def __init__(
        self,
        engine: Engine,
        executor: Executor,
        placement: Placement,
        settings: PoolSettings,
        data_factory: DataFactory,
        on_end: Callable[[Instance], None],
        on_left: Callable[[Instance], None],
        troubled: Callable[[EngineError], None],
        clock: Callable[[], float],
        networks: NetworksOf,
        pace: Pace,
        calls: CallFactory | None = None,
    ) -> None:
        self.alive: dict[str, Instance] = {}  # every instance of the run that is not dead, pooled or not
        self._leaving: dict[Instance, None] = {}  # dead, and what is in them may still run
        self.engine = engine
        self._executor = executor
        self._placement = placement
        self._settings = settings
        self._data_factory = data_factory
        self._on_end = on_end
        self._on_left = on_left
        self._troubled = troubled
        self._clock = clock
        self._networks = networks
        self.pace = pace
        self._calls = calls
        self._hurried = False
        self._gate = asyncio.Semaphore(PARALLEL_CREATES)
        self._destroying = Tasks()
        self.exits = SelfExits(lambda: self.call(engine.ids, self.labels()))
        self.orphans = Orphans(engine, self.labels(), self._names, self.call)

    def change(self, settings: PoolSettings) -> None:
        """What is made from now on is made so."""
        self._settings = settings

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """A blocking engine call, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)

    # -- making ----------------------------------------------------------------------------------------------------

    async def create(self, owner: InstanceOwner, reach: Reach, memory_mb: int | None = None) -> Instance:
        """A new sandbox at tier base, on the networks of this reach. NoCapacity where the engine cannot."""
        instance = Instance(
            self._place(), owner, self._data_factory, self._ended, self._clock, reach=reach, pace=self.pace
        )
        self.alive[instance.id] = instance
        try:
            await instance.open()
            async with self._gate:
                instance.attach(await self.call(self._make, self._spec(instance, memory_mb), reach))
            if instance.state is State.DEAD:  # ended while the engine was at work: its destruction had no id to go by
                self._destroying.spawn(self._destroy(instance))
                raise NoCapacity("the service is stopping", retry_after_s=1)
            await instance.greeted()
            instance.made(await self.call(instance.place.usage))
            await self._listen(instance)
        except OSError as error:  # no file descriptors, no space
            instance.end(Death.LOST)
            raise NoCapacity(f"no instance: {error.strerror or error}", retry_after_s=2) from error
        except EngineError as error:
            instance.end(Death.LOST)
            self.orphans.doubt()
            raise NoCapacity(f"no instance: {error.message}", hint=error.hint, retry_after_s=2) from error
        except BaseException:
            instance.end(Death.LOST)
            raise
        return instance

    async def _listen(self, instance: Instance) -> None:
        """Let its code call the functions of the project."""
        listener = None if self._calls is None else await self.call(instance.place.listen)
        if self._calls is not None and listener is not None:
            loop = asyncio.get_running_loop()
            instance.listens(await loop.create_server(self._calls(instance), sock=listener))

    def _place(self) -> Place:
        try:
            return self._placement.acquire()
        except OSError as error:  # no space for its folder
            raise NoCapacity(f"no instance: {error.strerror or error}", retry_after_s=2) from error

    def _make(self, spec: SandboxSpec, reach: Reach) -> str:
        """Blocking. Nothing is left where a network is not to be had."""
        networks = self._networks(reach)
        sandbox = self.engine.create(replace(spec, network=networks[0] if networks else None))
        try:
            for further in networks[1:]:
                self.engine.connect(sandbox, further)
        except BaseException:
            with contextlib.suppress(EngineError):  # the first error is the one to tell
                self.engine.destroy(sandbox)
            raise
        return sandbox

    def _spec(self, instance: Instance, memory_mb: int | None) -> SandboxSpec:
        return SandboxSpec(
            name=self._name(instance.id),
            image=self._settings.image,
            command=SUPERVISOR,
            labels=tuple(self.labels().items()),
            uid=instance.place.uid,
            mounts=instance.place.mounts(instance.reach),
            memory_mb=memory_mb or self._settings.memory_mb,
            tmp_mb=self._settings.tmp_mb,
            auto_remove=True,
        )

    def _name(self, instance: str) -> str:
        """Of its sandbox: known before the engine is asked, so that what it made is found though it never said so."""
        return f"fnctl-{self._settings.project}-{instance}"

    def _names(self) -> frozenset[str]:
        ending = (instance.id for instance in self._leaving if instance.farewell is not None)
        return frozenset(map(self._name, chain(self.alive, ending)))

    def labels(self) -> Mapping[str, str]:
        return {
            LABEL: "1",
            LABEL_PROJECT: self._settings.project,
            **self._settings.owner,
            LABEL_ROLE: "sandbox",
            LABEL_RUN: self._settings.run,
        }

    # -- unmaking --------------------------------------------------------------------------------------------------

    def _ended(self, instance: Instance) -> None:
        self.alive.pop(instance.id, None)
        self._leaving[instance] = None
        if self._hurried:
            instance.hurry()
        self._on_end(instance)
        self._destroying.spawn(self._destroy(instance))

    async def _destroy(self, instance: Instance) -> None:
        await instance.leave()
        try:
            # To be killed costs as much as a start. One that was used as it should is leaving already, its sockets
            # being closed, and the engine removes it.
            leaving = instance.sandbox is not None and instance.death is Death.USED
            if instance.sandbox is not None and not (leaving and await self.exits.gone(instance.sandbox)):
                await self.call(self.engine.destroy, instance.sandbox)
        except EngineError as error:
            # the sandbox ends by itself once its sockets are closed, and the engine removes what ended by itself
            self._troubled(error)
            self.orphans.doubt()
        if self._leaving.pop(instance, instance) is None:
            self._on_left(instance)
        await self.call(instance.place.remove)
        if instance.sandbox is not None or instance.state is State.DEAD:
            self._placement.release(instance.place)
        if instance.usage is not None:
            instance.usage.close()

    @property
    def unmaking(self) -> bool:
        """Whether some have ended that the engine has not removed yet."""
        return bool(self._destroying)

    async def unmade(self) -> None:
        """Wait for those."""
        await self._destroying.wait()

    def hurry(self) -> None:
        """Give no program any more time to end, from now on."""
        self._hurried = True
        for instance in self._leaving:
            instance.hurry()

    def end_all(self) -> None:
        for instance in list(self.alive.values()):
            instance.end(Death.STOPPED)

    async def close(self) -> None:
        """End every instance of the run and wait until the engine has removed them all."""
        while self.alive or self._destroying:
            self.end_all()
            await self._destroying.wait()
        with contextlib.suppress(EngineError):  # an engine that does not answer is swept by the next run
            await self.orphans.look()

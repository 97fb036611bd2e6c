"""The scheduler: admits invocations (Admission, runtime/lease.py) and brings instances up for the sites."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from fnctl.errors import EngineError, FnctlError, LoadError, NoCapacity, NotFound
from fnctl.model import Function, Network, StartKind
from fnctl.runtime import secrets
from fnctl.runtime.code import Code
from fnctl.runtime.instance import Instance
from fnctl.runtime.lease import Lease, Waiter
from fnctl.runtime.lifecycle import Death, State
from fnctl.runtime.pool import Pool
from fnctl.runtime.site import Site
from fnctl.runtime.slot import Stage

LOAD_TIMEOUT_S = 10.0  # at least: a function's own timeout counts where it is longer
LogSink = Callable[[str, str, str | None, str], None]


class Scheduler:
    """One site a function, all fed from one pool. On the event loop's thread."""

    def __init__(
        self,
        pool: Pool,
        stage: Stage,
        networks: Mapping[Network, str],
        on_log: LogSink,
        clock: Callable[[], float] = time.monotonic,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        self.sites: dict[str, Site] = {}
        self._pool = pool
        self._stage = stage
        self._networks = networks
        self._on_log = on_log
        self._clock = clock
        self._load_timeout_s = load_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()

    # -- Admission -------------------------------------------------------------------------------------------------

    def try_acquire(self, function: str) -> Lease | None:
        site = self.sites.get(function)
        if site is None:
            raise NotFound(f"no function named {function}", hint="`fnctl ps` lists what runs")
        return site.take()

    def enqueue(self, function: str, ready: Callable[[Lease | FnctlError], None]) -> Waiter:
        site = self.sites.get(function)
        if site is None:
            raise NotFound(f"no function named {function}", hint="`fnctl ps` lists what runs")
        return site.enqueue(ready)

    # -- what is deployed ------------------------------------------------------------------------------------------

    async def deploy(self, code: Code) -> None:
        """Make a function, or a new version of one, known. A new version is loaded in a fresh instance before it takes
        over; LoadError leaves the old one serving."""
        site = self.sites.get(code.function.name)
        if site is None:
            site = self.sites[code.function.name] = Site(code, self, self._clock)
            site.on_log = self._on_log
        elif site.instances:
            await self._replace(site, code)
        else:
            await self._forget(site.code)
            site.code = code
            site.renew()
        self._pool.expect(code)
        await self._pool.call(self._stage.fill, code.bundle, 1)
        for _ in range(code.function.scale.min - site.live):
            site.starting += 1
            self.bring_up(site, None)

    async def _replace(self, site: Site, code: Code) -> None:
        self._pool.starting(1)
        fresh = self.pooled(code)
        try:
            fresh = await self._up(site, code, fresh, join=False)
        finally:
            self._pool.starting(-1)
        old, site.code = site.code, code
        site.renew()
        site.joined(fresh)
        site.retire(Death.REPLACED, keep=frozenset({fresh}))
        fresh.release_hold()
        await self._forget(old)

    async def _forget(self, code: Code) -> None:
        self._pool.forget(code)
        await self._pool.call(self._stage.forget, code.bundle)

    async def withdraw(self, name: str) -> None:
        """A function is no longer part of the project."""
        if (site := self.sites.pop(name, None)) is not None:
            site.close()
            site.fail_waiters(NotFound(f"no function named {name}"))
            site.retire(Death.REPLACED)
            await self._forget(site.code)

    # -- bringing instances up (Starter) ---------------------------------------------------------------------------

    def pooled(self, code: Code) -> Instance | None:
        return self._pool.take(code)

    def bring_up(self, site: Site, instance: Instance | None) -> None:
        self._pool.first_call(site.code)
        self._pool.starting(1)  # on this very turn: the pool must not refill before it knows
        task = asyncio.ensure_future(self._bring_up(site, instance))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_up(self, site: Site, instance: Instance | None) -> None:
        code = site.code
        try:
            instance = await self._up(site, code, instance, join=True)
        except FnctlError as error:
            site.failed(error)
            return
        finally:
            self._pool.starting(-1)
        if site.code is code:
            site.arrived(instance)
        else:  # replaced while it was on its way
            site.starting -= 1
            instance.end(Death.REPLACED)
        await self._pool.call(self._stage.fill, code.bundle, 1)

    async def _up(self, site: Site, code: Code, instance: Instance | None, *, join: bool) -> Instance:
        """Base or booted or nothing → loaded and held. The instance is ended before an error is raised."""
        kind = self._kind(instance, code)
        if instance is None:
            instance = await self._pool.create(site, self._memory(code.function))
            configured = True
        else:
            configured = False
            instance.timings["container"] = 0.0  # made ahead: no request waited for it
            if kind is StartKind.RUNTIME:
                instance.timings["runtime"] = 0.0
        instance.start_kind = kind
        instance.held = True
        instance.keeper = site
        if join:
            site.joined(instance)
        try:
            await asyncio.gather(self._load(instance, code), self._configure(instance, code.function, configured))
        except EngineError as error:
            instance.end(Death.LOST)
            raise NoCapacity(f"no instance: {error.message}", hint=error.hint, retry_after_s=2) from error
        except FnctlError as error:
            instance.end(Death.LOAD_FAILED)
            if isinstance(error, LoadError) and error.detail:
                self._on_log(code.function.name, instance.id, None, error.detail)
            raise
        return instance

    @staticmethod
    def _kind(instance: Instance | None, code: Code) -> StartKind:
        if instance is None:
            return StartKind.COLD
        return StartKind.RUNTIME if instance.runtime == code.runtime.tier else StartKind.BASE

    def _memory(self, function: Function) -> int:
        return function.memory_mb

    async def _load(self, instance: Instance, code: Code) -> None:
        staged = self._stage.take(code.bundle)
        if staged is None:
            staged = await self._pool.call(self._stage.make, code.bundle)
        instance.slot.place(staged)
        if code.function.secrets:
            await self._pool.call(secrets.give, code.function, instance.slot)
        if instance.booting is not None:
            asked = instance.clock()
            await asyncio.wait([instance.booting])
            # what was booted before it was asked for, no request waited for
            instance.timings["runtime"] = (instance.clock() - asked) * 1000
        if instance.state is State.BASE:
            await instance.boot(code.runtime)
        await instance.load(code, max(self._load_timeout_s, code.function.timeout_s))

    async def _configure(self, instance: Instance, function: Function, made_for_it: bool) -> None:
        """What the engine has to change on a pooled sandbox, beside the load; the rest counts as container."""
        assert instance.sandbox is not None
        sandbox, engine, began = instance.sandbox, self._pool.engine, self._clock()
        memory = None if made_for_it or function.memory_mb == self._pool.settings.memory_mb else function.memory_mb
        work = []
        if memory is not None or function.cpus is not None:
            work.append(self._pool.call(lambda: engine.update(sandbox, memory_mb=memory, cpus=function.cpus)))
        if (network := self._networks.get(function.network)) is not None:
            work.append(self._pool.call(engine.connect, sandbox, network))
        await asyncio.gather(*work)
        loaded = instance.timings["runtime"] + instance.timings["load"] if instance.serving else 0.0
        if loaded:
            instance.timings["container"] += max(0.0, (self._clock() - began) * 1000 - loaded)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Refuse what waits, and let go of everything that is on its way. The pool ends the instances."""
        for site in self.sites.values():
            site.close()
            site.fail_waiters(EngineError("fnctl is stopping", code="stopping", retry_after_s=1))
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

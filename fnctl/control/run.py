"""The function service of one project: start, status, drain, stop. The story of a run; the parts are elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from fnctl.control.slots_folder import SlotsFolder
from fnctl.dispatch.growth import Processors
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.reaper import Reaper
from fnctl.dispatch.scheduler import Scheduler
from fnctl.dispatch.site import Site
from fnctl.dispatch.ticker import Ticker
from fnctl.engine import ownership
from fnctl.engine.port import LABEL_ROLE, Engine
from fnctl.errors import EngineError, NotFound
from fnctl.model import Project
from fnctl.pace import Pace
from fnctl.paths import ProjectPaths
from fnctl.policy import PoolPolicy
from fnctl.pool.pool import Pool
from fnctl.pool.settings import TMP_MB, Kind, PoolSettings
from fnctl.records.journal import LogWriter
from fnctl.records.meter import Meter
from fnctl.sandbox.connection import CallFactory, DataFactory
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.local import LocalPlacement
from fnctl.sandbox.uids import UidClaim
from fnctl.services.networks import Networks
from fnctl.services.plan import Owner, Planned
from fnctl.services.services import READY_S, Services
from fnctl.services.supervisor import Supervisor
from fnctl.workflow.ows.sandboxes import Sandboxes, Settings

# Two creations at once, and the rest for what must not wait behind them: destroying, updating, linking.
ENGINE_THREADS = 6
ASLEEP_MB = 256.0
_AT_REST = frozenset((State.IDLE, State.ASLEEP))


def _for(project: Project, settings: PoolSettings) -> PoolSettings:
    """With what the pool has to have for this project's functions."""
    reaches = Counter(function.reach for function in project.functions).most_common()
    tmp_mb = max((function.tmp_mb for function in project.functions), default=TMP_MB)
    return replace(settings, reaches=tuple(reach for reach, _ in reaches), tmp_mb=tmp_mb)


class Run:
    """Owns the run: everything it starts, it stops, in the reverse order. Made and used on one event loop.

    The caller holds the project's lock from before `start` until after `stop`.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        image: str,
        warm: int,
        kinds: Sequence[Kind],
        services: Sequence[Planned],
        data_factory: DataFactory,
        policy: PoolPolicy | None = None,
        pace: Pace | None = None,
        calls: CallFactory | None = None,
        asleep_mb: float = ASLEEP_MB,
    ) -> None:
        """`asleep_mb`: memory for what waits for calls: the pool, and in what that leaves, instances that sleep.
        `calls`: for the connections that functions make to call others; None: they cannot."""
        self._pace = pace or Pace()
        self.project = project
        self.paths = ProjectPaths.of(project.id).ensure()
        self._slots = SlotsFolder(self.paths.slots)
        self.run_id = secrets.token_hex(3)
        self._engine = engine
        self._executor = ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine")
        self._logs = LogWriter(self.paths.logs)
        self._owner = Owner(project.id, self.run_id, ownership.labels(project))
        self.networks = Networks(engine, self._owner)
        self.services = Services(
            engine,
            self._owner,
            self.networks,
            services,
            self._slots.path,
            self._service_line,
            ready_s=self._pace.deadline(READY_S),
        )
        self._uids = UidClaim()
        self._placement = LocalPlacement(self._slots.path, self.run_id, self._uids.claim)
        made = PoolSettings(warm, image, project.id, self.run_id, tuple(kinds), owner=self._owner.labels)
        settings = _for(project, made)
        self.pool = Pool(
            engine,
            self._executor,
            self._placement,
            settings,
            data_factory,
            self._instance_ended,
            self._instance_left,
            policy=policy,
            networks=self.networks.of,
            pace=self._pace,
            calls=calls,
        )
        self.meter = Meter(self.pool.sandboxes.alive, self._logs)
        self.scheduler = Scheduler(self.pool, self._placement, self._logs.line, processors=Processors.of_machine())
        self._reaper = Reaper(self.scheduler.sites.values, self._memory_asleep_mb, time.monotonic)
        self.invocations = Invocations(self.scheduler, self.meter, Ticker(), self.services.explained, pace=self._pace)
        self._supervisor = Supervisor(
            self.services, self.pool.call, self._name_services, tell=self.log, slower=self._pace.factor
        )
        self._asleep_mb = asleep_mb
        self._loop = asyncio.get_running_loop()
        self._loops: list[asyncio.Task[None]] = []

    def _instance_ended(self, instance: Instance) -> None:
        self.meter.ending(instance)

    def _instance_left(self, instance: Instance) -> None:
        if instance.code is not None:
            name = instance.code.function.name
            if instance.farewell is not None:
                self._logs.line(name, instance.id, None, instance.farewell.told)
            self._logs.line(name, instance.id, None, f"instance ended: {instance.death}")

    @property
    def slots(self) -> Path:
        """Where the folders of its sandboxes lie."""
        return self._slots.path

    def sandboxes(self) -> Sandboxes:
        """For the processes of workflows."""
        # Their files lie beside the slots, whose path tells a container nothing of the project.
        settings = Settings(lambda: self.pool.settings.image, self._owner.of_run, self._slots.path)
        return Sandboxes(self._engine, self._executor, settings)

    def log(self, function: str, text: str) -> None:
        """A line of ours in a function's log."""
        self._logs.line(function, None, None, text)

    # -- start -----------------------------------------------------------------------------------------------------

    async def start(self, codes: Sequence[Code]) -> None:
        """Leftovers gone, services up, pool full, every function known. On failure call `stop` all the same."""
        await self.pool.call(self._sweep)
        await self.pool.call(self.networks.ensure, self.project.functions)
        self._placement.name_functions(function.name for function in self.project.functions)
        self.pool.start()
        await self.pool.call(self.services.start)
        for code in codes:
            await self.scheduler.deploy(code)
        self.scheduler.point({code.function.name: code for code in codes})
        await self.pool.full()
        await self.pool.call(self.services.check)
        self._name_services()
        self._loops = [
            asyncio.create_task(self._supervisor.run(), name="services"),
            asyncio.create_task(self.meter.run(), name="meter"),
            asyncio.create_task(self._reaper.patrol(), name="reaper"),
        ]

    def change(self, project: Project, image: str, kinds: Sequence[Kind], policy: PoolPolicy | None) -> None:
        """The project is another: the pool is kept as far as it can serve that."""
        self._placement.name_functions(function.name for function in project.functions)
        settings = _for(project, replace(self.pool.settings, image=image))
        booted = tuple(kinds) if settings.kinds else ()
        if sorted(kind.name for kind in booted) == sorted(kind.name for kind in settings.kinds):
            booted = settings.kinds
        settings = replace(settings, kinds=booted)
        if settings != self.pool.settings:
            self.project = project
            self.pool.change(settings, policy)

    def _sweep(self) -> None:
        """A run that was killed leaves sandboxes that end by themselves; what is still there goes now.

        It is this home's, whose lock the caller holds. Another home in the same folder has its own, and a build may be
        at work beside us.
        """
        ours = ownership.owned(self.project.id)
        for left in self._engine.list(ours):
            if left.labels.get(LABEL_ROLE) in ("sandbox", "service", "workflow"):
                self._engine.destroy(left.id)
        for network in self._engine.networks(ours):
            # What the clean-up after the killed run is just taking containers from goes with that.
            with contextlib.suppress(EngineError):
                self._engine.remove_network(network)
        self._placement.sweep()

    def _name_services(self) -> None:
        self._placement.name(self.services.addresses())

    def _service_line(self, service: str, sandbox: str, text: str) -> None:
        """From a thread of the engine's."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._logs.line, service, sandbox, None, text)

    async def reap(self, function: str) -> int:
        """End a function's idle and sleeping instances now; returns how many, with all at rest again."""
        idle = [instance for site in self._sites(function) for instance in (*site.idle(), *site.asleep())]
        for instance in idle:
            instance.end(Death.REAPED)
        await self.pool.quiet()
        return len(idle)

    def sleep(self, function: str) -> int:
        """Put a function's idle instances to sleep whatever its `idle_timeout`; returns how many."""
        idle = [instance for site in self._sites(function) for instance in site.idle()]
        for instance in idle:
            instance.sleep()
        return len(idle)

    def _sites(self, function: str) -> list[Site]:
        sites = [site for key, site in self.scheduler.sites.items() if key.function == function]
        if not sites:
            known = dict.fromkeys(key.function for key in self.scheduler.sites)
            raise NotFound(f"no function named {function}", hint=f"functions: {', '.join(known)}")
        return sites

    def _memory_asleep_mb(self) -> float:
        return self._asleep_mb - sum(one.usage.memory_mb() for one in self.pool.members if one.usage is not None)

    # -- stop ------------------------------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Give programs no time to end in order, neither now nor in `stop`."""
        self.pool.sandboxes.hurry()

    async def stop(self) -> None:
        """No container, network or slot of the run is left; logs are on disk. The gateway was drained before."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.scheduler.close()
        await self.pool.close()
        self.meter.settle(final=True)
        await self.pool.call(self.services.stop)
        await self.pool.call(self.networks.stop)
        await self.pool.call(self._placement.clear)
        self._slots.close()
        self._logs.close()
        self._uids.close()
        self._executor.shutdown(wait=True)

    # -- what it says of itself ------------------------------------------------------------------------------------

    def instances(self) -> list[dict[str, Any]]:
        """One row an instance, pooled or not, for `fnctl ps`."""
        return [self._row(instance) for instance in self.pool.sandboxes.alive.values()]

    def _row(self, instance: Instance) -> dict[str, Any]:
        now = instance.clock()
        return {
            "id": instance.id,
            "sandbox": (instance.sandbox or "")[:12],
            "function": instance.code.function.name if instance.code else None,
            "runtime": instance.agent.runtime,
            "tier": "code" if instance.code else ("runtime" if instance.agent.runtime else "base"),
            "state": str(instance.state),
            "age_s": round(now - instance.created, 1),
            "idle_s": round(now - instance.serving.idle_since, 1) if instance.state in _AT_REST else 0.0,
            "in_flight": instance.serving.in_flight,
            "memory_mb": round(instance.usage.memory_mb(), 1) if instance.usage else None,
            "served": instance.serving.served,
            "leftover_processes": instance.serving.leftover_processes,
        }

    def functions(self, urls: Callable[[str], list[str]]) -> list[dict[str, Any]]:
        """One row a function."""
        return [
            {
                "name": site.name,
                "function": site.name,  # as every other row says whose it is
                "runtime": site.code.runtime.name,
                "model": str(site.code.function.model),
                "version": site.code.version,
                "instances": len(site.instances),
                "in_flight": sum(instance.serving.in_flight for instance in site.instances),
                "queued": len(site.waiters),
                "errors": self.meter.errors[site.name],
                "urls": urls(site.name) if site is self.scheduler.current(site.name) else [],
            }
            for site in self.scheduler.sites.values()
            if not site.standby
        ]

    def pool_row(self) -> dict[str, Any]:
        members = self.pool.members
        return {
            "target": self.pool.target,
            "base": sum(1 for member in members if member.state is State.BASE),
            "runtime": sum(1 for member in members if member.state is State.RUNTIME),
            "asleep": sum(len(site.asleep()) for site in self.scheduler.sites.values()),
        }

"""The function service of one project: start, status, drain, stop. The story of a run; the parts are elsewhere."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fnctl.engine.base import LABEL, LABEL_PROJECT, Engine
from fnctl.errors import NotFound
from fnctl.model import Network, Project, RuntimeSpec
from fnctl.paths import ProjectPaths
from fnctl.policy import PoolPolicy
from fnctl.runtime import reaper
from fnctl.runtime.agent import DataFactory
from fnctl.runtime.code import Code
from fnctl.runtime.instance import Instance
from fnctl.runtime.lifecycle import Death, State
from fnctl.runtime.logs import LogWriter
from fnctl.runtime.meter import Meter
from fnctl.runtime.nodes import Nodes
from fnctl.runtime.pool import Pool
from fnctl.runtime.scheduler import Scheduler
from fnctl.runtime.slot import Slots, Stage
from fnctl.runtime.tiers import TMP_MB, PoolSettings
from fnctl.runtime.uids import UidClaim

# Two creations at once, and the rest for what must not wait behind them: destroying, updating, linking.
ENGINE_THREADS = 6


class Service:
    """Owns the run: everything it starts, it stops, in the reverse order. Made and used on one event loop.

    The caller holds the project's lock from before `start` until after `stop`.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        image: str,
        warm: int,
        runtimes: Sequence[RuntimeSpec],
        data_factory: DataFactory,
        policy: PoolPolicy | None = None,
    ) -> None:
        self.project = project
        self.paths = ProjectPaths.of(project.id).ensure()
        self.run_id = secrets.token_hex(3)
        self._engine = engine
        self._executor = ThreadPoolExecutor(ENGINE_THREADS, thread_name_prefix="engine")
        self._logs = LogWriter(self.paths.logs)
        self._nodes = Nodes(engine, project, image, self.run_id, self.paths.slots)
        self._uids = UidClaim()
        self._stage = Stage(self.paths.slots / "staged")
        tmp_mb = max((function.tmp_mb for function in project.functions), default=TMP_MB)
        networked = frozenset(each.name for each in project.functions if each.network is not Network.NONE)
        settings = PoolSettings(
            warm, image, project.id, self.run_id, tuple(runtimes), networked=networked, tmp_mb=tmp_mb
        )
        self.pool = Pool(
            engine,
            self._executor,
            Slots(self.paths.slots, self.run_id, self._uids.claim),
            settings,
            data_factory,
            self._instance_ended,
            policy=policy,
        )
        self.meter = Meter(self.pool.alive, self._logs)
        self.scheduler = Scheduler(self.pool, self._stage, self._nodes.networks, self._logs.line)
        self._loops: list[asyncio.Task[None]] = []

    def _instance_ended(self, instance: Instance) -> None:
        self.meter.ending(instance)
        if instance.code is not None:
            self._logs.line(instance.code.function.name, instance.id, None, f"instance ended: {instance.death}")

    # -- start -----------------------------------------------------------------------------------------------------

    async def start(self, codes: Sequence[Code]) -> None:
        """Leftovers gone, services up, pool full, every function known. On failure call `stop` all the same."""
        await self.pool.call(self._sweep)
        self.pool.start()
        await self.pool.call(self._nodes.start)
        for code in codes:
            await self.scheduler.deploy(code)
        await self.pool.full()
        await self.pool.call(self._nodes.check)
        self._loops = [
            asyncio.create_task(self.meter.run(), name="meter"),
            asyncio.create_task(reaper.patrol(self.scheduler.sites.values, time.monotonic), name="reaper"),
        ]

    def _sweep(self) -> None:
        """A run that was killed leaves sandboxes that end by themselves; what is still there goes now."""
        for left in self._engine.list({LABEL: "1", LABEL_PROJECT: self.project.id}):
            self._engine.destroy(left.id)
        for folder in self.paths.slots.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    async def reap(self, function: str) -> int:
        """End a function's idle instances whatever their keep-alive; returns how many, with all at rest again."""
        site = self.scheduler.sites.get(function)
        if site is None:
            raise NotFound(f"no function named {function}", hint=f"there are: {', '.join(self.scheduler.sites)}")
        idle = [instance for instance in site.instances if instance.state is State.IDLE]
        for instance in idle:
            instance.end(Death.REAPED)
        await self.pool.quiet()
        return len(idle)

    # -- stop ------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """No container, network or slot of the run is left; logs are on disk. The gateway was drained before."""
        for loop in self._loops:
            loop.cancel()
        await self.scheduler.close()
        await self.pool.close()
        self.meter.settle(final=True)
        await self.pool.call(self._nodes.stop)
        await self.pool.call(self._stage.clear)
        self._logs.close()
        self._uids.close()
        self._executor.shutdown(wait=True)

    # -- what it says of itself ------------------------------------------------------------------------------------

    def instances(self) -> list[dict[str, Any]]:
        """One row an instance, pooled or not, for `fnctl ps`."""
        return [self._row(instance) for instance in self.pool.alive.values()]

    def _row(self, instance: Instance) -> dict[str, Any]:
        now = instance.clock()
        return {
            "id": instance.id,
            "sandbox": (instance.sandbox or "")[:12],
            "function": instance.code.function.name if instance.code else None,
            "runtime": instance.runtime,
            "tier": "code" if instance.code else ("runtime" if instance.runtime else "base"),
            "state": str(instance.state),
            "age_s": round(now - instance.created, 1),
            "idle_s": round(now - instance.last_used, 1) if instance.state is State.IDLE else 0.0,
            "in_flight": instance.in_flight,
            "memory_mb": round(instance.cgroup.memory_mb(), 1) if instance.cgroup else None,
            "served": instance.served,
            "strays": instance.strays.count,
        }

    def functions(self, urls: Callable[[str], list[str]]) -> list[dict[str, Any]]:
        """One row a function."""
        return [
            {
                "name": site.name,
                "runtime": site.code.runtime.name,
                "model": str(site.code.function.model),
                "version": site.code.version,
                "instances": len(site.instances),
                "in_flight": sum(instance.in_flight for instance in site.instances),
                "queued": len(site.waiters),
                "urls": urls(site.name),
            }
            for site in self.scheduler.sites.values()
        ]

    def pool_row(self) -> dict[str, Any]:
        members = self.pool.members
        return {
            "target": self.pool.target,
            "base": sum(1 for member in members if member.state is State.BASE),
            "runtime": sum(1 for member in members if member.state is State.RUNTIME),
        }

"""Constructs everything once: from a project and an engine to a running stack. The only place where the parts meet."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from fnctl import assets, paths
from fnctl.build import execute, layers
from fnctl.cli import checks
from fnctl.cli.undertaker import Undertaker
from fnctl.engine.base import Engine
from fnctl.engine.docker import DockerEngine
from fnctl.errors import NotFound, UsageError
from fnctl.gateway.admin import AdminServer, admin_app
from fnctl.gateway.app import Gateway
from fnctl.gateway.routes import Routes
from fnctl.gateway.upstream import upstream_factory
from fnctl.model import Bundle, Function, Project, RuntimeSpec
from fnctl.paths import ProjectPaths
from fnctl.policy import PoolPolicy, PoolRules
from fnctl.progress import Progress
from fnctl.runtime import secrets
from fnctl.runtime.code import Code
from fnctl.runtime.lock import ProjectLock
from fnctl.runtime.service import Service

# Below what a request waits for an instance, so that an engine which hangs is told as such (503), not as a queue (504).
ENGINE_CALL_S = 12.0
DRAIN_S = 30.0  # what runs may take this long to end after the first Ctrl-C


@dataclass(frozen=True, slots=True)
class Prepared:
    """A project that is built: everything a stack needs, and nothing started yet."""

    project: Project
    engine: Engine
    image: str
    codes: tuple[Code, ...]

    @property
    def runtimes(self) -> tuple[RuntimeSpec, ...]:
        """Those in use, the one with the most functions first: it is booted ahead first."""
        tiers = [code.runtime.tier for code in self.codes]
        ordered = sorted(dict.fromkeys(tiers), key=lambda tier: -tiers.count(tier))
        specs = {code.runtime.tier: code.runtime for code in self.codes}
        return tuple(specs[tier] for tier in ordered)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`port` None: no TCP at all, only the project's own sockets. 0: any that is free."""

    warm: int  # pre-warmed containers; the least of them where the pool learns
    host: str = "127.0.0.1"
    port: int | None = None
    boot: bool = True  # boot runtimes ahead in the pool
    budget_mb: float | None = (
        None  # the pool sizes itself from the calls it sees, within this memory; None: it does not
    )
    watch: bool = False  # swap instances when code is saved


def select(project: Project, names: Sequence[str]) -> list[Function]:
    """The functions asked for, all where none is named. NotFound names those there are."""
    known = {function.name: function for function in project.functions}
    for name in names:
        if name not in known:
            raise NotFound(f"no function named {name} in this project", hint=f"there are: {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def prepare(project: Project, names: Sequence[str], engine: Engine, progress: Progress) -> Prepared:
    """Images and bundles made where they are not there. Blocking; BuildError leaves the previous versions in place."""
    functions = select(project, names)
    secrets.check(functions)
    _check_home()
    specs = assets.runtimes()
    # the default runtimes are in the image always: it is the one that set-up made, and services are written in one
    names = [*(spec.name for spec in assets.default_runtimes()), *(function.runtime for function in functions)]
    image = layers.sandbox_image(engine, [specs[name] for name in dict.fromkeys(names)], progress)
    build = partial(
        execute.build,
        functions,
        engine=engine,
        image=image,
        runtimes=specs,
        project=project,
        progress=progress,
    )
    built = build()
    if not execute.sound(built):  # a disk that forgets, or a hand in the store: nothing of it may run
        built = build(force=True)
    codes = tuple(
        Code(function, built[function.name].bundle, assets.runtime_of(function, specs)) for function in functions
    )
    return Prepared(project, engine, image, codes)


def _check_home() -> None:
    """Before anything is made: no sandbox could be reached below a home whose sockets' paths are too long."""
    unfit = next(
        (finding for finding in checks.home(str(paths.home()), None) if finding.level is checks.Level.FAIL), None
    )
    if unfit is not None:
        raise UsageError(unfit.found, hint=unfit.fix)


def connect() -> Engine:
    """The engine of DOCKER_HOST or the current context. EngineUnavailable where there is none."""
    return DockerEngine(timeout_s=ENGINE_CALL_S)


class Stack:
    """A project being served: the function service, the gateway in front of it, and the admin API beside it."""

    def __init__(self, prepared: Prepared, settings: ServeSettings) -> None:
        self.prepared = prepared
        self.settings = settings
        self.port = settings.port or 0
        self.stopping = asyncio.Event()
        self.forced = asyncio.Event()
        self.service = Service(
            prepared.project,
            prepared.engine,
            prepared.image,
            settings.warm,
            prepared.runtimes if settings.boot else (),
            upstream_factory,
            self._policy(),
        )
        functions = tuple(code.function for code in prepared.codes)
        self.routes = Routes(functions)
        self.gateway = Gateway(self.service.scheduler, self.routes, self.service.meter)
        self._admin = AdminServer(admin_app(self.status, self.request_stop, self.reap), self.service.paths.admin_socket)
        self.loop = asyncio.get_running_loop()
        self._edits: dict[str, Bundle] = {}  # by function, since it was started
        self._at = time.time()

    def _policy(self) -> PoolPolicy | None:
        if self.settings.budget_mb is None:
            return None
        runtimes = tuple(spec.tier for spec in self.prepared.runtimes) if self.settings.boot else ()
        return PoolPolicy(PoolRules(self.settings.warm, runtimes, self.settings.budget_mb))

    @property
    def url(self) -> str:
        return f"http://{self.settings.host}:{self.port}"

    async def start(self) -> None:
        """Doors open last: the pool is full before the first request can come."""
        await self.service.start(self.prepared.codes)
        await self.gateway.start_unix(self.service.paths.gateway_socket)
        if self.settings.port is not None:
            self.port = await self.gateway.start(self.settings.host, self.settings.port)
        await self._admin.start()

    async def stop(self) -> None:
        """In order: no new connection, what runs ends (bounded, or cut short by a second signal), containers gone."""
        draining = asyncio.create_task(self.gateway.drain(DRAIN_S))
        forcing = asyncio.create_task(self.forced.wait())
        await asyncio.wait({draining, forcing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, forcing):
            task.cancel()
        await asyncio.gather(draining, forcing, return_exceptions=True)
        await self.gateway.close()
        await self.service.stop()
        await self._admin.stop()
        for bundle in self._edits.values():
            execute.discard(bundle)

    def request_stop(self, force: bool = False) -> None:
        """The first asks for a drain, one with force (or a second) cuts it short. From a signal or the admin API."""
        if force or self.stopping.is_set():
            self.forced.set()
        self.stopping.set()

    def urls(self, function: str) -> list[str]:
        """Where a function is reached, as the routes say it, with this run's port."""
        code = self.service.scheduler.sites[function].code
        return list(self.routes.addresses(code.function, self.url, self.port))

    async def rebuild(self, function: str) -> None:
        """Bundle the function's folder as it is and let it take over. BuildError and LoadError leave the old one."""
        prepared = self.prepared
        old = self.service.scheduler.sites[function].code
        bundle = await self.service.pool.call(
            lambda: execute.edited(
                old.function,
                engine=prepared.engine,
                image=prepared.image,
                spec=old.runtime,
                project=prepared.project,
            )
        )
        if bundle.digest == old.bundle.digest:
            return
        try:
            await self.service.scheduler.deploy(Code(old.function, bundle, old.runtime))
        except BaseException:
            await self.service.pool.call(execute.discard, bundle)
            raise
        before, self._edits[function] = self._edits.get(function), bundle
        if before is not None:
            await self.service.pool.call(execute.discard, before)

    async def reap(self, function: str) -> int:
        """End the function's idle instances now; returns, when the pool is full again, how many there were."""
        return await self.service.reap(function)

    def status(self) -> dict[str, Any]:
        """GET /v1/status; also what the live view and `fnctl ps` show."""
        return {
            "pid": os.getpid(),
            "started": self._at,
            "url": self.url,
            "host": self.settings.host,
            "port": self.port,
            "warm": self.settings.warm,
            "draining": self.stopping.is_set(),
            "in_flight": self.gateway.in_flight,
            "requests": self.gateway.requests,
            "functions": self.service.functions(self.urls),
            "instances": self.service.instances(),
            "pool": self.service.pool_row(),
        }


@contextmanager
def one_shot(project: Project, name: str, progress: Progress) -> Iterator[Path]:
    """A service for one call: no pool, one function, no TCP. Yields the gateway's socket; nothing is left after it."""
    lock = ProjectLock(ProjectPaths.of(project.id).ensure().lock)
    lock.acquire()
    try:
        prepared = prepare(project, [name], connect(), progress)
        ready: Future[Stack] = Future()
        thread = threading.Thread(target=lambda: uvloop.run(_serve_until_asked(prepared, ready)), name="one-shot")
        thread.start()
        stack = ready.result()
        try:
            yield stack.service.paths.gateway_socket
        finally:
            stack.loop.call_soon_threadsafe(stack.request_stop, True)
            thread.join()
    finally:
        lock.release()


async def _serve_until_asked(prepared: Prepared, ready: Future[Stack]) -> None:
    try:
        async with running(prepared, ServeSettings(warm=0)) as stack:
            ready.set_result(stack)
            await stack.stopping.wait()
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


@asynccontextmanager
async def running(prepared: Prepared, settings: ServeSettings) -> AsyncIterator[Stack]:
    """A stack that is up; whatever happens, nothing of it is left afterwards, not even if this process is killed."""
    stack = Stack(prepared, settings)
    undertaker = Undertaker(stack.service.run_id)
    undertaker.hire()
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
        await asyncio.to_thread(undertaker.dismiss)

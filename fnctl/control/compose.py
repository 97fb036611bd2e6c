"""Constructs everything once: from a project and an engine to a running stack. The only place where the parts meet."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import fnctl
from fnctl.control import pacing
from fnctl.control.admin import AdminServer, admin_app
from fnctl.control.api_keys import KeyFile
from fnctl.control.changes import Applied
from fnctl.control.crash_watcher import CrashWatcher
from fnctl.control.deployments import Deployments, tagged
from fnctl.control.handover import Handover
from fnctl.control.holding import Holding
from fnctl.control.later import Later, SharedStore, shared_store
from fnctl.control.nonce_file import NonceFile
from fnctl.control.prepare import Prepared, Selection
from fnctl.control.run import ASLEEP_MB, Run
from fnctl.control.updates import Edit, Source, Updates
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import Engine
from fnctl.errors import ConflictError, UsageError
from fnctl.model import Function
from fnctl.policy import PoolPolicy, PoolRules
from fnctl.pool.settings import Kind
from fnctl.triggers.http.auth import Gate
from fnctl.triggers.http.exposure import UNEXPOSED, Exposure
from fnctl.triggers.http.gateway import Gateway
from fnctl.triggers.http.limits import Limits, clients_within, inside_within
from fnctl.triggers.http.routes import Routes
from fnctl.triggers.http.upstream import upstream_factory

if TYPE_CHECKING:
    from fnctl.control.canary import Rules
    from fnctl.control.deployments import Choose
    from fnctl.control.installation import Installation
    from fnctl.control.versions import Alias, Version

# Below what a request waits for an instance, so that an engine which hangs is told as such (503), not as a queue (504).
ENGINE_CALL_S = 12.0
DRAIN_S = 30.0  # what runs may take this long to end after the first Ctrl-C


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """`port` None: no TCP at all, only the project's own sockets. 0: any that is free."""

    warm: int  # pre-warmed containers; the least of them where the pool learns
    host: str = "127.0.0.1"
    port: int | None = None
    boot: bool = True  # boot runtimes ahead in the pool
    budget_mb: float | None = None  # within which the pool sizes itself from the calls it sees; None: it does not
    waiting_mb: float = ASLEEP_MB  # of the pool and of sleeping instances; what the pool leaves is theirs
    watch: bool = False  # swap instances when code is saved
    exposure: Exposure = UNEXPOSED  # who can reach the gateway over TCP
    max_clients: int | None = None  # connected at once; None: what the limit of open files allows
    later: bool = True  # keep calls that are to be made later, and timers
    virtual: bool = False  # their time moves by `fnctl clock advance` alone
    listeners: tuple[socket.socket, ...] = ()  # opened by others, at `host` and `port`; they outlive the stack
    arguments: tuple[str, ...] | None = None  # of the command line, for who takes over


def origin(host: str, port: int) -> str:
    """Where a caller on this machine finds what listens on `host`: all addresses are none that can be asked."""
    bare = host.strip("[]")
    named = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(bare, bare)
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def connect() -> Engine:
    """The engine of DOCKER_HOST or the current context. EngineUnavailable where there is none."""
    return DockerEngine(timeout_s=pacing.read().deadline(ENGINE_CALL_S))


class Stack:
    """A project being served: the function service, the gateway in front of it, and the admin API beside it."""

    def __init__(
        self,
        prepared: Prepared,
        settings: ServeSettings,
        source: Source | None = None,
        installation: Installation | None = None,
    ) -> None:
        self.settings = settings
        if installation is not None:
            prepared = tagged(prepared, "1")
        self._pace = pacing.read()
        self._measured = self._pace.factor
        self.port = settings.port or 0
        self.handover = Handover(settings.arguments)
        self.stopping = asyncio.Event()
        self.forced = asyncio.Event()
        self.run = Run(
            prepared.project,
            prepared.engine,
            prepared.image,
            settings.warm,
            prepared.kinds if settings.boot else (),
            prepared.services,
            upstream_factory,
            self._policy(prepared.kinds),
            self._pace,
            lambda sandboxed: self.gateway.inside(sandboxed),
            settings.waiting_mb,
        )
        functions = tuple(code.function for code in prepared.codes)
        self.routes = Routes(functions, settings.exposure.names)
        self._keys = KeyFile(self.run.paths.keys)
        self._nonces = NonceFile(self.run.paths.nonces)
        self._gate = Gate(self._keys.keyring(), journal=self._nonces)
        self.later = self._later(shared_store(prepared.project)) if settings.later else None
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.gateway = Gateway(
            self.run.invocations,
            self.routes,
            Limits(clients=clients_within(files, settings.max_clients), inside=inside_within(files)),
            gate=self._gate,
            exposure=settings.exposure,
            acceptor=self.later.calls if self.later else None,
            durable=self.later.durable if self.later else None,
        )
        services = self.run.services
        self._admin = AdminServer(
            admin_app(
                self.status,
                self.request_stop,
                self.reap,
                self.run.sleep,
                self.reload_keys,
                self.reload,
                self.later,
                self,
                self.selected,
                self.restart,
                Holding(partial(self.run.pool.call, services.hold), partial(self.run.pool.call, services.release)),
            ),
            self.run.paths.admin_socket,
        )
        self._updates = Updates(self.run, self.routes, prepared, source, self._policy)
        self._deployments = None
        if installation is not None:
            self._deployments = Deployments(
                self.run, self.routes, self._updates, installation, self._policy, settings.exposure.names, self.later
            )
        self.loop = asyncio.get_running_loop()
        self._at = time.time()

    def _policy(self, kinds: tuple[Kind, ...]) -> PoolPolicy | None:
        if self.settings.budget_mb is None:
            return None
        names = tuple(kind.name for kind in kinds) if self.settings.boot else ()
        return PoolPolicy(PoolRules(self.settings.warm, names, self.settings.budget_mb))

    def _later(self, shared: SharedStore | None) -> Later:
        run = self.run

        def functions() -> dict[str, Function]:
            return {name: site.code.function for name, site in run.scheduler.all_current().items()}

        def digest(function: str) -> str:
            site = run.scheduler.current(function)
            return site.code.bundle.digest if site is not None else ""

        return Later(
            run.paths,
            run.invocations,
            functions,
            lambda: self.prepared.project.queues,
            run.log,
            virtual=self.settings.virtual,
            shared=shared,
            digest=digest,
            sandboxes=run.sandboxes(),
        )

    @property
    def url(self) -> str:
        return origin(self.settings.host, self.port)

    async def start(self) -> None:
        """Listeners open last: the pool is full before the first request can come."""
        if self.later is not None:
            await self.later.open()
        await self.run.start(self.prepared.codes)
        if self._deployments is not None:
            await self._deployments.open()
        if self.later is not None:
            workflows = self.prepared.project.workflows
            await self.later.begin((code.function for code in self.prepared.codes), workflows)
        await self.gateway.start_unix(self.run.paths.gateway_socket)
        if self.settings.listeners:
            await self.gateway.start_on(self.settings.listeners)
        elif self.settings.port is not None:
            self.port = await self.gateway.start(self.settings.host, self.settings.port)
        await self._admin.start()

    async def stop(self) -> None:
        """In order: no new connection, what runs ends and then the programs do (bounded, or cut short by a second
        signal), containers gone."""
        draining = asyncio.create_task(self._drain())
        forcing = asyncio.create_task(self.forced.wait())
        await asyncio.wait({draining, forcing}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        await self.gateway.close()
        if self.later is not None:
            await self.later.close()
        ending = asyncio.create_task(self.run.stop())
        await asyncio.wait({ending, forcing}, return_when=asyncio.FIRST_COMPLETED)
        if self.forced.is_set():
            self.run.hurry()
        forcing.cancel()
        await asyncio.gather(forcing, return_exceptions=True)
        await ending
        await self._admin.stop()
        self._nonces.close()
        self._updates.close()
        if self._pace.factor > self._measured:  # slower than was known: the next run begins with that
            with suppress(OSError):
                pacing.write(self._pace)

    async def _drain(self) -> None:
        if self.later is not None:
            self.later.executions.release()
        await self.gateway.drain(DRAIN_S)
        if self.later is not None:
            await self.later.drain(DRAIN_S)

    def request_stop(self, force: bool = False) -> None:
        """The first asks for a drain, one with force (or a second) cuts it short. From a signal or the admin API."""
        if force or (self.stopping.is_set() and self.handover.program is None):
            self.forced.set()
        self.handover.cancel()
        self.stopping.set()

    async def restart(self, program: Sequence[str]) -> None:
        """End, and have this program go on, unless a stop is asked for meanwhile. FnctlError leaves all as it was."""
        await self.handover.prepare(program)
        if self.stopping.is_set():
            self.handover.cancel()
            raise ConflictError("this service is being stopped")
        self.gateway.hand_on()
        self.stopping.set()

    def urls(self, function: str) -> list[str]:
        """Where a function is reached, as the routes say it, with this run's port."""
        site = self.run.scheduler.current(function)
        return list(self.routes.addresses(site.code.function, self.url, self.port)) if site is not None else []

    async def rebuild(self, function: str) -> Edit:
        """Bundle the function's folder as it is and let it take over. BuildError and LoadError leave the old one."""
        return await self._updates.rebuild(function)

    async def reload(self, *, code: bool) -> Applied:
        """Take up what the project's files say now; `code`: the functions' too. FnctlError leaves all as it was."""
        applied = await self._updates.reload(code=code)
        if self.later is not None:
            workflows = self.prepared.project.workflows
            await self.later.refresh((code.function for code in self.prepared.codes), workflows)
        self._gate.forget()  # files of keys may be others
        return applied

    async def deploy(self, choose: Choose, path: str = "") -> tuple[Version, Applied]:
        """Let another version of the release take over; `path`: see Deployments. FnctlError leaves all as it was."""
        return await self._deployed(self._versions().deploy(choose, path))

    async def deploy_to(self, alias: str, choose: Choose, path: str = "") -> tuple[Version, Applied]:
        """Let an alias mean another version of the release."""
        return await self._versions().deploy_to(alias, choose, path)

    async def canary(self, choose: Choose, path: str, rules: Rules) -> tuple[Version, Applied]:
        """Let another version take over after a trial."""
        return await self._deployed(self._versions().canary(choose, path, rules))

    async def alias(self, name: str, alias: Alias | None) -> None:
        """Let an alias mean this; None: nothing any more."""
        await self._versions().alias(name, alias)

    async def promote(self, word: str) -> tuple[Version, Applied]:
        """Let what an alias means, or the version of a number, take over."""
        return await self._deployed(self._versions().promote(word))

    async def rollback(self, number: int | None) -> tuple[Version, Applied]:
        """Let a version of before take over. FnctlError leaves all as it was."""
        return await self._deployed(self._versions().back(number))

    def _versions(self) -> Deployments:
        if self._deployments is None:
            hint = "`fnctl reload` applies what has changed in its folder"
            raise UsageError("this service serves a folder with source, not a release", hint=hint)
        return self._deployments

    async def _deployed(self, work: Awaitable[tuple[Version, Applied]]) -> tuple[Version, Applied]:
        done = await work
        if self.later is not None:
            workflows = self.prepared.project.workflows
            await self.later.refresh((code.function for code in self.prepared.codes), workflows)
        self._gate.forget()
        return done

    async def selected(self) -> Selection:
        """The project as the disk has it now."""
        return await self._updates.selected()

    @property
    def prepared(self) -> Prepared:
        """What is served now."""
        return self._updates.prepared

    def reload_keys(self) -> int:
        """Take up what `fnctl key` has changed; how many keys there are now."""
        self._gate.keyring = self._keys.keyring()
        self._gate.forget()
        return len(self._gate.keyring)

    async def reap(self, function: str) -> int:
        """End the function's idle instances now; returns, when the pool is full again, how many there were."""
        return await self.run.reap(function)

    def status(self) -> dict[str, Any]:
        """GET /v1/status; also what the live view and `fnctl ps` show."""
        return {
            "version": fnctl.__version__,
            "pid": os.getpid(),
            "started": self._at,
            "url": self.url,
            "host": self.settings.host,
            "port": self.port,
            "warm": self.settings.warm,
            "draining": self.stopping.is_set(),
            "in_flight": self.run.invocations.in_flight,
            "requests": self.gateway.requests,
            "clients": self.gateway.clients_row(),
            "functions": self.run.functions(self.urls),
            "instances": self.run.instances(),
            "services": self.run.services.rows(),
            "pool": self.run.pool_row(),
            "failed_versions": {str(number): why for number, why in self.failed_versions.items()},
        }

    @property
    def failed_versions(self) -> Mapping[int, str]:
        """Those that were to be loaded beside the current one and are not, and why."""
        return self._deployments.failed if self._deployments is not None else {}


@asynccontextmanager
async def running(
    prepared: Prepared,
    settings: ServeSettings,
    source: Source | None = None,
    installation: Installation | None = None,
) -> AsyncIterator[Stack]:
    """A stack that is up; whatever happens, nothing of it is left afterwards, not even if this process is killed.

    `source` reads the project anew, for a reload; `installation`: where that is a release, what else it can serve."""
    stack = Stack(prepared, settings, source, installation)
    watcher = CrashWatcher(stack.run.run_id, stack.run.slots)
    watcher.start()
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
        await asyncio.to_thread(watcher.stop)

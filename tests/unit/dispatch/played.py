"""Sandboxes played in process: an engine whose containers are tasks that speak the protocol on the slot's sockets."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import uvloop

from fnctl.dispatch.admission import Lease
from fnctl.dispatch.growth import Processors
from fnctl.dispatch.scheduler import Scheduler
from fnctl.engine.fake import FakeEngine
from fnctl.errors import FnctlError
from fnctl.model import ALONE, Bundle, Function, Network, Reach, RuntimeSpec, SandboxSpec, SiteKey
from fnctl.pace import Pace
from fnctl.policy import PoolPolicy
from fnctl.pool.pool import Pool
from fnctl.pool.settings import Kind, PoolSettings
from fnctl.sandbox.connection import DataOwner
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.loading import Code
from fnctl.sandbox.local import LocalPlace, LocalPlacement

NODE = RuntimeSpec("node24", "node", "24.0.0", Path("/nowhere"), ("/opt/agent",))
PYTHON = RuntimeSpec("python3.13", "python", "3.13.0", Path("/nowhere"), ("/opt/python-agent",))
WAIT_S = 30.0  # for what must come; a busy machine may take its time over it
AGENTS = {Path(spec.agent[0]).name: spec.name for spec in (NODE, PYTHON)}


class Upstream(asyncio.Protocol):
    """A data connection that only counts."""

    def __init__(self, owner: DataOwner) -> None:
        self.owner = owner
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.owner.data_connected(self, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner.data_lost(self)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()


@dataclass
class Script:
    """What the played agents do. Tests change it before or during a run."""

    forks: bool = False
    load_error: dict[str, Any] | None = None
    load_hangs: bool = False
    waits_for: str | None = None  # said before it hangs
    loads: list[dict[str, Any]] = field(default_factory=list)
    boots: int = 0
    argvs: list[list[str]] = field(default_factory=list)
    kills: int = 0
    stops: int = 0
    sleeps: int = 0
    stop_gate: asyncio.Event | None = None  # an agent that is told to ends when it is open
    reads: list[Path] = field(default_factory=list)  # the slots whose agents read a cache ahead
    breaks_on_cache: bool = False
    garbage_at_load: bytes | None = None
    boot_gate: asyncio.Event | None = None  # an agent says hello when it is open
    dial_gate: asyncio.Event | None = None  # a loaded agent's first connection comes when it is open
    create_gate: threading.Event | None = None  # the engine makes a container when it is open
    creating: int = 0
    update_gate: threading.Event | None = None  # the engine changes limits when it is open


class PlayedSandbox:
    """One container: a supervisor, and an agent once booted."""

    def __init__(self, folder: Path, script: Script) -> None:
        self.folder = folder
        self.script = script
        self.tasks: set[asyncio.Task[None]] = set()
        self.supervisor: asyncio.StreamWriter | None = None
        self.agent: asyncio.StreamWriter | None = None
        self.data: list[asyncio.StreamWriter] = []
        self.hello: dict[str, Any] = {}  # the agent's last

    def start(self) -> None:
        self._spawn(self._supervise())

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _open(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(str(self.folder / f"{name}.sock"))

    async def _supervise(self) -> None:
        reader, writer = await self._open("supervisor")
        self.supervisor = writer
        say(writer, {"op": "hello", "protocol": 1, "role": "supervisor", "pid": 1})
        while line := await reader.readline():
            message = json.loads(line)
            if message["op"] == "boot":
                self.script.boots += 1
                self.script.argvs.append(message["argv"])
                say(writer, {"op": "started", "pid": 7})
                self._spawn(self._serve(Path(message["argv"][0]).name, message["env"]["FNCTL_BOOT"]))
            elif message["op"] == "kill":
                self.script.kills += 1
                self.exit(signal=9)
        self.stop()

    async def _serve(self, program: str, secret: str) -> None:
        if self.script.boot_gate is not None:
            await self.script.boot_gate.wait()
        reader, writer = await self._open("agent")
        self.agent = writer
        self.hello = {
            "op": "hello",
            "protocol": 1,
            "role": "agent",
            "runtime": AGENTS[program],
            "pid": 7,
            "boot": secret,
        }
        say(writer, self.hello)
        while line := await reader.readline():
            message = json.loads(line)
            if message["op"] == "ahead":
                self.script.reads.append(self.folder)
                if self.script.breaks_on_cache:
                    self.exit(signal=11)
                    return
                say(writer, {"op": "ahead"})
            elif message["op"] == "load":
                self.script.loads.append(message)
                await self._load(writer)
            elif message["op"] == "dial":
                for _ in range(message["n"]):
                    await self.dial()
            elif message["op"] == "sleep":
                self.script.sleeps += 1
            elif message["op"] == "stop":
                self.script.stops += 1
                if self.script.stop_gate is not None:
                    await self.script.stop_gate.wait()
                self.exit()

    async def _load(self, writer: asyncio.StreamWriter) -> None:
        if self.script.waits_for is not None:
            say(writer, {"op": "waiting", "for": self.script.waits_for})
        if self.script.load_hangs:
            return
        if self.script.garbage_at_load is not None:
            writer.write(self.script.garbage_at_load)
            return
        if self.script.load_error is not None:
            say(writer, {"op": "load_failed", **self.script.load_error})
            self.exit(code=1)
            return
        say(writer, {"op": "loaded", "ms": 1.0, "kind": "web", "fork": self.script.forks})
        if self.script.dial_gate is not None:
            await self.script.dial_gate.wait()
        await self.dial()

    async def dial(self) -> None:
        _, writer = await self._open("data")
        self.data.append(writer)

    async def done(self) -> None:
        """A forking agent after an invocation: the next connection, then `done`."""
        assert self.agent is not None
        await self.dial()
        say(self.agent, {"op": "done", "cpu_ms": 1.0, "peak_kb": 2048, "code": 0, "signal": 0})

    def exit(self, code: int = 0, signal: int = 0) -> None:
        """The agent ends; the supervisor says so."""
        for writer in (*self.data, self.agent):
            if writer is not None:
                writer.close()
        self.data.clear()
        self.agent = None
        if self.supervisor is not None:
            say(self.supervisor, {"op": "exited", "code": code, "signal": signal, "cpu_ms": 1.0, "peak_kb": 1024})

    def stop(self) -> None:
        for writer in (*self.data, self.agent, self.supervisor):
            if writer is not None:
                writer.close()
        for task in self.tasks:
            task.cancel()


def say(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


class PlayedEngine(FakeEngine):
    """The fake engine, with something alive in each container."""

    def __init__(self, script: Script, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.script = script
        self.loop = loop
        self.played: dict[str, PlayedSandbox] = {}
        self.add_image("image")
        for name in ("services", "egress"):
            self.ensure_network(name, internal=True, labels={})
        self.calls.clear()

    def create(self, spec: SandboxSpec) -> str:
        self.script.creating += 1
        if self.script.create_gate is not None:
            self.script.create_gate.wait(WAIT_S)
        sandbox = super().create(spec)
        played = PlayedSandbox(Path(spec.mounts[0][0]), self.script)
        self.played[sandbox] = played
        self.loop.call_soon_threadsafe(played.start)
        return sandbox

    def destroy(self, sandbox: str) -> None:
        if (played := self.played.pop(sandbox, None)) is not None:
            self.loop.call_soon_threadsafe(played.stop)
        super().destroy(sandbox)

    def update(self, sandbox: str, *, memory_mb: int | None = None, cpus: float | None = None) -> None:
        if self.script.update_gate is not None:
            self.script.update_gate.wait(WAIT_S)
        super().update(sandbox, memory_mb=memory_mb, cpus=cpus)

    def left(self, sandbox: str) -> None:
        """It has ended by itself, and the engine has removed it."""
        self.played.pop(sandbox).stop()
        self.vanishes(sandbox)


def networks(reach: Reach) -> tuple[str, ...]:
    """As a run's (services/networks.py); they are there already."""
    own = {Network.NONE: (), Network.SERVICES: ("services",), Network.EGRESS: ("egress", "services")}
    return own[reach.network]


def limited(pid: int, *, memory_mb: int | None, cpus: float | None) -> bool:
    """Never from here: the pid is that of the test."""
    return False


class Stage1:
    """A scheduler and a pool over played sandboxes, with the requests a test makes of them."""

    def __init__(
        self,
        folder: Path,
        warm: int = 2,
        runtimes: tuple[RuntimeSpec, ...] = (NODE,),
        load_timeout_s: float = 10.0,
        policy: PoolPolicy | None = None,
        calm_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        reaches: tuple[Reach, ...] = (ALONE,),
        pace: Pace | None = None,
        processors: Processors | None = None,
    ) -> None:
        self.folder = folder
        self.script = Script()
        self.engine = PlayedEngine(self.script, asyncio.get_running_loop())
        self.executor = ThreadPoolExecutor(4)
        self.log: list[tuple[str, str, str | None, str]] = []
        (folder / "s").mkdir()
        self.placement = placement = LocalPlacement(
            folder / "s",
            "run",
            lambda: itertools.repeat(os.getuid(), 400),
            cgroup_of=lambda pid: None,
            limit_of=limited,
        )
        kinds = tuple(Kind(spec, reach) for reach in reaches for spec in runtimes)
        settings = PoolSettings(warm, "image", "project", "run", kinds, reaches, calm_s=calm_s)
        self.pool = Pool(
            self.engine,
            self.executor,
            placement,
            settings,
            Upstream,
            policy=policy,
            clock=clock,
            networks=networks,
            pace=pace,
        )
        self.scheduler = Scheduler(
            self.pool,
            placement,
            lambda *line: self.log.append(line),
            clock=clock,
            load_timeout_s=load_timeout_s,
            processors=processors,
        )

    def code(self, name: str = "todos", text: str = "1", **changes: Any) -> Code:
        root = self.folder / f"bundle-{name}-{text}"
        if not root.exists():
            root.mkdir()
            (root / "index.js").write_text(text)
        function = Function(name=name, path=root, runtime="node24", handler="index.js", keep_s=0.0)
        bundle = Bundle(name, "sha256:" + hashlib.sha256(text.encode()).hexdigest(), root, "node24", "index.js", 1, 1)
        return Code(replace(function, **changes), bundle, NODE)

    async def start(self, *codes: Code) -> None:
        self.pool.start()
        for code in codes:
            await self.scheduler.deploy(code)
        await asyncio.wait_for(self.pool.full(), WAIT_S)

    async def lease(self, name: str = "todos", timeout_s: float = WAIT_S, alias: str = "") -> Lease:
        """A lease, at once or after a wait; raises what the queue answers."""
        if (lease := self.scheduler.try_acquire(SiteKey(name, alias))) is not None:
            return lease
        answer = self.enqueue(name, alias)
        got: Lease | FnctlError = await asyncio.wait_for(answer, timeout_s)
        if isinstance(got, FnctlError):
            raise got
        return got

    def enqueue(self, name: str = "todos", alias: str = "") -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.scheduler.enqueue(SiteKey(name, alias), answer.set_result)
        return answer

    def sandbox_of(self, lease: Lease) -> PlayedSandbox:
        instance = self.pool.sandboxes.alive[lease.instance]
        assert instance.sandbox is not None
        return self.engine.played[instance.sandbox]

    def folder_of(self, instance: Instance) -> Path:
        """What is mounted at /fn in its sandbox."""
        assert isinstance(instance.place, LocalPlace)
        return instance.place.slot.folder

    async def close(self) -> None:
        await self.scheduler.close()
        await asyncio.wait_for(self.pool.close(), WAIT_S)
        self.executor.shutdown()
        for _ in range(5):  # transports that were closed last say so on the loop's next turns
            await asyncio.sleep(0)


History = Callable[[Stage1], Awaitable[None]]


def play(folder: Path, history: History, **settings: Any) -> None:
    """Run one history on a stage of its own; afterwards nothing may be left."""

    async def story() -> None:
        stage = Stage1(folder, **settings)
        try:
            await history(stage)
        finally:
            await stage.close()
        assert stage.engine.list({}) == []
        assert not stage.pool.sandboxes.alive

    uvloop.run(story())

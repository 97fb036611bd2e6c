"""One instance: a sandbox with its state, its connections and what it is doing. Decides nothing about others.

Long for one file: what is asked of it and what its sandbox says change the same few fields, and have one owner.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import BaseTransport
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fnctl.engine.cgroup import Cgroup
from fnctl.errors import DeadlineExceeded, FnctlError, FunctionError, ProtocolError
from fnctl.model import Function, Isolation, Model, RuntimeSpec, StartKind
from fnctl.runtime.agent import PROTOCOL_VERSION, DataFactory, Link, peer_uid
from fnctl.runtime.code import Code, load_error, load_message, load_timeout
from fnctl.runtime.expected import Expected
from fnctl.runtime.lease import DataConnection
from fnctl.runtime.lifecycle import Death, State, may
from fnctl.runtime.slot import Slot
from fnctl.runtime.strays import Strays
from fnctl.runtime.verdict import verdict

# A supervisor says how an agent ended within milliseconds; past this the sandbox itself is gone.
EXIT_NEWS_S = 0.45
# An agent that has answered ends within milliseconds, on a busy machine within tenths of a second. Past this it is
# stopped, which costs it the template it forks from; and so is one that works on though its client has left.
GRACE_S = 0.5
AGENT_END_S = 2.0
# A process that was booted ahead for any function is large: a fork of it costs 1.5 ms more than one of a template that
# has loaded only what its own function needs. After so many, that comes to what booting and loading anew costs.
WORN_AFTER = 40
LAST_WORDS = 5  # lines of output that the error of a load shows, where the error itself has no more to say
NEWS_GAP_S = 0.05  # two messages sent at once on two sockets are both here by then


class Keeper(Protocol):
    """Who is told when an instance changes: the pool before it has a function, its site after."""

    def offered(self, instance: Instance, connection: DataConnection) -> None:
        """A data connection is free to carry a request."""
        ...

    def withdrawn(self, instance: Instance, connection: DataConnection) -> None:
        """A connection ended, whether it was on offer or carried a request."""
        ...

    def draining(self, instance: Instance) -> None:
        """It takes nothing new from now on; what it offered is withdrawn."""
        ...

    def died(self, instance: Instance) -> None:
        """Its state is dead; the sandbox is being destroyed. Called once."""
        ...

    def logged(self, instance: Instance, invocation: str | None, text: str) -> None: ...


class Instance:
    """Owns the link to one sandbox, from `open` to `end`. All on the event loop's thread.

    Guarantees: holds at most one function, ever; `keeper.died` is called once; after that nothing else is called. A
    dead instance takes every call and does nothing.
    """

    def __init__(
        self,
        slot: Slot,
        keeper: Keeper,
        data_factory: DataFactory,
        ended: Callable[[Instance], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slot = slot
        self.id = slot.id
        self.keeper = keeper
        self.clock = clock
        self.state = State.STARTING
        self.death: Death | None = None
        self.sandbox: str | None = None  # the engine's id
        self.joinable = True  # its sandbox can be put on a network
        self.cgroup: Cgroup | None = None
        self.runtime: str | None = None
        self.code: Code | None = None
        self.version = ""
        self.ephemeral = False  # once there is code
        self.start_kind = StartKind.COLD
        # ms of this instance's start: container (made, or given its network and limits), runtime, load
        self.timings: dict[str, float] = {"container": 0.0, "runtime": 0.0, "load": 0.0}
        self.kind = ""  # "web" or "event", once loaded
        self.forks = False
        self._lean = False  # the agent was booted for the function that it runs
        self.created = self.last_used = clock()
        self.in_flight = 0
        self.served = 0
        self.connections: set[DataConnection] = set()
        self.dialling = 0
        self.last_exit: Mapping[str, Any] | None = None
        self._ended = ended
        self.held = False  # loaded, but not to be offered yet: its network is still on the way
        self.booting: asyncio.Task[None] | None = None  # a boot or a reading, ahead of any request
        self.ahead: str | None = None  # the digest of the bundle whose cache it has read, or is about to
        self.figures: deque[tuple[float | None, float | None]] = deque(
            maxlen=4096
        )  # (CPU ms, peak MB) of forked invocations, in order
        self._parked: DataConnection | None = None  # a connection that came before it may be offered
        self._ended_invocations = 0  # (ephemeral) up to which one the process is known to have ended
        self._clean = True  # (ephemeral) the last invocation's remains are gone
        self._expected = Expected()
        self._exit_watchers: list[Callable[[], None]] = []
        self._oom_kills = 0
        self._waits_for = ""  # (loading) what the agent says that it waits for
        self._words: deque[str] = deque(maxlen=LAST_WORDS)  # (loading) the last lines of output
        self._ours = False  # we asked for the agent's end
        self._recycling: asyncio.Task[None] | None = None
        self.strays = Strays()
        self._link = Link(slot.folder, slot.uid, self, data_factory)

    @property
    def pid(self) -> int:
        """Of the sandbox's first process, here on the host; 0 where it cannot be told."""
        return self._link.pid

    # -- the way up ------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listen; the sandbox may be made now."""
        await self._link.open()

    async def greeted(self, timeout_s: float) -> None:
        """The supervisor has said hello: tier base. It may have, before the engine's own answer is here."""
        if self.state is State.STARTING or self.state is State.DEAD:
            await self._wait("supervisor", timeout_s, "the sandbox's supervisor to say hello")

    async def boot(
        self, spec: RuntimeSpec, timeout_s: float = 10.0, *, ahead: bool = False, template: bool = False
    ) -> None:
        """Start a runtime's agent: tier runtime. DeadlineExceeded, EngineError or FunctionError where it does not.

        `ahead` of any request, the agent loads what its language has before it says hello; else only what it needs.
        `template`: it will serve many ephemeral invocations, each in a process forked from it, where it can.
        """
        started = self.clock()
        self._lean = not ahead
        argv = spec.template if template and spec.template else spec.agent
        self._expected.announce("agent")
        self._link.boot(argv, {**dict(spec.environment), "FNCTL_PRELOAD": "1" if ahead else "0"})
        await self._wait("agent", timeout_s, f"the {spec.tier} agent to say hello")
        self.timings["runtime"] = (self.clock() - started) * 1000

    async def read_ahead(self, timeout_s: float = 5.0) -> None:
        """Have the agent read the cache that was placed in the slot. Raises as `boot` does."""
        self._expected.announce("ahead")
        self._link.read_ahead()
        await self._wait("ahead", timeout_s, f"the {self.runtime} agent to read ahead")

    async def load(self, code: Code, timeout_s: float) -> None:
        """Load code that has been placed in the slot. LoadError carries the function's own error, file and line."""
        started = self.clock()
        self.code, self.version = code, code.version
        self.ephemeral = code.function.model is Model.EPHEMERAL
        self._move(State.LOADING)
        self.dialling = 1
        self._expected.announce("loaded")
        self._link.load(load_message(code))
        try:
            said = await self._wait("loaded", timeout_s, f"{code.function.name} to load")
        except DeadlineExceeded as late:
            raise load_timeout(code.function, timeout_s, self._waits_for) from late
        self.timings["load"] = (self.clock() - started) * 1000
        self.kind = str(said.get("kind", ""))
        self.forks = self.ephemeral and bool(said.get("fork"))
        self.strays.loaded(self.cgroup)
        if self.state is State.LOADING:
            self._move(State.IDLE)
        self._settle()

    # -- serving ---------------------------------------------------------------------------------------------------

    @property
    def cleaning(self) -> bool:
        """(ephemeral) Between two invocations: back in a moment."""
        return self.ephemeral and self.in_flight == 0 and self._parked is None and self.state is not State.IDLE

    @property
    def serving(self) -> bool:
        """Loaded and open to new invocations."""
        return self.state is State.IDLE or self.state is State.BUSY

    def room(self) -> int:
        """How many more connections it may open for its function."""
        if self.code is None or not self.serving or self.ephemeral:
            return 0
        return self.code.function.concurrency - len(self.connections) - self.dialling

    def dial(self, count: int) -> None:
        self.dialling += count
        self._link.dial(count)

    def begin(self) -> None:
        """An invocation goes in."""
        self.in_flight += 1
        self.served += 1
        if self.state is State.IDLE:
            self.state = State.BUSY
        if self.ephemeral:
            self._clean = False
            self.last_exit = None

    def finish(self, connection: DataConnection, *, reusable: bool, error: FnctlError | None) -> None:
        """An invocation is over: put the connection back, or clean, drain or end the instance (Lease.release)."""
        self.in_flight -= 1
        self.last_used = self.clock()
        if self.state is State.DEAD:
            return
        if error is not None and error.code == "timeout":
            connection.close()
            self._drain(Death.TIMEOUT)
        elif self.ephemeral:
            self._finish_ephemeral(connection, reusable)
        elif self.state is State.DRAINING:
            connection.close()
            self._drain(self.death or Death.REPLACED)
        else:
            if self.in_flight == 0 and self.state is State.BUSY:
                self.state = State.IDLE
                if self.strays.due(self.last_used) and self.strays.too_many(self.cgroup, self.last_used):
                    self.end(Death.STRAYS)
                    return
            if reusable and connection in self.connections:
                self.keeper.offered(self, connection)
            else:
                connection.close()

    def _finish_ephemeral(self, connection: DataConnection, reusable: bool) -> None:
        assert self.code is not None
        connection.close()
        if self.code.function.isolation is Isolation.CONTAINER:
            self.end(Death.USED)
        elif self.state is State.DRAINING:
            self._drain(self.death or Death.REPLACED)
        else:
            if not reusable and not self._over():
                # the client left, or the agent closes after its response: the process ends by itself, or is made to
                asyncio.get_running_loop().call_later(GRACE_S, self._kill_if_still_at_it, self.served)
            if self.forks:
                self._settle()
            else:
                self._recycle_when_exited()

    def _over(self) -> bool:
        """(ephemeral) Whether the process of the last invocation is known to have ended."""
        return self._ended_invocations == self.served

    def _kill_if_still_at_it(self, invocation: int) -> None:
        """Only the supervisor can stop it; where the agent forks, the template goes with it.

        Not busy any more: it has ended, and what runs by now is the next process on its way up.
        """
        if self.state is State.BUSY and self.served == invocation and not self._over():
            self._ours = True
            self._link.kill()
            self._recycle_when_exited()

    def release_hold(self) -> None:
        """What kept it from being offered has come."""
        self.held = False
        self._settle()

    def _settle(self) -> None:
        """Offer the parked connection once nothing stands against it.

        For a forking agent that is: the last invocation is over, its remains are gone, the next connection is there.
        """
        if self.held or self._ours or self._parked is None or not self.serving:
            return
        if self.ephemeral:
            if self.in_flight or not self._clean:
                return
            self.state = State.IDLE
        connection, self._parked = self._parked, None
        self.keeper.offered(self, connection)

    def drain(self, why: Death) -> None:
        """Take nothing new; end when what runs has ended."""
        self._drain(why)

    def _drain(self, why: Death) -> None:
        if self.state is State.DEAD:
            return
        if self.in_flight <= 0:
            self.end(why)
        elif self.state is not State.DRAINING:
            self.death = why
            self.dialling = 0  # what is still on its way is turned away
            self._move(State.DRAINING)
            self.keeper.draining(self)

    def explain(self, answered: Callable[[FnctlError], None]) -> None:
        """Why did a connection end early? Waits, bounded, for the supervisor's news of the agent's exit."""
        loop = asyncio.get_running_loop()
        asked = False

        def answer() -> None:
            nonlocal asked
            if not asked:
                asked = True
                timer.cancel()
                answered(self.verdict())

        timer = loop.call_later(EXIT_NEWS_S, answer)
        if self.last_exit is not None or self.state is State.DEAD:
            loop.call_soon(answer)
        else:
            self._exit_watchers.append(answer)

    def verdict(self) -> FnctlError:
        """What the instance's end, if it ended, says about an invocation it did not answer."""
        return verdict(self.code.function if self.code else None, self.death, self.last_exit)

    # -- the ephemeral way round -----------------------------------------------------------------------------------

    def _is_worn(self) -> bool:
        """(forking) Whether another template would soon have paid for itself."""
        assert self.code is not None
        return not self._lean and self.served >= WORN_AFTER and bool(self.code.runtime.template)

    def _renew(self) -> None:
        """End the template that was booted ahead, for one that was not."""
        if self.state is State.BUSY and not self.in_flight:
            self._ours = True
            self._link.kill()
            self._recycle_when_exited()

    def _recycle_when_exited(self) -> None:
        if self._recycling is None or self._recycling.done():
            self._recycling = asyncio.ensure_future(self._recycle())

    async def _recycle(self) -> None:
        """Down to the supervisor and up again: a fresh process for the next invocation, in the same wiped sandbox."""
        code = self.code
        assert code is not None
        try:
            if self.last_exit is None:
                await self._wait("exited", AGENT_END_S, "the agent to end after its one invocation")
            if self.forks and not self._clean:
                self.figures.append(
                    (None, None)
                )  # killed: it will not say what it used, and the next must not stand in
            self.last_exit, self._ours, self._parked = None, False, None
            self._move(State.BASE)
            await self.boot(code.runtime, template=True)
            self._clean = True
            await self.load(code, code.function.timeout_s)
        except FnctlError:
            self.end(Death.LOAD_FAILED)

    # -- what the sandbox says (LinkOwner, DataOwner) --------------------------------------------------------------

    def said(self, role: str, message: Mapping[str, Any]) -> None:
        op = message["op"]
        handler = _HEARD.get((role, op))
        if handler is None:
            raise ProtocolError(f"an unknown message `{op}`")
        handler(self, message)

    def _hello_supervisor(self, message: Mapping[str, Any]) -> None:
        if message.get("protocol") != PROTOCOL_VERSION or self.state is not State.STARTING:
            raise ProtocolError("a hello out of order, or of another protocol version")
        self._move(State.BASE)
        self._expected.resolve("supervisor", message)

    def _started(self, message: Mapping[str, Any]) -> None:
        self.last_exit = None

    def _supervisor_error(self, message: Mapping[str, Any]) -> None:
        error = FunctionError(f"the supervisor could not do it: {message.get('message', '')}"[:500])
        for name in ("agent", "loaded"):
            self._expected.fail(name, error)

    def _exited(self, message: Mapping[str, Any]) -> None:
        self.last_exit, self._ended_invocations = message, self.served
        oom = message.get("signal") == 9 and not self._ours and self._oom_killed()
        expected = self.ephemeral and not self.forks and self.state is State.BUSY and not oom
        if not expected and not self._ours:
            self.death = Death.OOM if oom else Death.CRASHED
        self._tell_exit()
        self._expected.resolve("exited", message)
        self._expected.fail("agent", self.verdict())
        if self.state is State.LOADING and not oom:
            # `load_failed` says more, and travels on another socket
            asyncio.get_running_loop().call_later(NEWS_GAP_S, self._ended_loading)
        elif not expected and not self._ours:
            self.end(self.death or Death.CRASHED)

    def _ended_loading(self) -> None:
        self._expected.fail("loaded", self.verdict())
        self.end(Death.LOAD_FAILED)

    def _hello_agent(self, message: Mapping[str, Any]) -> None:
        if message.get("protocol") != PROTOCOL_VERSION or self.state is not State.BASE:
            raise ProtocolError("an agent's hello out of order, or of another protocol version")
        self.runtime = str(message.get("runtime"))
        self._move(State.RUNTIME)
        self._expected.resolve("agent", message)

    def _has_read(self, message: Mapping[str, Any]) -> None:
        if self.state is not State.RUNTIME or "ahead" not in self._expected:
            raise ProtocolError("`ahead` without having been asked")
        self._expected.resolve("ahead", message)

    def _loaded(self, message: Mapping[str, Any]) -> None:
        if self.state is not State.LOADING or "loaded" not in self._expected:
            raise ProtocolError("`loaded` without a load")
        self._expected.resolve("loaded", message)

    def _waiting(self, message: Mapping[str, Any]) -> None:
        self._waits_for = str(message.get("for", ""))

    def _load_failed(self, message: Mapping[str, Any]) -> None:
        if self.state is not State.LOADING or self.code is None:
            raise ProtocolError("`load_failed` without a load")
        # what it printed before was sent before, on another socket that may be read only after this one
        asyncio.get_running_loop().call_soon(self._fail_load, self.code.function, message)

    def _fail_load(self, function: Function, message: Mapping[str, Any]) -> None:
        self._expected.fail("loaded", load_error(function, message, self._words))

    def _done(self, message: Mapping[str, Any]) -> None:
        if not self.forks or self._clean:
            raise ProtocolError("`done` without an invocation")
        self._clean, self._ended_invocations = True, self.served
        self.figures.append((_figure(message, "cpu_ms"), _figure(message, "peak_kb") / 1024))
        if message.get("code") or message.get("signal"):
            self.last_exit = message
            if message.get("signal") == 9 and self._oom_killed():
                self.last_exit = {**message, "oom": True}
        self._tell_exit()
        if self._is_worn():
            self._renew()
        else:
            self._settle()

    def hung_up(self, role: str) -> None:
        if role == "supervisor":
            self.end(self.death or Death.LOST)

    def breach(self, error: ProtocolError) -> None:
        self.end(Death.BREACH)

    def logged(self, invocation: str | None, text: str) -> None:
        if self.state is State.LOADING and text:
            self._words.append(text)
        self.keeper.logged(self, invocation, text)

    def data_connected(self, connection: DataConnection, transport: BaseTransport) -> None:
        if not self._welcome(transport):
            connection.close()
            return
        self.connections.add(connection)
        self.dialling = max(0, self.dialling - 1)
        if self.state is State.LOADING or self.held or self.ephemeral:
            # it may overtake `loaded` or `done`, which travel on another socket: offered when those are here
            self._parked = connection
            self._settle()
        else:
            self.keeper.offered(self, connection)

    def _welcome(self, transport: BaseTransport) -> bool:
        if self.code is None or self.state in (State.DRAINING, State.DEAD) or peer_uid(transport) != self.slot.uid:
            return False
        if self.ephemeral:
            return self._parked is None
        return len(self.connections) < self.code.function.concurrency

    def data_lost(self, connection: DataConnection) -> None:
        self.connections.discard(connection)
        if self._parked is connection:
            self._parked = None
        self.keeper.withdrawn(self, connection)

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self, why: Death) -> None:
        """Dead, now: connections closed, waiters failed, the sandbox on its way out. Idempotent."""
        if self.state is State.DEAD:
            return
        self.state, self.death = State.DEAD, why
        self._expected.fail_all(self.verdict())
        self._tell_exit()
        for connection in list(self.connections):
            connection.close()
        self._link.close()
        if self._recycling is not None:
            self._recycling.cancel()
        self.keeper.died(self)
        self._ended(self)

    def _tell_exit(self) -> None:
        watchers, self._exit_watchers = self._exit_watchers, []
        for watcher in watchers:
            watcher()

    def _oom_killed(self) -> bool:
        """Whether the kernel has killed for memory in this sandbox since the last look."""
        if self.cgroup is None:
            return False
        before, self._oom_kills = self._oom_kills, self.cgroup.oom_kills()
        return self._oom_kills > before

    # -- small parts -----------------------------------------------------------------------------------------------

    def _move(self, new: State) -> None:
        if not may(self.state, new):
            raise ProtocolError(f"instance {self.id} cannot go from {self.state} to {new}")
        self.state = new

    async def _wait(self, name: str, timeout_s: float, what: str) -> Mapping[str, Any]:
        if self.state is State.DEAD:
            raise self.verdict()
        return await self._expected.wait(name, timeout_s, what)


_HEARD: dict[tuple[str, str], Callable[[Instance, Mapping[str, Any]], None]] = {
    ("supervisor", "hello"): Instance._hello_supervisor,
    ("supervisor", "started"): Instance._started,
    ("supervisor", "exited"): Instance._exited,
    ("supervisor", "error"): Instance._supervisor_error,
    ("agent", "hello"): Instance._hello_agent,
    ("agent", "ahead"): Instance._has_read,
    ("agent", "loaded"): Instance._loaded,
    ("agent", "waiting"): Instance._waiting,
    ("agent", "load_failed"): Instance._load_failed,
    ("agent", "done"): Instance._done,
}


def _figure(message: Mapping[str, Any], name: str) -> float:
    value = message.get(name, 0)
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ProtocolError(f"`{name}` that is no amount")
    return float(value)

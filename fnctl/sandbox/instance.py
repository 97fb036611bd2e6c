"""One instance: a sandbox, what it was prepared for, and the code that it serves. Decides nothing about others.

Its parts: `life` (the state), `conversation` (what host and sandbox say), `serving` (connections and invocations, by
process model), `agent` (its process, and how it ended), `preparation` (ahead of any request), `start` (what that cost).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.model import ALONE, Function, Model, Reach, RuntimeSpec, StartKind
from fnctl.pace import Pace
from fnctl.sandbox.agent_process import AgentProcess
from fnctl.sandbox.connection import DataConnection, DataFactory
from fnctl.sandbox.conversation import Conversation
from fnctl.sandbox.ephemeral import Ephemeral
from fnctl.sandbox.farewell import Farewell
from fnctl.sandbox.lifecycle import Death, Lifecycle, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.placement import Place, Usage
from fnctl.sandbox.preparation import Preparation
from fnctl.sandbox.resident import Resident
from fnctl.sandbox.serving import Serving
from fnctl.sandbox.start import Start
from fnctl.sandbox.verdict import verdict

# On a usual machine, each many times what the step needs when other work is beside it (fnctl/pace.py).
GREETING_S = 15.0
BOOT_S = 10.0
READ_S = 5.0


class InstanceOwner(Protocol):
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

    Guarantees: holds at most one function, ever; `owner.died` is called once; after that nothing else is called. A
    dead instance takes every call and does nothing.
    """

    def __init__(
        self,
        place: Place,
        owner: InstanceOwner,
        data_factory: DataFactory,
        ended: Callable[[Instance], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        reach: Reach = ALONE,
        pace: Pace | None = None,
    ) -> None:
        """`reach`: what its sandbox can talk to, for good. `pace`: what its deadlines are set by."""
        self.place = place
        self.id = place.id
        self.owner = owner
        self.clock = clock
        self.created = clock()
        self.reach = reach
        self.pace = pace or Pace()
        self.sandbox: str | None = None  # the engine's id
        self.usage: Usage | None = None
        self._inside: asyncio.AbstractServer | None = None  # where its code calls functions
        self.agent = AgentProcess(self)
        self.preparation = Preparation()
        self.code: Code | None = None
        self.version = ""
        self.asleep_since = 0.0  # when it last fell asleep
        self.held = False  # not to be offered yet: its limits are still on the way
        self.start = Start()
        self.life = Lifecycle(self.id)
        self.conversation = Conversation(place, self.life, self, self.agent, lambda: data_factory(self.serving))
        self.serving: Serving = Serving(self)
        self.farewell: Farewell | None = None  # from its end on, where its program was told
        self._ended = ended

    @property
    def state(self) -> State:
        return self.life.state

    @property
    def death(self) -> Death | None:
        return self.life.death

    # -- the sandbox -----------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """Dead: let its program end in order, where it was told to, and close what is still open."""
        if self.farewell is not None:
            await self.farewell.wait(self.agent.exits.last)
            self.conversation.close(self.verdict())

    def hurry(self) -> None:
        """Its program gets no more time."""
        if self.farewell is not None:
            self.farewell.hurry(self.verdict())

    async def open(self) -> None:
        """Listen; the sandbox may be made now."""
        await self.conversation.open()

    def attach(self, sandbox: str) -> None:
        """The engine has made the sandbox, and calls it so."""
        self.sandbox = sandbox

    def made(self, usage: Usage | None) -> None:
        """The supervisor has said hello, and the sandbox's figures can be read (or not: a remote engine)."""
        self.usage = usage
        self.start.container_ms = (self.clock() - self.created) * 1000

    def listens(self, server: asyncio.AbstractServer) -> None:
        """Its code can call the functions of the project at this server, until it ends."""
        self._inside = server
        if self.state is State.DEAD:
            server.close()

    @property
    def function(self) -> Function | None:
        """The function that it serves, or is to."""
        return self.code.function if self.code is not None else None

    # -- ahead of any request --------------------------------------------------------------------------------------

    async def prepared(self) -> None:
        """Wait until what was begun ahead has ended. The request waits for that part of the boot alone."""
        if self.preparation.under_way:
            asked = self.clock()
            await self.preparation.over()
            self.start.runtime_ms = (self.clock() - asked) * 1000

    # -- the way up ------------------------------------------------------------------------------------------------

    def claim(self, owner: InstanceOwner, kind: StartKind) -> None:
        """It is this owner's from now on, for a start of this kind; nothing of it is offered until `release`."""
        self.owner = owner
        self.held = True
        self.start.claimed(kind)

    def release(self) -> None:
        """What kept it from being offered has come."""
        self.held = False
        self.serving.released()

    async def boot(self, spec: RuntimeSpec, *, ahead: bool = False, template: bool = False) -> None:
        """Start a runtime's agent: tier runtime. DeadlineExceeded, EngineError or FunctionError where it does not.

        `ahead` of any request, the agent loads what its language has before it says hello; else only what it needs.
        `template`: it will serve many ephemeral invocations, each in a process forked from it, where it can.
        """
        started = self.clock()
        self.agent.booting(ahead=ahead)
        argv = spec.template if template and spec.template else spec.agent
        environment = {**dict(spec.environment), "FNCTL_PRELOAD": "1" if ahead else "0"}
        await self._paced(BOOT_S, lambda limit_s: self.conversation.boot(spec.tier, argv, environment, limit_s))
        self.start.runtime_ms = (self.clock() - started) * 1000

    async def greeted(self) -> None:
        """The supervisor has said hello."""
        await self._paced(GREETING_S, self.conversation.greeted)

    async def _paced(self, usual_s: float, step: Callable[[float], Awaitable[None]]) -> None:
        """A step of fnctl's own, which ends in time on any machine that is not broken: a slow one has more of it."""
        began = self.clock()
        try:
            await step(self.pace.deadline(usual_s))
        except DeadlineExceeded as late:
            late.hint = self.pace.hint()
            self.pace.missed()
            raise
        self.pace.took(self.clock() - began, usual_s)

    async def read_cache(self) -> None:
        """Have the agent read the cache that was placed. Raises as `boot` does."""
        await self.conversation.read_cache(self.agent.runtime, self.pace.deadline(READ_S))

    async def load(self, code: Code, timeout_s: float) -> None:
        """Load code that has been placed. LoadError carries the function's own error, file and line."""
        if self.state is State.DEAD:  # while the code was placed
            raise self.verdict()
        started = self.clock()
        self.accept(code)
        self.life.move(State.LOADING)
        self.serving.loading()
        loaded = await self.conversation.load(code, timeout_s)
        self.start.load_ms = (self.clock() - started) * 1000
        self.serving.loaded(loaded)
        if self.state is State.LOADING:
            self.life.move(State.IDLE)
        self.serving.settle()

    def sleep(self) -> None:
        """Idle for long: its program gives back what memory it can. It is open to requests as before."""
        self.life.move(State.ASLEEP)
        self.asleep_since = self.clock()
        self.conversation.sleep()

    def accept(self, code: Code) -> None:
        """It serves this code from now on, and no other."""
        if self.code is None:
            self.code, self.version = code, code.version
            ephemeral = code.function.model is Model.EPHEMERAL
            self.serving = Ephemeral(self, code) if ephemeral else Resident(self, code.function)

    # -- told by what serves in it (Served) ------------------------------------------------------------------------

    def offer(self, connection: DataConnection) -> None:
        self.owner.offered(self, connection)

    def withdraw(self, connection: DataConnection) -> None:
        self.owner.withdrawn(self, connection)

    # -- told by its sandbox (ConversationOwner) -------------------------------------------------------------------

    def invocation_done(self, message: Mapping[str, Any]) -> None:
        self.serving.done(message, self.agent.killed_for_memory)

    def logged(self, invocation: str | None, text: str) -> None:
        self.owner.logged(self, invocation, text)

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        return self.serving.carries(invocation, printer)

    # -- the end ---------------------------------------------------------------------------------------------------

    def explain(self, answered: Callable[[FnctlError], None]) -> None:
        """Why did a connection end early? Waits, bounded, for the supervisor's news of the agent's exit."""
        known = self.agent.exits.last is not None or self.state is State.DEAD
        self.agent.exits.wait(lambda: answered(self.verdict()), known=known)

    def verdict(self) -> FnctlError:
        """What the instance's end, if it ended, says about an invocation it did not answer."""
        return verdict(self.code.function if self.code else None, self.death, self.agent.exits.last)

    def drain(self, why: Death) -> None:
        """Take nothing new; end when what runs has ended."""
        if self.state is State.DEAD:
            return
        if self.serving.in_flight <= 0:
            self.end(why)
        elif self.state is not State.DRAINING:
            self.life.death = why
            self.serving.draining()
            self.life.move(State.DRAINING)
            self.owner.draining(self)

    def end(self, why: Death) -> None:
        """Dead, now: connections closed, waiters failed, the sandbox on its way out. Idempotent.

        A program that stays is told, where it may go in order: `farewell` is the wait for its end then.
        """
        if self.state is State.DEAD:
            return
        function = self.code.function if self.code is not None else None
        told = self.serving.stays and why.in_order and self.agent.exits.last is None and self.state is not State.LOADING
        self.life.end(why)
        if told and function is not None and function.stop_grace_s > 0:
            self.conversation.stop(self.verdict())
            self.farewell = Farewell(self.conversation, function.stop_grace_s, self.clock)
        else:
            self.conversation.close(self.verdict())
        self.agent.exits.tell()
        self.serving.close()
        if self._inside is not None:
            self._inside.close()
        self.owner.died(self)
        self._ended(self)

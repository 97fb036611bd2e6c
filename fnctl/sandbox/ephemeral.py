"""The ephemeral process model in one instance: a process an invocation, on one connection, and the way round to the
next: the agent forks it, or is booted and loaded anew. Isolation `container`: the sandbox ends with the first."""

from __future__ import annotations

import asyncio
from asyncio import BaseTransport
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from fnctl.errors import FnctlError, ProtocolError
from fnctl.sandbox.connection import DataConnection
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code, once
from fnctl.sandbox.reports import amount
from fnctl.sandbox.serving import ENDING, Figure, Figures, Served, Serving

# An agent that has answered ends within milliseconds, on a busy machine within tenths of a second. Past this it is
# stopped, which costs it the template it forks from; and so is one that works on though its client has left.
GRACE_S = 0.5
AGENT_END_S = 2.0
# A process that was booted ahead for any function is large: a fork of it costs 1.5 ms more than one of a template that
# has loaded only what its own function needs. After so many, that comes to what booting and loading anew costs.
WORN_AFTER = 40
KEPT_IDS = 64  # of invocations whose output may not be read to its end
_SERVING = frozenset((State.LOADING, State.IDLE, State.ASLEEP, State.BUSY))


class Ephemeral(Serving):
    def __init__(self, instance: Served, code: Code) -> None:
        super().__init__(instance)
        self._agent = instance.agent
        self._code = code
        self._once = once(code.function)
        self._forks = False  # the agent stays, and forks a process for each invocation
        self._figures: Figures = deque(maxlen=4096)
        self._next: DataConnection | None = None  # of the process that is to serve next
        self._taken = 0  # connections of this boot that were taken, each for one invocation
        self._begun = 0  # invocations of this boot
        self._clean = True  # the last invocation's remains are gone
        self._ended = 0  # up to which invocation the process is known to have ended
        self._ids: dict[tuple[int, int], str] = {}  # (boot, which invocation of it) → its id
        self._last_ids: deque[tuple[int, str]] = deque(maxlen=2)  # what was printed by the last may be read after it
        self._deadline = 0.0  # of the last invocation: its process is gone by then
        self._cut_at = 0.0  # when that process is ended, if it has not by itself
        self._cutter: asyncio.TimerHandle | None = None
        self._killed = False  # we asked for the agent's end
        self._left = False  # the agent has hung up unasked
        self._recycling: asyncio.Task[None] | None = None

    @property
    def figures(self) -> Figures | None:
        return self._figures

    @property
    def cleaning(self) -> bool:
        return self.in_flight == 0 and self._next is None and self._life.state is not State.IDLE

    @property
    def asked_to_end(self) -> bool:
        return self._killed

    # -- an invocation ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.in_flight += 1
        self.served += 1
        self._begun += 1
        if self._life.state is State.IDLE or self._life.state is State.ASLEEP:
            self._life.state = State.BUSY
        self._clean = False
        self._deadline = self._clock() + self._code.function.timeout_s
        self._agent.exits.forget()

    def carry(self, connection: DataConnection, invocation: str) -> None:
        """A process that was forked for it has an output of its own; else the agent's is the one of its boot."""
        boot = self._agent.boots
        self._ids[boot, self._begun] = invocation
        self._last_ids.append((boot, invocation))
        while len(self._ids) > KEPT_IDS:
            del self._ids[next(iter(self._ids))]

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        boot, number = printer
        if number > 0:
            return self._ids.get(printer) == invocation
        return (boot, invocation) in self._last_ids

    def finish(self, connection: DataConnection, *, reusable: bool, error: FnctlError | None) -> None:
        self.in_flight -= 1
        self.idle_since = self._clock()
        if self._life.state is State.DEAD:
            return
        connection.close()
        if error is not None and error.code in ENDING:
            self._instance.drain(ENDING[error.code])
        elif self._once:
            self._instance.end(Death.USED)
        elif self._life.state is State.DRAINING:
            self._instance.drain(self._life.death or Death.REPLACED)
        else:
            self._make_next(answered=reusable)

    def _make_next(self, *, answered: bool) -> None:
        """`answered`, and it has not said that it ends with that: it may work on, up to the deadline."""
        if not self._is_over():
            grace = self.idle_since + GRACE_S
            self._cut_at = max(self._deadline, self.idle_since) if answered else grace
            self._cut_later()
        if self._forks:
            self.settle()
        else:
            self._recycle_when_exited()

    def _is_over(self) -> bool:
        """Whether the process of the last invocation is known to have ended."""
        return self._ended == self.served

    # -- a process that does not end -------------------------------------------------------------------------------

    def _cut_later(self) -> None:
        """One timer at a time: most processes have ended before it fires, and it is not worth being cancelled."""
        if self._cutter is not None:
            if self._cutter.when() <= asyncio.get_running_loop().time() + self._cut_at - self._clock():
                return
            self._cutter.cancel()
        wait_s = max(0.0, self._cut_at - self._clock())
        self._cutter = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        """Not busy any more: it has ended, and what runs by now is the next process on its way up.

        Where the agent forks, the template goes with it: it may be that which was stopped.
        """
        self._cutter = None
        if self._life.state is not State.BUSY or self.in_flight or self._is_over() or self._killed:
            return
        now = self._clock()
        if self._cut_at <= now < self._deadline and self._instance.conversation.behind:
            self._cut_at = min(now + GRACE_S, self._deadline)  # it cannot end before we have read what it prints
        if now >= self._cut_at:
            self._kill()
        else:
            self._cut_later()

    # -- the next process ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Offer the next process's connection: it is there, the last invocation is over, and its remains are gone."""
        if self._instance.held or self._killed or self._next is None or not self._life.takes_requests:
            return
        if self.in_flight or not self._clean:
            return
        self._life.state = State.IDLE
        connection, self._next = self._next, None
        self._instance.offer(connection)

    def _is_worn(self) -> bool:
        """Whether another template would soon have paid for itself."""
        return self._agent.booted_ahead and self.served >= WORN_AFTER and bool(self._code.runtime.template)

    def _kill(self) -> None:
        self._killed = True
        self._instance.conversation.kill()
        self._recycle_when_exited()

    def _recycle_when_exited(self) -> None:
        if self._recycling is None or self._recycling.done():
            self._recycling = asyncio.ensure_future(self._recycle())

    async def _recycle(self) -> None:
        """Down to the supervisor and up again: a fresh process for the next invocation, in the same wiped sandbox."""
        instance, code = self._instance, self._code
        try:
            if self._agent.exits.last is None:
                await self._exited()
            self._agent.exits.forget()
            self._forget_boot()
            self._life.move(State.BASE)
            await instance.boot(code.runtime, template=True)
            self._clean = True
            await instance.load(code, code.function.timeout_s)
        except FnctlError:
            instance.end(Death.LOAD_FAILED)

    async def _exited(self) -> None:
        while True:
            cut_at = self._cut_at
            patience_s = max(0.0, cut_at - self._clock()) + AGENT_END_S
            try:
                await self._instance.conversation.exited(patience_s, "the agent to end after its one invocation")
            except FnctlError:
                if self._cut_at == cut_at:
                    raise
            else:
                return

    def _forget_boot(self) -> None:
        """The agent has ended, and every process with it: nothing that came from one of them is used."""
        self._killed, self._next = False, None
        self._taken = self._begun = 0
        for connection in list(self.connections):
            connection.close()

    # -- told by the instance --------------------------------------------------------------------------------------

    def loaded(self, message: Mapping[str, Any]) -> None:
        self._forks = bool(message.get("fork"))

    def end_expected(self, *, oom: bool) -> bool:
        """We asked for it, or it has served its one invocation."""
        return self._killed or (not self._forks and self._life.state is State.BUSY and not oom)

    def process_ended(self) -> None:
        """Killed, it will not say what it used, and the next one's figures must not stand in."""
        self._over(Figure(own=self._forks, cut=self._killed))

    def _over(self, figure: Figure) -> None:
        if not self._is_over():
            self._ended = self.served
            self._figures.append(figure)

    def agent_hung_up(self) -> None:
        """What is connected by now may be anybody's."""
        self._left, self._next = True, None

    def done(self, message: Mapping[str, Any], oom_killed: Callable[[], bool]) -> None:
        if not self._forks or self._clean:
            raise ProtocolError("`done` without an invocation")
        self._clean = True
        self._over(Figure(amount(message, "cpu_ms"), amount(message, "peak_kb") / 1024))
        if message.get("code") or message.get("signal"):
            oom = message.get("signal") == 9 and oom_killed()
            self._agent.exits.last = {**message, "oom": True} if oom else message
        self._agent.exits.tell()
        if not self._is_worn():
            self.settle()
        elif self._life.state is State.BUSY and not self.in_flight:
            self._kill()  # for a template that was not booted ahead

    def close(self) -> None:
        super().close()
        if self._cutter is not None:
            self._cutter.cancel()
        if self._recycling is not None:
            self._recycling.cancel()

    # -- its connections -------------------------------------------------------------------------------------------

    def data_lost(self, connection: DataConnection) -> None:
        if self._next is connection:
            self._next = None
        super().data_lost(connection)

    def _expects(self, transport: BaseTransport) -> bool:
        """One for each invocation, and none ahead of it. After the first of a boot, code that was called is about, too:
        then only what the agent has dialled itself counts, for the process that it forks next."""
        if self._left or self._taken > self._begun or self._life.state not in _SERVING:
            return False
        return self._begun == 0 or (self._forks and self._instance.place.is_agents(transport))

    def _connected(self, connection: DataConnection) -> None:
        # it may overtake `loaded` or `done`, which travel on another socket: offered when those are here
        self._taken += 1
        self._next = connection
        self.settle()

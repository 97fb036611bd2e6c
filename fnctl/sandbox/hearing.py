"""What a sandbox says over its link, held against its state: answers go to who waits for them, news to the owner.

Not what the host says, nor the waits: conversation.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from fnctl.errors import FnctlError, FunctionError, ProtocolError
from fnctl.model import Function
from fnctl.protocol import messages
from fnctl.sandbox import reports, telling
from fnctl.sandbox.awaited import AwaitedMessages
from fnctl.sandbox.lifecycle import Death, Lifecycle, State
from fnctl.sandbox.loading import load_error

WAITS_FOR = 2000  # characters of what an agent says that it waits for


class AgentNews(Protocol):
    """Who is told what becomes of the agent's process. All calls on the event loop's thread."""

    def started(self) -> None:
        """The supervisor has started it; its hello follows."""
        ...

    def ready(self, runtime: str) -> None:
        """An agent has said hello: the state is `runtime` by now."""
        ...

    def exited(self, message: Mapping[str, Any]) -> None:
        """The supervisor says how the agent ended, and that everything else in the sandbox is gone."""
        ...

    def hung_up(self) -> None:
        """Its connection has ended: it says no more, and no other process can speak in its place."""
        ...


class ConversationOwner(Protocol):
    """Who is told the other news of the sandbox (its instance). All calls on the event loop's thread."""

    def invocation_done(self, message: Mapping[str, Any]) -> None:
        """A forking agent says how an invocation's process ended. ProtocolError where there was none."""
        ...

    def logged(self, invocation: str | None, text: str) -> None: ...

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool: ...

    def verdict(self) -> FnctlError:
        """What the end of the sandbox says about whatever was waited for."""
        ...

    def end(self, why: Death) -> None: ...


class Hearing:
    """(LinkOwner) Of one sandbox. Raises ProtocolError for a message that is unknown or out of order: a breach."""

    def __init__(self, life: Lifecycle, owner: ConversationOwner, agent: AgentNews, awaited: AwaitedMessages) -> None:
        self._life = life
        self._owner = owner
        self._agent = agent
        self._awaited = awaited
        self.secret = ""  # that the agent of the last boot was given, and has to say in its hello
        self.waits_for = ""  # (loading) what the agent says that it waits for
        self._loading: Function | None = None  # the function that an agent was told to load last
        self._last_lines: deque[str] = deque(maxlen=telling.KEPT)  # (loading) of its output

    def expect_load(self, function: Function) -> None:
        """The agent is about to be told to load it."""
        self._loading = function

    def said(self, role: str, message: Mapping[str, Any]) -> None:
        op = message["op"]
        heard = _HEARD.get((role, op))
        if heard is None:
            raise ProtocolError(f"an unknown message `{op}`")
        heard(self, message)

    def _supervisor_hello(self, message: Mapping[str, Any]) -> None:
        if message.get("protocol") != messages.VERSION or self._life.state is not State.STARTING:
            raise ProtocolError("a hello out of order, or of another protocol version")
        self._life.move(State.BASE)
        self._awaited.resolve("supervisor", message)

    def _supervisor_error(self, message: Mapping[str, Any]) -> None:
        error = FunctionError(f"the supervisor reported an error: {reports.text(message, 'message')}"[:500])
        for name in ("agent", "loaded"):
            self._awaited.fail(name, error)

    def _started(self, message: Mapping[str, Any]) -> None:
        self._agent.started()

    def _exited(self, message: Mapping[str, Any]) -> None:
        self._agent.exited(reports.ending(message))

    def _agent_hello(self, message: Mapping[str, Any]) -> None:
        if message.get("protocol") != messages.VERSION or self._life.state is not State.BASE:
            raise ProtocolError("an agent's hello out of order, or of another protocol version")
        if message.get("boot") != self.secret:
            raise ProtocolError("a hello that is not of the agent that was booted")
        self._life.move(State.RUNTIME)
        self._agent.ready(reports.text(message, "runtime"))
        self._awaited.resolve("agent", message)

    def _cache_read(self, message: Mapping[str, Any]) -> None:
        if self._life.state is not State.RUNTIME or "ahead" not in self._awaited:
            raise ProtocolError("`ahead` without having been asked")
        self._awaited.resolve("ahead", message)

    def _loaded(self, message: Mapping[str, Any]) -> None:
        if self._life.state is not State.LOADING or "loaded" not in self._awaited:
            raise ProtocolError("`loaded` without a load")
        self._awaited.resolve("loaded", message)

    def _waiting(self, message: Mapping[str, Any]) -> None:
        if self._life.state is not State.LOADING:
            raise ProtocolError("`waiting` without a load")
        self.waits_for = reports.text(message, "for")[:WAITS_FOR]

    def _load_failed(self, message: Mapping[str, Any]) -> None:
        if self._life.state is not State.LOADING or self._loading is None:
            raise ProtocolError("`load_failed` without a load")
        # what it printed before was sent before, on another socket that may be read only after this one
        asyncio.get_running_loop().call_soon(self._fail_load, self._loading, message)

    def _fail_load(self, function: Function, message: Mapping[str, Any]) -> None:
        self._awaited.fail("loaded", load_error(function, message, telling.telling(list(self._last_lines))))

    def _done(self, message: Mapping[str, Any]) -> None:
        self._owner.invocation_done(reports.ending(message))

    def hung_up(self, role: str) -> None:
        if role == "supervisor":
            self._owner.end(self._life.death or Death.LOST)
        else:
            self._agent.hung_up()

    def breach(self, error: ProtocolError) -> None:
        self._owner.end(Death.BREACH)

    def logged(self, invocation: str | None, text: str) -> None:
        if self._life.state is State.LOADING and text:
            self._last_lines.append(text)
        self._owner.logged(invocation, text)

    def carries(self, invocation: str, printer: tuple[int, int]) -> bool:
        return self._owner.carries(invocation, printer)


_HEARD: dict[tuple[str, str], Callable[[Hearing, Mapping[str, Any]], None]] = {
    ("supervisor", "hello"): Hearing._supervisor_hello,
    ("supervisor", "started"): Hearing._started,
    ("supervisor", "exited"): Hearing._exited,
    ("supervisor", "error"): Hearing._supervisor_error,
    ("agent", "hello"): Hearing._agent_hello,
    ("agent", "ahead"): Hearing._cache_read,
    ("agent", "loaded"): Hearing._loaded,
    ("agent", "waiting"): Hearing._waiting,
    ("agent", "load_failed"): Hearing._load_failed,
    ("agent", "done"): Hearing._done,
}

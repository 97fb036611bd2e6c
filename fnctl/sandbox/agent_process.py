"""The agent of one sandbox, as its instance knows it: which boot it is of, and how it ended. Not what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from fnctl.errors import FnctlError
from fnctl.sandbox.conversation import Conversation
from fnctl.sandbox.exit_news import EXIT_NEWS_S, ExitNews
from fnctl.sandbox.lifecycle import Death, Lifecycle, State
from fnctl.sandbox.placement import Usage
from fnctl.sandbox.serving import Serving

NEWS_GAP_S = 0.05  # two messages sent at once on two sockets are both here by then


class AgentHost(Protocol):
    """The instance, as its agent's process needs it."""

    life: Lifecycle
    conversation: Conversation
    serving: Serving
    usage: Usage | None

    def verdict(self) -> FnctlError: ...

    def end(self, why: Death) -> None: ...


class AgentProcess:
    """(AgentNews) An end that nobody asked for ends the instance, with the reason that fits."""

    def __init__(self, instance: AgentHost) -> None:
        self._instance = instance
        self.runtime: str | None = None  # of the agent that runs
        self.booted_ahead = False  # it was booted for any function
        self.boots = 0
        self.exits = ExitNews()
        self._exited = 0  # up to which boot the agent is known to have ended
        self._oom_kills = 0

    def booting(self, *, ahead: bool) -> None:
        """The supervisor is about to be told to start one."""
        self.boots += 1
        self.booted_ahead = ahead

    # -- told by its sandbox (AgentNews) ---------------------------------------------------------------------------

    def started(self) -> None:
        self.exits.forget()

    def ready(self, runtime: str) -> None:
        self.runtime = runtime

    def exited(self, message: Mapping[str, Any]) -> None:
        instance = self._instance
        self.exits.last = message
        self._exited = self.boots
        if instance.life.state is State.DEAD:  # as it was asked to
            instance.conversation.agent_gone(message, instance.verdict())
            return
        instance.serving.process_ended()
        oom = message.get("signal") == 9 and not instance.serving.asked_to_end and self.killed_for_memory()
        expected = instance.serving.end_expected(oom=oom)
        if not expected:
            instance.life.death = Death.OOM if oom else Death.CRASHED
        self.exits.tell()
        instance.conversation.agent_gone(message, instance.verdict())
        if instance.life.state is State.LOADING and not oom:
            # `load_failed` says more, and travels on another socket
            asyncio.get_running_loop().call_later(NEWS_GAP_S, self._ended_loading)
        elif not expected:
            instance.end(instance.life.death or Death.CRASHED)

    def hung_up(self) -> None:
        """The supervisor's news of its exit follow. Where none come, it lives and cannot be spoken to: it is ended."""
        instance = self._instance
        if instance.life.state is not State.DEAD and not instance.serving.end_expected(oom=False):
            instance.serving.agent_hung_up()
            asyncio.get_running_loop().call_later(EXIT_NEWS_S, self._end_without_news, self.boots)

    def _end_without_news(self, boot: int) -> None:
        if boot == self.boots and self._exited < boot:
            self._instance.end(self._instance.life.death or Death.CRASHED)

    def _ended_loading(self) -> None:
        self._instance.conversation.load_ended(self._instance.verdict())
        self._instance.end(Death.LOAD_FAILED)

    def killed_for_memory(self) -> bool:
        """Whether the kernel has killed for memory in this sandbox since the last look."""
        usage = self._instance.usage
        if usage is None:
            return False
        before, self._oom_kills = self._oom_kills, usage.oom_kills()
        return self._oom_kills > before

"""The end of a program that was told to end: how long it may take, and what is said of it. Not the telling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fnctl.errors import FnctlError
from fnctl.sandbox.conversation import Conversation


class Farewell:
    """From the moment the program was told (`Conversation.stop`). `wait` once; `told` is for its log, after that."""

    def __init__(self, conversation: Conversation, grace_s: float, clock: Callable[[], float]) -> None:
        self._conversation = conversation
        self._grace_s = grace_s
        self._clock = clock
        self._since = clock()
        self._hurried = False
        self.told = ""

    def hurry(self, why: FnctlError) -> None:
        """The program gets no more time."""
        self._hurried = True
        self._conversation.give_up(why)

    async def wait(self, exited: Mapping[str, Any] | None) -> None:
        """Until the program has ended, the grace is over, or there is no more time. `exited`: how it has, by now."""
        if exited is None and not self._hurried:
            exited = await self._conversation.stopped(self._grace_s)
        took_ms = (self._clock() - self._since) * 1000
        if exited is not None:
            how = f"signal {exited['signal']}" if exited.get("signal") else f"exit code {exited.get('code', 0)}"
            self.told = f"program ended {took_ms:.0f} ms after SIGTERM, {how}"
        elif self._hurried:
            self.told = "program killed: fnctl stops now"
        else:
            self.told = f"program killed: it ran on for {self._grace_s:g} s after SIGTERM (stop_grace)"

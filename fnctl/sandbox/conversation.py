"""What the host says to a sandbox over the link, and its waits for the answers. What is heard: hearing.py. Decides
nothing."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.sandbox.awaited import AwaitedMessages
from fnctl.sandbox.hearing import AgentNews, ConversationOwner, Hearing
from fnctl.sandbox.lifecycle import Lifecycle, State
from fnctl.sandbox.loading import Code, load_message, load_timeout
from fnctl.sandbox.placement import Place

# What was connected before a boot, and is accepted only after it, cannot know the secret that came with it.
BOOT_SECRET = "FNCTL_BOOT"


class Conversation:
    """One sandbox's, from `open` to `close`. Each wait has a deadline; a message out of order is a breach."""

    def __init__(
        self,
        place: Place,
        life: Lifecycle,
        owner: ConversationOwner,
        agent: AgentNews,
        data: Callable[[], asyncio.Protocol],
    ) -> None:
        self._life = life
        self._owner = owner
        self._awaited = AwaitedMessages()
        self._hearing = Hearing(life, owner, agent, self._awaited)
        self._link = place.link(self._hearing, data)

    # -- what the host asks ----------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._link.open()

    async def greeted(self, timeout_s: float) -> None:
        """The supervisor has said hello. It may have, before the engine's own answer is here."""
        if self._life.state is State.STARTING or self._life.state is State.DEAD:
            await self._wait("supervisor", timeout_s, "the sandbox's supervisor to say hello")

    async def boot(self, tier: str, argv: tuple[str, ...], env: Mapping[str, str], timeout_s: float) -> None:
        self._awaited.announce("agent")
        self._hearing.secret = secrets.token_hex(16)
        self._link.boot(argv, {**env, BOOT_SECRET: self._hearing.secret})
        await self._wait("agent", timeout_s, f"the {tier} agent to say hello")

    async def read_cache(self, tier: str | None, timeout_s: float) -> None:
        self._awaited.announce("ahead")
        self._link.read_ahead()
        await self._wait("ahead", timeout_s, f"the {tier} agent to read ahead")

    async def load(self, code: Code, timeout_s: float) -> Mapping[str, Any]:
        """The agent's `loaded`. LoadError, or DeadlineExceeded `load_timeout` with what the agent waits for."""
        self._hearing.expect_load(code.function)
        self._awaited.announce("loaded")
        self._link.load(load_message(code))
        try:
            return await self._wait("loaded", timeout_s, f"{code.function.name} to load")
        except DeadlineExceeded as late:
            raise load_timeout(code.function, timeout_s, self._hearing.waits_for) from late

    def dial(self, count: int) -> None:
        self._link.dial(count)

    def sleep(self) -> None:
        """No request has come for long. The agent has nothing to answer."""
        self._link.sleep()

    @property
    def behind(self) -> bool:
        """What prints in the sandbox waits for us to read it."""
        return self._link.behind

    @property
    def unread(self) -> bool:
        """Something was printed in the sandbox that we have not read to its end."""
        return self._link.unread

    def refused(self) -> None:
        """A data connection that nobody had asked for was turned away."""
        self._link.refused()

    def kill(self) -> None:
        """Only the supervisor can: everything but itself. `AgentNews.exited` follows, where an agent runs."""
        self._link.kill()

    async def exited(self, timeout_s: float, what: str) -> None:
        await self._wait("exited", timeout_s, what)

    async def _wait(self, name: str, timeout_s: float, what: str) -> Mapping[str, Any]:
        if self._life.state is State.DEAD:
            raise self._owner.verdict()
        return await self._awaited.wait(name, timeout_s, what)

    # -- what ends a wait from the host's side -----------------------------------------------------------------------

    def agent_gone(self, message: Mapping[str, Any], why: FnctlError) -> None:
        """The agent has exited: tell who waits for that, and who waits for its hello in vain."""
        self._awaited.resolve("exited", message)
        self._awaited.fail("agent", why)

    def load_ended(self, why: FnctlError) -> None:
        """The agent has exited while it was loading, and has said no more."""
        self._awaited.fail("loaded", why)

    def stop(self, why: FnctlError) -> None:
        """Whoever waits gets `why`; the agent is told to let its program end. `stopped` and `close` follow."""
        self._awaited.fail_all(why)
        self._link.stop()

    async def stopped(self, grace_s: float) -> Mapping[str, Any] | None:
        """How the agent has ended after `stop`; None where it has not within the grace, or cannot say so."""
        try:
            return await self._awaited.wait("exited", grace_s, "the program to end")
        except FnctlError:
            return None

    def give_up(self, why: FnctlError) -> None:
        """There is no point in waiting for the agent's end any longer."""
        self._awaited.fail("exited", why)

    def close(self, why: FnctlError) -> None:
        """Whoever waits gets `why`; the sandbox sees the end of its connections and ends."""
        self._awaited.fail_all(why)
        self._link.close()

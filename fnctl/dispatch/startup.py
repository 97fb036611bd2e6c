"""How one instance comes up for a function: out of the pool or made, its code placed and loaded. Counts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from fnctl.errors import EngineError, FnctlError, LoadError, NoCapacity
from fnctl.model import Function, StartKind
from fnctl.pool.pool import ANSWER_S, Pool
from fnctl.sandbox import secrets
from fnctl.sandbox.instance import Instance, InstanceOwner
from fnctl.sandbox.lifecycle import Death, State
from fnctl.sandbox.loading import Code
from fnctl.sandbox.placement import Placement
from fnctl.tasks import Tasks

LOAD_TIMEOUT_S = 10.0  # at least: a function's own timeout counts where it is longer


@dataclass(frozen=True, slots=True)
class Loaded:
    """The start came to its end: this code is loaded in this instance, which is not offered yet."""

    code: Code
    instance: Instance


@dataclass(frozen=True, slots=True)
class Failed:
    """The start came to nothing; what there was of an instance is ended."""

    code: Code
    error: FnctlError


Outcome = Loaded | Failed
# Makes an instance its owner's, for a start of this kind: the function's site, before code is placed.
Claim = Callable[[Instance, StartKind], None]
LogSink = Callable[[str, str, str | None, str], None]


class Startup:
    """The Starter of every site (site.py), fed from one pool. On the event loop's thread."""

    def __init__(
        self,
        pool: Pool,
        placement: Placement,
        on_log: LogSink,
        clock: Callable[[], float] = time.monotonic,
        load_timeout_s: float = LOAD_TIMEOUT_S,
    ) -> None:
        self._pool = pool
        self._placement = placement
        self._on_log = on_log
        self._clock = clock
        self._load_timeout_s = load_timeout_s
        self._starts = Tasks()

    # -- for waiting requests (Starter) ----------------------------------------------------------------------------

    def take(self, code: Code) -> Instance | None:
        return self._pool.take(code)

    def start(
        self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim, tell: Callable[[Outcome], None]
    ) -> None:
        self._pool.first_call(code)
        self._pool.hold_refills()  # on this very turn: the pool must not refill before it knows
        self._starts.spawn(self._start(code, taken, owner, claim, tell))

    async def _start(
        self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim, tell: Callable[[Outcome], None]
    ) -> None:
        outcome: Outcome
        try:
            outcome = Loaded(code, await self._up(code, taken, owner, claim))
        except FnctlError as error:
            outcome = Failed(code, error)
        finally:
            self._pool.resume_refills()
        tell(outcome)
        if isinstance(outcome, Loaded):
            await asyncio.sleep(ANSWER_S)  # linking a tree holds the interpreter's lock, which that answer needs too
            with contextlib.suppress(OSError):  # of a bundle that was replaced meanwhile; else the next start says so
                await self.make_ready(code)

    # -- for a new version -----------------------------------------------------------------------------------------

    async def load(self, code: Code, owner: InstanceOwner, taken: Instance | None) -> Instance:
        """The taken instance (None: a new one) with this code, claimed for `owner` and held. Raises why not."""
        self._pool.hold_refills()
        try:
            return await self._up(code, taken, owner, lambda instance, kind: instance.claim(owner, kind))
        finally:
            self._pool.resume_refills()

    async def make_ready(self, code: Code) -> None:
        """Have the code ready to be placed."""
        await self._pool.call(self._placement.make_ready, code.bundle)

    async def forget(self, code: Code, successor: Code | None = None) -> None:
        """Nothing is started of it any more; of its successor, from this very turn on."""
        self._pool.forget(code)
        if successor is not None:
            self._pool.expect(successor)
        await self._pool.call(self._placement.forget, code.bundle)

    # -- one start, downwards --------------------------------------------------------------------------------------

    async def _up(self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim) -> Instance:
        """Base or booted or nothing → loaded and held. The instance is ended before an error is raised. One of the pool
        that ended before it was told of the code says nothing of that: another is made in its place."""
        try:
            return await self._brought_up(code, taken, owner, claim)
        except FnctlError:
            if taken is None or taken.code is not None or taken.death is not Death.CRASHED:
                raise
        return await self._brought_up(code, None, owner, claim)

    async def _brought_up(self, code: Code, taken: Instance | None, owner: InstanceOwner, claim: Claim) -> Instance:
        kind = self._kind(taken, code)
        memory_mb = code.function.memory_mb
        instance = taken or await self._pool.sandboxes.create(owner, code.reach, memory_mb)
        claim(instance, kind)
        try:
            await asyncio.gather(self._load(instance, code), self._configure(instance, code.function, taken is None))
        except EngineError as error:
            instance.end(Death.LOST)
            raise NoCapacity(f"no instance: {error.message}", hint=error.hint, retry_after_s=2) from error
        except OSError as error:  # its code could not be placed: a full disk, or a bundle that was removed
            instance.end(Death.LOST)
            raise NoCapacity(f"no instance: {error.strerror or error}", retry_after_s=2) from error
        except FnctlError as error:
            instance.end(Death.LOAD_FAILED)
            if isinstance(error, LoadError) and error.detail:
                self._on_log(code.function.name, instance.id, None, error.detail)
            raise
        return instance

    @staticmethod
    def _kind(taken: Instance | None, code: Code) -> StartKind:
        if taken is None:
            return StartKind.COLD
        return StartKind.RUNTIME if taken.agent.runtime == code.runtime.tier else StartKind.BASE

    async def _load(self, instance: Instance, code: Code) -> None:
        if not instance.place.put_ready(code.bundle):
            await self._pool.call(instance.place.put, code.bundle)
        if code.function.secrets:
            await self._pool.call(secrets.give, code.function, instance.place)
        await instance.prepared()
        if instance.state is State.BASE:
            await instance.boot(code.runtime)
        limit_s = self._pool.sandboxes.pace.deadline(self._load_timeout_s)
        await instance.load(code, max(limit_s, code.function.timeout_s))

    async def _configure(self, instance: Instance, function: Function, made_for_it: bool) -> None:
        """What the engine has to change on a pooled sandbox, beside the load; the rest counts as container."""
        assert instance.sandbox is not None
        sandbox, engine, began = instance.sandbox, self._pool.sandboxes.engine, self._clock()
        memory = None if made_for_it or function.memory_mb == self._pool.settings.memory_mb else function.memory_mb
        changed = memory is not None or function.cpus is not None
        if changed and not instance.place.limit(memory, function.cpus):
            await self._pool.call(lambda: engine.update(sandbox, memory_mb=memory, cpus=function.cpus))
        if instance.life.takes_requests:
            instance.start.configured((self._clock() - began) * 1000)

    async def close(self) -> None:
        """Let go of every start that is under way. The pool ends the instances."""
        await self._starts.cancel()

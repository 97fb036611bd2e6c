"""What is done in pooled instances ahead of any request: runtimes are booted, bundles' caches read. Not what is wanted
(wanted.py), nor who is given away."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from fnctl.errors import FnctlError
from fnctl.model import Bundle, Reach, RuntimeSpec
from fnctl.pool.wanted import Wanted
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import Death, State


class Preparations:
    """`begin` starts what is wanted and lacking, each in a task of its instance; an instance in which that fails is
    ended. `changed` is called when one is over, and when it is time to begin again."""

    def __init__(
        self,
        wanted: Wanted,
        clock: Callable[[], float],
        call: Callable[..., Awaitable[None]],
        changed: Callable[[], None],
        troubled: Callable[[FnctlError], None],
    ) -> None:
        """`call`: makes a blocking call off the loop. `troubled`: told why a runtime could not be booted."""
        self._wanted = wanted
        self._clock = clock
        self._call = call
        self._changed = changed
        self._troubled = troubled
        self._called_at = -math.inf  # when a first call came last
        self._calm_timer: asyncio.TimerHandle | None = None

    def first_call(self) -> None:
        """A request found no loaded instance of its function."""
        self._called_at = self._clock()

    def begin(self, members: Sequence[Instance], calm_s: float) -> None:
        """`calm_s`: how long no first call must have come before a runtime is booted."""
        self._boot_ahead(members, calm_s)
        for member, bundle in self._wanted.unread(members):
            assert member.agent.runtime is not None
            member.preparation.begin(member.agent.runtime, self._read(member, bundle), cache_of=bundle.digest)

    def close(self) -> None:
        """Nothing is begun by itself any more."""
        if self._calm_timer is not None:
            self._calm_timer.cancel()

    def _boot_ahead(self, members: Sequence[Instance], calm_s: float) -> None:
        """Where first calls follow each other, the next one is here before such a boot has paid: it is lean then, and
        made for the call."""
        unbooted = self._wanted.unbooted(members)
        if unbooted and (left := self._called_at + calm_s - self._clock()) > 0:
            self._look_again_in(left)
            return
        for spec, reach in unbooted:
            if (bare := _bare(members, reach)) is not None:
                bare.preparation.begin(spec.tier, self._boot(bare, spec))

    def _look_again_in(self, seconds: float) -> None:
        self.close()
        self._calm_timer = asyncio.get_running_loop().call_later(seconds, self._changed)

    async def _boot(self, member: Instance, spec: RuntimeSpec) -> None:
        try:
            await member.boot(spec, ahead=True)
        except FnctlError as error:
            self._troubled(error)
            member.end(Death.CRASHED)
        finally:
            self._changed()

    async def _read(self, member: Instance, bundle: Bundle) -> None:
        try:
            await self._call(member.place.put_cache, bundle)
            await member.read_cache()
        except (FnctlError, OSError):
            self._wanted.unreadable(bundle.digest)
            member.end(Death.CRASHED)
        finally:
            self._changed()


def _bare(members: Sequence[Instance], reach: Reach) -> Instance | None:
    """The oldest of this reach that has no runtime, and is about to have none."""
    fit = (m for m in members if m.reach == reach and m.state is State.BASE and not m.preparation.under_way)
    return next(fit, None)

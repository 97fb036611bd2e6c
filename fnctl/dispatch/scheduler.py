"""The scheduler: admits invocations (Admission, dispatch/admission.py) to the sites of the functions that are known."""

from __future__ import annotations

import time
from collections.abc import Callable

from fnctl.dispatch.admission import Lease, Waiter
from fnctl.dispatch.growth import Processors
from fnctl.dispatch.site import Site
from fnctl.dispatch.startup import LOAD_TIMEOUT_S, LogSink, Startup
from fnctl.errors import EngineError, FnctlError, NotFound
from fnctl.model import Reach, SiteKey
from fnctl.pool.pool import Pool
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import Death
from fnctl.sandbox.loading import Code
from fnctl.sandbox.placement import Placement


class Scheduler:
    """One site for each version of a function that runs at the same time, all fed from one pool. On the event loop's
    thread."""

    def __init__(
        self,
        pool: Pool,
        placement: Placement,
        on_log: LogSink,
        clock: Callable[[], float] = time.monotonic,
        load_timeout_s: float = LOAD_TIMEOUT_S,
        processors: Processors | None = None,
    ) -> None:
        """`processors`: what instances run on; None where that is not known, and growth is bounded by `scale` alone."""
        self.sites: dict[SiteKey, Site] = {}
        self._pool = pool
        self._startup = Startup(pool, placement, on_log, clock, load_timeout_s)
        self._on_log = on_log
        self._clock = clock
        self._processors = processors

    # -- Admission -------------------------------------------------------------------------------------------------

    def try_acquire(self, site: SiteKey) -> Lease | None:
        found = self.sites.get(site)
        if found is None:
            raise _unknown(site)
        return found.take()

    def enqueue(self, site: SiteKey, ready: Callable[[Lease | FnctlError], None]) -> Waiter:
        found = self.sites.get(site)
        if found is None:
            raise _unknown(site)
        return found.enqueue(ready)

    # -- what is deployed ------------------------------------------------------------------------------------------

    async def deploy(self, code: Code, *, prove: bool = False) -> bool:
        """Make a function, or a new version of one, known. A new version is loaded in a fresh instance before it takes
        over; LoadError leaves the old one serving. True: it was loaded (see `load`)."""
        fresh = await self.load(code, prove=prove)
        old = self.swap(code, fresh)
        await self.settle(code, old)
        return fresh is not None

    async def load(self, code: Code, *, prove: bool = False) -> Instance | None:
        """An instance with the new version loaded, held for `swap`; end it where that does not come. None where the
        function has no instance now: its next request loads the code. `prove`: even then, if the pool has one to give.

        Raises why it did not load."""
        site = self.sites.get(code.site)
        if site is None or (not site.instances and not prove):
            return None
        taken = self._startup.take(code)
        if taken is None and not site.instances:
            return None
        return await self._startup.load(code, site, taken)

    def swap(self, code: Code, fresh: Instance | None) -> Code | None:
        """Let a version take over on this turn of the loop; the code before it. `settle` follows."""
        site = self.sites.get(code.site)
        if site is None:
            self.sites[code.site] = Site(code, self._startup, self._clock, self._on_log, self._processors)
            return None
        old = site.code
        if fresh is not None:
            site.replace(code, fresh)
        else:
            site.renew(code)
            site.retire(Death.REPLACED)  # what came up meanwhile
        return old

    def adjust(self, code: Code) -> None:
        """The same code in the same instances; only what the scheduler itself goes by is another: bounds, idleness."""
        self.sites[code.site].code = code

    async def settle(self, code: Code, old: Code | None = None) -> None:
        """Let go of the code before, and be ready to start the new one."""
        if old is not None and _kept_by(old) != _kept_by(code):
            await self._startup.forget(old, code)
        else:
            self._pool.expect(code)
        await self._startup.make_ready(code)
        self.sites[code.site].fill()

    async def withdraw(self, key: SiteKey) -> None:
        """A function, or one version of it, is no longer part of the project."""
        if (site := self.sites.pop(key, None)) is not None:
            site.close()
            site.fail_waiters(_unknown(key))
            site.retire(Death.REPLACED)
            await self._startup.forget(site.code)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Refuse what waits, and let go of everything that is on its way. The pool ends the instances."""
        for site in self.sites.values():
            site.close()
            site.fail_waiters(EngineError("fnctl is stopping", code="stopping", retry_after_s=1))
        await self._startup.close()


def _kept_by(code: Code) -> tuple[str, str, Reach]:
    """What the pool reads ahead, and keeps ready, is this."""
    return code.bundle.digest, code.runtime.tier, code.reach


def _unknown(site: SiteKey) -> NotFound:
    which = f" with a version {site.alias}" if site.alias else ""
    return NotFound(f"no function named {site.function}{which}", hint="`fnctl ps` lists the running functions")

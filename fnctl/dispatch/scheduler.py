"""The scheduler: admits invocations (Admission, dispatch/admission.py) to the sites of the functions that are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from fnctl.dispatch.admission import Lease, Waiter
from fnctl.dispatch.growth import Processors
from fnctl.dispatch.site import Listening, Site
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
        self.sites: dict[SiteKey, Site] = {}  # each under the key of its code
        self._asked: dict[SiteKey, Site] = {}  # the same, and those that serve who asks for no version
        self._pool = pool
        self._startup = Startup(pool, placement, on_log, clock, load_timeout_s)
        self._on_log = on_log
        self._clock = clock
        self._processors = processors

    # -- Admission -------------------------------------------------------------------------------------------------

    def try_acquire(self, site: SiteKey) -> Lease | None:
        found = self._asked.get(site)
        if found is None:
            raise _unknown(site)
        return found.take()

    def enqueue(self, site: SiteKey, ready: Callable[[Lease | FnctlError], None]) -> Waiter:
        found = self._asked.get(site)
        if found is None:
            raise _unknown(site)
        return found.enqueue(ready)

    def current(self, function: str) -> Site | None:
        """Who serves calls of it that ask for no version."""
        return self._asked.get(SiteKey(function))

    def all_current(self) -> dict[str, Site]:
        """By function."""
        return {key.function: site for key, site in self._asked.items() if not key.alias}

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
            self._add(code)
            return None
        old = site.code
        if fresh is not None:
            site.replace(code, fresh)
        else:
            site.renew(code)
            site.retire(Death.REPLACED)  # what came up meanwhile
        return old

    def _add(self, code: Code) -> Site:
        made = Site(code, self._startup, self._clock, self._on_log, self._processors)
        self.sites[code.site] = self._asked[code.site] = made
        return made

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
            self._asked.pop(key, None)
            site.close()
            heir = self.current(key.function)
            if heir is not None and heir is not site:
                site.hand_over(heir)
            site.fail_waiters(_unknown(key))
            site.retire(Death.REPLACED)
            await self._forget(site.code)

    # -- versions beside each other --------------------------------------------------------------------------------

    async def add(self, code: Code, listening: Listening | None = None) -> Site:
        """A version under a key of its own, with an instance of it loaded. It is asked by that key alone, until
        `point`. `listening` gets what it prints.

        Raises why it did not load; then nothing is left of it."""
        site = self._add(code)
        site.listening = listening
        try:
            await self.wake(code)
            await self._startup.make_ready(code)
        except BaseException:
            await self.withdraw(code.site)
            raise
        return site

    async def wake(self, code: Code) -> None:
        """Have an instance of it, loaded. Raises why there is none."""
        site = self.sites[code.site]
        if not any(one.life.takes_requests for one in site.instances):
            fresh = await self._startup.load(code, site, self._startup.take(code))
            site.instances[fresh] = None
            fresh.release()

    def point(self, codes: Mapping[str, Code]) -> None:
        """Who asks for no version gets these from this turn of the loop on, and no other function. Their sites are
        there (`add`, `deploy`), under keys of their own. What the sites before have begun, and what waits for them,
        ends there. `rest` follows."""
        for name in self.all_current().keys() - codes.keys():
            del self._asked[SiteKey(name)]
        for name, code in codes.items():
            site = self.sites[code.site]
            site.code = code  # the same in its instances; the bounds may be others
            self._asked[SiteKey(name)] = site

    async def rest(self, kept: Iterable[SiteKey], served: Iterable[SiteKey]) -> None:
        """`served` are started as they are asked for; `kept` only wait to be pointed at again, with an instance each;
        all others are withdrawn."""
        there, served = {*kept}, {*served}
        for key, site in list(self.sites.items()):
            if key in served:
                site.standby = False
                self._pool.expect(site.code)
                site.fill()
            elif key in there:
                site.standby = True
                self._pool.forget(site.code)
            else:
                await self.withdraw(key)

    async def _forget(self, code: Code) -> None:
        """Nothing is started of it any more. Another version may have the same bundle."""
        if all(site.code.bundle.digest != code.bundle.digest for site in self.sites.values()):
            await self._startup.forget(code)
        else:
            self._pool.forget(code)

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

"""Which versions of a release are loaded, and which of them serves. Not where they come from (installation.py).

    choose ──> stage: what no loaded version has is loaded beside, and probed ──> switch: on one turn of the loop

The version before the one that serves stays: its routes made, an instance of each of its functions loaded or asleep.
To go back is to switch to it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from fnctl.control import changes as changed
from fnctl.control.alias_shares import shares
from fnctl.control.begun import Begun, busy
from fnctl.control.canary import CanaryFailed, Rules, Trial
from fnctl.control.change_lock import Turns
from fnctl.control.changes import Applied, Change
from fnctl.control.installation import Candidate, Installation
from fnctl.control.later import Later
from fnctl.control.prepare import Prepared
from fnctl.control.probing import probe
from fnctl.control.run import Run
from fnctl.control.updates import PolicyOf, Updates
from fnctl.control.versions import Alias, Version
from fnctl.errors import FnctlError, UsageError
from fnctl.model import SiteKey
from fnctl.progress import Silent
from fnctl.sandbox import secrets
from fnctl.sandbox.loading import Code
from fnctl.store.port import StoreUnavailable
from fnctl.triggers.http.routes import Routes, Shares

Choose = Callable[[Installation], Candidate]  # blocking; FnctlError where there is none
LINES = 20  # of what a version prints while it is tried, for the error


@dataclass(frozen=True, slots=True)
class Live:
    """A version that is loaded. `marks`: of its functions' secrets. `routes`: to the current versions, once it is that;
    `own`: to this version's sites, whichever is current."""

    prepared: Prepared
    marks: Mapping[str, bytes]
    routes: Routes
    own: Routes

    @property
    def sites(self) -> frozenset[SiteKey]:
        return frozenset(code.site for code in self.prepared.codes)


@dataclass(frozen=True, slots=True)
class _Chosen:
    candidate: Candidate
    marks: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Staged:
    live: Live
    changes: Mapping[str, Change]
    removed: tuple[str, ...]


def tagged(prepared: Prepared, tag: str) -> Prepared:
    """With its functions under keys of their own, so that another version has room beside it."""
    return replace(prepared, codes=tuple(replace(code, alias=tag) for code in prepared.codes))


def _live(prepared: Prepared, marks: Mapping[str, bytes], names: frozenset[bytes] | None) -> Live:
    """ConfigError where two functions claim the same requests."""
    functions = [code.function for code in prepared.codes]
    sites = {code.function.name: code.site for code in prepared.codes}
    return Live(prepared, marks, Routes(functions, names), Routes(functions, names, sites))


class Deployments:
    """On the event loop's thread. `open` before requests come."""

    def __init__(
        self,
        run: Run,
        routes: Routes,
        updates: Updates,
        installation: Installation,
        policy: PolicyOf,
        names: frozenset[bytes] | None,
        later: Later | None = None,
    ) -> None:
        """What `updates` serves is the current version of `installation`, and its codes are `tagged`. `names`: hosts to
        answer for (Routes). `later`: what is made later, each in its version."""
        self._run = run
        self._routes = routes
        self._updates = updates
        self._installation = installation
        self._policy = policy
        self._names = names
        self._trial: Trial | None = None
        self._turns = Turns()
        self._tags = itertools.count(2)
        prepared = updates.prepared
        marks = {code.function.name: secrets.mark(code.function) for code in prepared.codes}
        self._history = installation.history()
        self._current = self._history.current
        self._live = {self._current: _live(prepared, marks, names)}
        self._failed: dict[int, str] = {}  # of those that are to be loaded: why they are not
        self._later = later
        self.begun = Begun(
            lambda: self._history,
            lambda: {number: each.prepared for number, each in self._live.items()},
            self._load_alone,
        )
        if later is not None:
            later.pin(self.begun)
            later.tidied = self.sweep

    async def open(self) -> None:
        """Load what aliases stand for, and what something open began in. What does not load is in `failed`: the others
        serve, and an alias of it alone answers why."""
        async with self._turns.alone():
            self._history = await self._run.pool.call(self._installation.history)
            await self._load_held()
            await self._settle()

    async def _load_held(self) -> None:
        for number in sorted((self._history.held | self._history.busy) - self._live.keys()):
            try:
                await self._load_version(number)
            except FnctlError as error:
                if self._failed.get(number) != error.message:
                    await self._run.pool.call(self._installation.tell, number, f"does not load: {error.message}")
                self._failed[number] = error.message

    async def sweep(self) -> None:
        """Now and then: let go of versions that nothing holds any more, and try again what did not load."""
        async with self._turns.alone():
            await self._refresh()
            await self._load_held()
            await self._settle()

    @property
    def failed(self) -> Mapping[int, str]:
        """Versions of aliases that do not load, and why."""
        return self._failed

    async def deploy(self, choose: Choose, path: str = "") -> tuple[Version, Applied]:
        """Let another version take over. Functions that it changes are asked for `health`, else for `path` if there is
        one, before. FnctlError leaves all as it was."""
        async with self._turns.alone():
            return await self._deploy(await self._run.pool.call(self._chosen, choose), path)

    async def back(self, number: int | None) -> tuple[Version, Applied]:
        """To a version of before: at once, where it is loaded and its folder's values are what they were.

        Where one is on trial, that ends, and the one that serves stays."""
        if self._trial is not None and number is None:
            self._trial.end("it was rolled back by hand")
            async with self._turns.alone():
                return self._history.find(self._current), Applied()
        async with self._turns.alone():
            return await self._deploy(await self._run.pool.call(self._chosen, lambda there: self._again(number)), "")

    def _chosen(self, choose: Choose) -> _Chosen:
        """Blocking: all that reads files, in one go."""
        candidate = choose(self._installation)
        functions = [code.function for code in candidate.prepared.codes]
        return _Chosen(candidate, {each.name: secrets.mark(each) for each in functions})

    def _again(self, number: int | None) -> Candidate:
        history = self._installation.history()
        version = history.back() if number is None else history.find(number)
        there = self._live.get(version.number)
        if there is not None:
            return self._installation.loaded(version, there.prepared)
        return self._installation.again(version, Silent())

    async def _deploy(self, chosen: _Chosen, path: str) -> tuple[Version, Applied]:
        candidate = chosen.candidate
        notes = self._updates.notes(candidate.prepared.project)
        staged = await self._stage(candidate.prepared, chosen.marks, path)
        self._switch(staged.live)
        at = self.begun.switched
        version = await self._run.pool.call(self._installation.serves, candidate, at)  # it does, whatever the disk says
        self._current = version.number
        self._live[version.number] = staged.live
        await self._refresh()
        return version, changed.applied(staged.changes, staged.removed, notes)

    async def canary(self, choose: Choose, path: str, rules: Rules) -> tuple[Version, Applied]:
        """Let another version have a share of the calls that ask for no alias, and then all, if it is no worse.

        CanaryFailed, and any other FnctlError, leave all as it was. A rollback meanwhile ends it."""
        async with self._turns.alone():
            chosen = await self._run.pool.call(self._chosen, choose)
            notes = self._updates.notes(chosen.candidate.prepared.project)
            staged = await self._stage(chosen.candidate.prepared, chosen.marks, path, beside=True)
            version = await self._run.pool.call(self._installation.adds, chosen.candidate)
            live = self._live[version.number] = staged.live
            story: list[str] = []
            why = await self._tried(live, rules, story.append)
            await self._run.pool.call(self._installation.tell, version.number, *story)
            if why is None:
                self._switch(live)
                candidate = replace(chosen.candidate, version=version, kept=True)
                await self._run.pool.call(self._installation.serves, candidate, self.begun.switched)
                self._current = version.number
            await self._refresh()
        if why is not None:
            hint = f"version {self._current} serves on; `fnctl releases --show {version.number}` tells the story"
            raise CanaryFailed(f"version {version.number} did not take over: {why}", hint=hint)
        return version, changed.applied(staged.changes, staged.removed, notes)

    async def _tried(self, live: Live, rules: Rules, tell: Callable[[str], None]) -> str | None:
        """Why it failed; None where it passed."""
        share = Shares(((1.0 - rules.share, None), (1.0, live.own)))
        invocations = self._run.invocations
        self._trial = trial = Trial(rules, live.sites)
        await self._run.scheduler.rest({*live.sites, *self._kept()}, {*live.sites, *self._served()})
        self._routes.share({**self._shares(), b"": share})
        invocations.observer = trial.seen
        try:
            return await trial.wait(tell)
        finally:
            self._trial, invocations.observer = None, None
            self._routes.share(self._shares())

    # -- aliases ---------------------------------------------------------------------------------------------------

    async def deploy_to(self, name: str, choose: Choose, path: str) -> tuple[Version, Applied]:
        """Let an alias mean another version; what serves calls without one stays. FnctlError leaves all as it was."""
        async with self._turns.alone():
            chosen = await self._run.pool.call(self._chosen, choose)
            staged = await self._stage(chosen.candidate.prepared, chosen.marks, path, beside=True)
            version = await self._run.pool.call(self._installation.adds, chosen.candidate)
            self._live[version.number] = staged.live
            await self._run.pool.call(self._installation.alias, name, Alias(((version.number, 1.0),)))
            await self._refresh()
        return version, changed.applied(staged.changes, staged.removed, ())

    async def alias(self, name: str, alias: Alias | None) -> None:
        """Let it mean this, None: nothing, when all versions of it are loaded. FnctlError leaves all as it was."""
        async with self._turns.alone():
            await self._run.pool.call(self._installation.history().aliased, name, alias)
            for number, _ in alias.weights if alias is not None else ():
                await self._load_version(number)
            await self._run.pool.call(self._installation.alias, name, alias)
            await self._refresh()

    async def promote(self, word: str) -> tuple[Version, Applied]:
        """The version that an alias gives most calls to, or of this number, serves calls without one."""
        history = await self._run.pool.call(self._installation.history)
        return await self.back(history.meant(word))

    async def _load_version(self, number: int) -> None:
        if number not in self._live:
            chosen = await self._run.pool.call(self._chosen, lambda there: self._again(number))
            staged = await self._stage(chosen.candidate.prepared, chosen.marks, "", beside=True)
            self._live[number] = staged.live
        self._failed.pop(number, None)

    async def _load_alone(self, number: int) -> None:
        async with self._turns.alone():
            await self._load_version(number)

    async def _refresh(self) -> None:
        self._history = await self._run.pool.call(self._installation.history)
        if self._later is not None:
            with suppress(StoreUnavailable):  # then what was busy is taken to be so
                found = busy(self._history, await self._later.open_work())
                self._history = await self._run.pool.call(self._installation.holds, found)
        await self._settle()
        await self._run.pool.call(self._installation.collect)

    def _shares(self) -> dict[bytes, Shares]:
        return shares(self._history.aliases, {number: each.own for number, each in self._live.items()}, self._failed)

    # -- beside what serves ----------------------------------------------------------------------------------------

    async def _stage(
        self, prepared: Prepared, marks: Mapping[str, bytes], path: str, *, beside: bool = False
    ) -> _Staged:
        """Everything that is to take over, loaded and asked. Raises why not; then nothing of it is left. `beside`: what
        serves goes on to."""
        functions = [code.function for code in prepared.codes]
        _live(prepared, marks, self._names)
        if beside and prepared.image != self._updates.prepared.image:
            raise UsageError(
                "this version has another sandbox image than the one that serves: they cannot run beside each other",
                hint="ship both by the same fnctl, with the same runtimes; or `fnctl deploy` it alone",
            )
        serving = self._live[self._current]
        old = {code.function.name: code.function for code in serving.prepared.codes}
        found, removed = changed.compare(old, functions, serving.marks, marks)
        tag, codes, fresh = str(next(self._tags)), list[Code](), list[Code]()
        for code in prepared.codes:
            there = self._same(code, prepared.image, marks[code.function.name])
            made = replace(code, alias=tag) if there is None else replace(there, function=code.function)
            if there is None:
                fresh.append(made)
            if code.function.name in old and made.site not in serving.sites:
                found[code.function.name] = max(found[code.function.name], Change.INSTANCES)
            codes.append(made)
        prepared = replace(prepared, codes=tuple(codes), services=serving.prepared.services)
        await self._load(prepared, fresh, path)
        return _Staged(_live(prepared, marks, self._names), found, removed)

    def _same(self, code: Code, image: str, mark: bytes) -> Code | None:
        """Of a version that is loaded: a code whose instances are what this one's would be."""
        for live in self._live.values():
            for there in live.prepared.codes:
                same = (
                    there.function.name == code.function.name
                    and there.bundle.digest == code.bundle.digest
                    and live.prepared.image == image
                    and live.marks[code.function.name] == mark
                    and changed.change(there.function, code.function) <= Change.RULES
                )
                if same:
                    return there
        return None

    async def _load(self, prepared: Prepared, fresh: list[Code], path: str) -> None:
        run, before = self._run, self._updates.prepared
        lost = [code for code in prepared.codes if code not in fresh]
        if fresh:
            await run.pool.call(run.networks.ensure, [code.function for code in prepared.codes])
            self._suit(prepared)
        # What is loaded already may have been evicted since.
        loads = [*(self._try(code, path) for code in fresh), *(run.scheduler.wake(code) for code in lost)]
        got = await asyncio.gather(*loads, return_exceptions=True)
        failed = [each for each in got if isinstance(each, BaseException)]
        if failed:
            for code in fresh:
                await run.scheduler.withdraw(code.site)
            if fresh:
                self._suit(before)
            raise failed[0]

    def _suit(self, prepared: Prepared) -> None:
        self._run.change(prepared.project, prepared.image, prepared.kinds, self._policy(prepared.kinds))

    async def _try(self, code: Code, path: str) -> None:
        printed: deque[str] = deque(maxlen=LINES)
        site = await self._run.scheduler.add(code, printed.append)
        if asked := code.function.health or path:
            await probe(self._run.invocations, code, asked, printed)
        site.listening = None

    # -- over ------------------------------------------------------------------------------------------------------

    def _switch(self, live: Live) -> None:
        """On one turn of the loop."""
        self.begun.switched = self._later.clock.now() if self._later is not None else time.time()
        self._updates.adopt(live.prepared, live.marks)
        self._routes.become(live.routes)
        self._run.scheduler.point({code.function.name: code for code in live.prepared.codes})
        self._suit(live.prepared)

    async def _settle(self) -> None:
        """What serves, what aliases stand for, and what was before: nothing else stays."""
        held = {*self._history.held, *self._history.busy, self._history.before}
        self._live = {number: each for number, each in self._live.items() if number in held}
        self._failed = {number: why for number, why in self._failed.items() if number in held}
        self._routes.share(self._shares())
        await self._run.scheduler.rest(self._kept(), self._served())

    def _kept(self) -> set[SiteKey]:
        return {key for live in self._live.values() for key in live.sites}

    def _served(self) -> set[SiteKey]:
        numbers = (self._history.held | self._history.busy) & self._live.keys()
        return {key for number in numbers for key in self._live[number].sites}

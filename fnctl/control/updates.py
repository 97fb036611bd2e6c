"""Brings a running stack up to what is on disk: one function's code (an edit), or the whole project (a reload).

A reload is built, loaded and checked beside what serves, and then takes over in one turn of the loop: routes and
functions together. Where any of it fails, everything serves on as it was.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fnctl import catalog
from fnctl.builder import builds
from fnctl.control import changes as changed
from fnctl.control import prepare
from fnctl.control.change_lock import Turns
from fnctl.control.changes import Applied, Change
from fnctl.control.prepare import Prepared, Selection
from fnctl.control.run import Run
from fnctl.errors import UsageError
from fnctl.model import Bundle, Function, Project, RuntimeSpec, SiteKey
from fnctl.policy import PoolPolicy
from fnctl.pool.settings import Kind
from fnctl.progress import Silent
from fnctl.sandbox import secrets
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import Death
from fnctl.sandbox.loading import Code
from fnctl.triggers.http.routes import Routes

Source = Callable[[], Selection]  # reads the project anew; FnctlError where it is not sound. On any thread.
PolicyOf = Callable[[tuple[Kind, ...]], PoolPolicy | None]


class Edit(enum.Enum):
    """What came of an edit."""

    NONE = "none"  # the code is what it was
    LIVE = "live"  # loaded, and serving
    NEXT = "next"  # serving from the next request on, which loads it


@dataclass(frozen=True, slots=True)
class _Read:
    """The project as the disk has it now."""

    selection: Selection
    marks: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Made:
    """What is to take over. `fresh`: the instances that are loaded for it, None where the next request loads."""

    prepared: Prepared
    changes: Mapping[str, Change]
    removed: tuple[str, ...]
    marks: Mapping[str, bytes]
    fresh: Mapping[str, Instance | None]


class Updates:
    """On the event loop's thread. `close` when the instances are gone."""

    def __init__(self, run: Run, routes: Routes, prepared: Prepared, source: Source | None, policy: PolicyOf) -> None:
        self.prepared = prepared
        self._run = run
        self._routes = routes
        self._source = source
        self._policy = policy
        self._turns = Turns()
        self._edits: dict[str, Bundle] = {}  # by digest: what was made since the start, and is in no release
        self._marks: Mapping[str, bytes] = {code.function.name: secrets.mark(code.function) for code in prepared.codes}

    # -- one function's code ---------------------------------------------------------------------------------------

    async def rebuild(self, name: str) -> Edit:
        """Bundle the function's folder as it is and let it take over. BuildError and LoadError leave the old one."""
        async with self._turns.shared():
            try:
                return await self._rebuild(name)
            finally:
                await self._discard()

    async def _rebuild(self, name: str) -> Edit:
        site = self._run.scheduler.sites.get(SiteKey(name))
        if site is None:  # it was removed meanwhile
            return Edit.NONE
        old = site.code
        bundle = await self._run.pool.call(self._edited, old.function, old.runtime, self.prepared)
        self._edits[bundle.digest] = bundle
        if bundle.digest == old.bundle.digest:
            return Edit.NONE
        loaded = await self._run.scheduler.deploy(replace(old, bundle=bundle), prove=True)
        return Edit.LIVE if loaded else Edit.NEXT

    @staticmethod
    def _edited(function: Function, spec: RuntimeSpec, prepared: Prepared) -> Bundle:
        return builds.edited(
            function, engine=prepared.engine, image=prepared.image, spec=spec, project=prepared.project
        )

    async def _discard(self) -> None:
        """Remove bundles that were edits and serve no function any more. Several functions may have one bundle: while
        another is being made, nothing is removed."""
        if not self._turns.others:
            used = {site.code.bundle.digest for site in self._run.scheduler.sites.values()}
            for digest in [digest for digest in self._edits if digest not in used]:
                await self._run.pool.call(builds.discard, self._edits.pop(digest))

    # -- the whole project -----------------------------------------------------------------------------------------

    async def reload(self, *, code: bool) -> Applied:
        """Read the project anew and apply what is another; `code`: look at every function's files, too.

        FnctlError leaves everything as it was."""
        if self._source is None:
            raise UsageError(
                "this service does not serve a folder with source", hint="`fnctl deploy` changes a release"
            )
        async with self._turns.alone():
            read = await self._run.pool.call(self._read, self._source)
            made = await self._make(read, code=code)
            if made.changes or made.removed:
                await self._take_over(made)
            else:
                self._take_workflows(read.selection)
            await self._discard()
        notes = self.notes(read.selection.project)
        return changed.applied(made.changes, made.removed, notes)

    def _read(self, source: Source) -> _Read:
        selection = source()
        secrets.check(selection.functions)
        return _Read(selection, {each.name: secrets.mark(each) for each in selection.functions})

    def adopt(self, prepared: Prepared, marks: Mapping[str, bytes]) -> None:
        """This is what is served now."""
        self.prepared, self._marks = prepared, marks

    def _served(self) -> dict[str, Code]:
        """By function, with the edits since the start."""
        old = {each.function.name: each for each in self.prepared.codes}
        return old | {name: site.code for name, site in self._run.scheduler.all_current().items()}

    async def _make(self, read: _Read, *, code: bool) -> _Made:
        call, old = self._run.pool.call, self._served()
        functions = {name: each.function for name, each in old.items()}
        found, removed = changed.compare(functions, read.selection.functions, self._marks, read.marks)
        build = [each for each in read.selection.functions if code or found[each.name] >= Change.BUNDLE]
        image, bundles = await call(self._build, read.selection, build, found, code)
        codes = tuple(
            Code(each, bundles.get(each.name) or old[each.name].bundle, catalog.runtime_of(each, read.selection.known))
            for each in read.selection.functions
        )
        for each in codes:
            _compare_code(old.get(each.function.name), each, found)
        prepared = replace(
            self.prepared,
            project=replace(read.selection.project, id=self.prepared.project.id),
            image=image,
            codes=codes,
            sandbox=prepare.with_more(self.prepared.sandbox, read.selection.sandbox),
        )
        return await self._stage(prepared, found, removed, read.marks)

    async def _stage(
        self, prepared: Prepared, found: Mapping[str, Change], removed: tuple[str, ...], marks: Mapping[str, bytes]
    ) -> _Made:
        """Everything that is to take over, loaded beside what serves."""
        codes = prepared.codes
        Routes([each.function for each in codes])  # ConfigError where two functions claim the same requests
        await self._run.pool.call(self._run.networks.ensure, [each.function for each in codes])
        self._run.change(prepared.project, prepared.image, prepared.kinds, self._policy(prepared.kinds))
        fresh = await self._load([each for each in codes if found[each.function.name] >= Change.INSTANCES])
        return _Made(prepared, {n: c for n, c in found.items() if c is not Change.NONE}, removed, marks, fresh)

    def _build(
        self, selection: Selection, functions: list[Function], found: Mapping[str, Change], code: bool
    ) -> tuple[str, dict[str, Bundle]]:
        """Blocking. A function that is new gets a release, and each does where a reload was asked for; else it is an
        edit."""
        image = prepare.image_for(selection, self.prepared, Silent())
        release = [each for each in functions if code or found[each.name] is Change.NEW]
        made = prepare.bundles(selection, release, self.prepared.engine, image, Silent())
        prepared = replace(self.prepared, image=image)
        for each in functions:
            if each.name not in made:
                made[each.name] = self._edited(each, catalog.runtime_of(each, selection.known), prepared)
                self._edits[made[each.name].digest] = made[each.name]
        return image, made

    async def _load(self, codes: list[Code]) -> dict[str, Instance | None]:
        """Every new version in an instance of its own, where the function has any; all of them, or none is left."""
        loads = [self._run.scheduler.load(each) for each in codes]
        got = await asyncio.gather(*loads, return_exceptions=True)
        failed = [each for each in got if isinstance(each, BaseException)]
        if failed:
            for each in got:
                if isinstance(each, Instance):
                    each.end(Death.REPLACED)
            raise failed[0]
        return {
            code.function.name: each
            for code, each in zip(codes, got, strict=True)
            if not isinstance(each, BaseException)
        }

    async def _take_over(self, made: _Made) -> None:
        scheduler = self._run.scheduler
        codes = {code.function.name: code for code in made.prepared.codes}
        # on one turn of the loop, up to the first await
        self.prepared, self._marks = made.prepared, made.marks
        self._routes.replace([code.function for code in made.prepared.codes])
        before = {name: scheduler.swap(codes[name], fresh) for name, fresh in made.fresh.items()}
        for name, change in made.changes.items():
            if change is Change.RULES:
                scheduler.adjust(codes[name])
        for name in made.removed:
            await scheduler.withdraw(SiteKey(name))
        for name, old in before.items():
            await scheduler.settle(codes[name], old)
        for name, change in made.changes.items():
            if change is Change.RULES:
                scheduler.sites[SiteKey(name)].fill()

    async def selected(self) -> Selection:
        """The project as the disk has it now; nothing is applied. Raises FnctlError where it is not sound."""
        if self._source is None:
            raise UsageError("this service was not started by `fnctl run`", hint="start it again")
        return await self._run.pool.call(self._source)

    def _take_workflows(self, selection: Selection) -> None:
        """Definitions alone are others: no function is touched."""
        project = replace(self.prepared.project, workflows=selection.project.workflows)
        self.prepared = replace(self.prepared, project=project)

    def notes(self, project: Project) -> tuple[str, ...]:
        if project.services == tuple(each.service for each in self.prepared.services):
            return ()
        return ("`services` have changed: they are taken over when `fnctl run` is started again",)

    def close(self) -> None:
        for bundle in self._edits.values():
            builds.discard(bundle)


def _compare_code(old: Code | None, new: Code, found: dict[str, Change]) -> None:
    if old is not None and new.bundle.digest != old.bundle.digest:
        name = new.function.name
        found[name] = max(found[name], Change.BUNDLE)

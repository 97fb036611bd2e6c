"""A folder that serves a release: which version it serves, how another takes its place, and how it goes back."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fnctl import paths
from fnctl.builder import bundle as bundles
from fnctl.builder import record, store
from fnctl.control import pulling, versions
from fnctl.control.prepare import Prepared
from fnctl.control.pulling import Pulled
from fnctl.control.versions import Alias, History, Version
from fnctl.engine.port import Engine
from fnctl.model import Bundle
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress
from fnctl.release import document


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that is ready to serve, and does not yet. `kept`: it is in the history already."""

    version: Version
    prepared: Prepared
    kept: bool


class Installation:
    """Of one folder. Blocking. The caller holds the project's lock, or is the service that does."""

    def __init__(self, place: Path, engine: Engine, environ: Mapping[str, str] = os.environ) -> None:
        self.place = place
        self.project = pulling.unread(place)
        self._engine = engine
        self._known = record.deployed(self.file)  # bundles that versions have named since this began
        self._environ = environ

    @property
    def file(self) -> Path:
        return ProjectPaths.of(self.project.id).versions

    def history(self) -> History:
        return versions.read(self.file)

    def fetched(self, text: str, progress: Progress) -> Candidate:
        """The release of this name, pulled and made ready."""
        pulled = pulling.pull(text, self._engine, progress)
        return Candidate(_version(pulled, time.time()), self._prepared(pulled, progress), kept=False)

    def back(self, number: int | None, progress: Progress) -> Candidate:
        """A version of before, ready to serve: nothing is built, and nothing fetched unless it was removed."""
        history = self.history()
        return self.again(history.back() if number is None else history.find(number), progress)

    def again(self, version: Version, progress: Progress) -> Candidate:
        found = self._there(version)
        pulled = found if found is not None else pulling.pull(version.name, self._engine, progress)
        return Candidate(version, self._prepared(pulled, progress), kept=True)

    def loaded(self, version: Version, there: Prepared) -> Candidate:
        """A version whose parts are known to be here, since they are loaded: with the values that the folder has now.

        No engine is asked."""
        place = pulling.project(document.load(version.document), self.place, self._environ)
        made = {each.function.name: each for each in there.codes}
        codes = tuple(replace(made[each.name], function=each) for each in place.functions)
        return Candidate(version, replace(there, project=place, codes=codes), kept=True)

    def serves(self, candidate: Candidate, at: float | None = None) -> Version:
        """It does, since `at`, by the clock that calls are made by; by default from now on."""
        at = time.time() if at is None else at
        pulling.record_current(candidate.prepared.project, candidate.prepared.codes)
        history = self.history()
        before = history.current
        if candidate.kept:
            history, version = history.pointing(candidate.version.number, at), candidate.version
        else:
            history, version = history.having(candidate.version, at)
        if version.number != before:
            history = history.told(
                version.number, time.time(), f"took over from version {before}" if before else "served"
            )
        versions.write(self.file, history)
        return version

    def tell(self, number: int, *lines: str) -> None:
        """More of a version's story."""
        versions.write(self.file, self.history().told(number, time.time(), *lines))

    def adds(self, candidate: Candidate) -> Version:
        """It is one of the versions from now on, and not the current one."""
        if candidate.kept:
            return candidate.version
        pulling.record_current(candidate.prepared.project, candidate.prepared.codes)
        history, version = self.history().adding(candidate.version)
        versions.write(self.file, history)
        return version

    def collect(self) -> int:
        """Remove bundles of versions that are forgotten, and that no project here names; how many."""
        there = record.deployed(self.file)
        gone = self._known - there - record.digests_in_use(paths.home() / "projects")
        self._known = there
        for digest in gone:
            store.remove(bundles.folder(paths.bundles(), digest))
        return len(gone)

    def holds(self, busy: frozenset[int]) -> History:
        """Calls or runs that have not ended began in these: they are kept, and what nobody holds is forgotten."""
        history = self.history()
        fresh = replace(history, busy=busy).bounded()
        if fresh != history:
            versions.write(self.file, fresh)
        return fresh

    def alias(self, name: str, alias: Alias | None) -> History:
        """It means this from now on; None: nothing."""
        history = self.history().aliased(name, alias)
        versions.write(self.file, history)
        return history

    def _prepared(self, pulled: Pulled, progress: Progress) -> Prepared:
        there = pulling.project(pulled.document, self.place, self._environ)
        return pulling.to_serve(pulled, there, self._engine, progress)

    def _there(self, version: Version) -> Pulled | None:
        """What of it is on this machine, where that is all."""
        said = document.load(version.document)
        found = {
            each.function.name: Bundle(
                each.function.name,
                each.digest,
                bundles.folder(paths.bundles(), each.digest),
                each.function.runtime,
                each.function.handler,
                each.size_bytes,
                each.files,
            )
            for each in said.functions
        }
        if self._engine.image(version.image) is None or not all(each.root.is_dir() for each in found.values()):
            return None
        return Pulled(said, version.name, version.digest, version.image, found)


def _version(pulled: Pulled, at: float) -> Version:
    digests = {name: each.digest for name, each in pulled.bundles.items()}
    said = document.dump(pulled.document, Path())
    return Version(0, at, pulled.name, pulled.digest, pulled.image, digests, said)

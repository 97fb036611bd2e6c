"""The versions of a release that a folder has served: each unchanging, whole, and one of them current. One JSON file.

A version says all that serving it takes but what is the machine's: configuration, bundles and sandbox image by digest,
and the name that it can be fetched by again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fnctl.errors import NotFound, ReleaseError

FORMAT = 1
KEPT = 10  # to go back to; bundles of older ones are removed by `fnctl prune`


@dataclass(frozen=True, slots=True)
class Version:
    """`number`: 1 and up, never given twice. `at`: when it was first deployed, seconds since the epoch."""

    number: int
    at: float
    name: str  # REGISTRY/REPO@sha256:…, or FILE.tar@sha256:…
    digest: str
    image: str  # the sandbox image's reference
    bundles: Mapping[str, str]  # by function, digests
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class History:
    """`current`: a number; `before`: the one that was current before it, where that is known."""

    versions: tuple[Version, ...] = ()  # oldest first
    current: int = 0
    before: int = 0

    def find(self, number: int) -> Version:
        """NotFound names those there are."""
        found = next((each for each in self.versions if each.number == number), None)
        if found is None:
            there = ", ".join(str(each.number) for each in self.versions) or "none"
            raise NotFound(f"no version {number} of this project", hint=f"there are: {there}; `fnctl releases`")
        return found

    def now(self) -> Version | None:
        return next((each for each in self.versions if each.number == self.current), None)

    def back(self) -> Version:
        """What a rollback means where it names no version: what was current before; NotFound where nothing was."""
        if self.before == 0 or all(each.number != self.before for each in self.versions):
            raise NotFound("there is no version to go back to", hint="`fnctl releases` lists the versions")
        return self.find(self.before)

    def having(self, made: Version) -> tuple[History, Version]:
        """With this version current: the one of the same digest where there is one, else a new one with a number of its
        own."""
        same = next((each for each in self.versions if each.digest == made.digest), None)
        if same is not None:
            kept = replace(same, name=made.name, image=made.image)
            versions = tuple(kept if each.number == same.number else each for each in self.versions)
            return replace(self, versions=versions).pointing(kept.number), kept
        fresh = replace(made, number=max((each.number for each in self.versions), default=0) + 1)
        return replace(self, versions=(*self.versions, fresh)).pointing(fresh.number)._bounded(), fresh

    def pointing(self, number: int) -> History:
        return self if number == self.current else replace(self, current=number, before=self.current)

    def _bounded(self) -> History:
        kept = {each.number for each in self.versions[-KEPT:]} | {self.current, self.before}
        return replace(self, versions=tuple(each for each in self.versions if each.number in kept))


def read(file: Path) -> History:
    """Empty where there is none. ReleaseError where it cannot be read: it is not thrown away."""
    try:
        said = json.loads(file.read_text("utf-8"))
        if said["format"] != FORMAT:
            raise ValueError("of another version of fnctl")
        return History(tuple(Version(**each) for each in said["versions"]), said["current"], said["before"])
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{file} cannot be read: {error}", hint="move it away, and deploy again") from error


def write(file: Path, history: History) -> None:
    """Replace it as one, durable when it returns."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    said = {"format": FORMAT, "current": history.current, "before": history.before}
    text = json.dumps({**said, "versions": [asdict(each) for each in history.versions]}, indent=1)
    try:
        with fresh.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)

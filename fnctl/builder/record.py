"""A function's release record: its current version, what that was made from, and the versions before. One JSON file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

FORMAT = 1  # of the file; another number reads as no record


@dataclass(frozen=True, slots=True)
class Version:
    digest: str
    image: str | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """`fingerprint` is of the inputs as they lay on disk, None where they were too fresh to be told apart by it."""

    function: str
    digest: str
    runtime: str
    handler: str
    size_bytes: int
    files: int
    fingerprint: str | None
    source: str  # over what the bundle was made from, by content
    seal: str  # of the bundle's folder, as it was left
    dependencies: str | None = None  # key of the dependency tree
    image: str | None = None
    image_key: str | None = None  # over what the image was made from
    image_base: str | None = None  # the sandbox image below it
    before: tuple[Version, ...] = ()  # newest first, without the current

    def shipped(self, image: str, key: str, base: str) -> Release:
        return replace(self, image=image, image_key=key, image_base=base)

    def remembering(self, before: tuple[Version, ...]) -> Release:
        return replace(self, before=before)

    def succeeding(self, last: Release | None) -> Release:
        """This one with the history that `last` leaves it: each digest once, the newest first."""
        if last is None:
            return self
        older = [Version(last.digest, last.image), *last.before]
        unique = {version.digest: version for version in reversed(older) if version.digest != self.digest}
        return replace(self, before=tuple(reversed(unique.values())))


def path(releases: Path, function: str) -> Path:
    return releases / f"{function}.json"


def read(releases: Path, function: str) -> Release | None:
    """None where there is no record, or none that this fnctl can read: the function is built then."""
    try:
        data = json.loads(path(releases, function).read_text("utf-8"))
        return _release(data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _release(data: dict[str, Any]) -> Release | None:
    if data.pop("format") != FORMAT:
        return None
    before = tuple(Version(**version) for version in data.pop("before"))
    return Release(**data, before=before)


def write(releases: Path, release: Release) -> None:
    """Replace the record as one: a crash leaves the old one or the new one. Durable when it returns."""
    target = path(releases, release.function)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    text = json.dumps({"format": FORMAT, **asdict(release)}, indent=1)
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def every(releases: Path) -> Iterator[Release]:
    """Every record of the project that can be read."""
    for file in sorted(releases.glob("*.json")):
        if (release := read(releases, file.stem)) is not None:
            yield release


def digests_in_use(projects: Path) -> set[str]:
    """Every bundle that some record of some project names."""
    found: set[str] = set()
    for releases in projects.glob("*/releases"):
        for release in every(releases):
            found |= {release.digest, *(version.digest for version in release.before)}
        found |= deployed(releases.with_name("versions.json"))
    return found


def deployed(file: Path) -> set[str]:
    """Every bundle of the versions in this file (control/versions.py)."""
    try:
        said = json.loads(file.read_text("utf-8"))
        return {digest for version in said["versions"] for digest in version["bundles"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()

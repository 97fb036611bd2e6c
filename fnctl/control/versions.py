"""The versions of a release that a folder has served: each unchanging, whole, and one of them current. One JSON file.

A version says all that serving it takes but what is the machine's: configuration, bundles and sandbox image by digest,
and the name that it can be fetched by again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fnctl.errors import NotFound, ReleaseError, UsageError

FORMAT = 1
LATEST = "latest"  # what serves calls that ask for no alias
_NAME = re.compile(r"[a-z][a-z0-9-]{0,18}[a-z0-9]|[a-z]")
_WEIGHT = re.compile(r"([1-9][0-9]{0,8})(?::([0-9]{1,6}(?:\.[0-9]{1,3})?))?")
STORY = 100  # lines of a version, the newest
KEPT = 10  # to go back to, beside those that something holds
TURNS = 1000


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
    story: tuple[tuple[float, str], ...] = ()  # what became of it: when, seconds since the epoch, and what


@dataclass(frozen=True, slots=True)
class Alias:
    """Which versions share its calls. `weights`: number and weight, of which all are more than 0. `by`: what tells who
    gets the same one again (triggers/http/traffic_split.py)."""

    weights: tuple[tuple[int, float], ...]
    by: str = ""

    @property
    def main(self) -> int:
        """The version that gets most."""
        return max(self.weights, key=lambda each: each[1])[0]

    def __str__(self) -> str:
        if len(self.weights) == 1:
            return str(self.main)
        return ",".join(f"{number}:{weight:g}" for number, weight in self.weights)


def alias_of(text: str, by: str = "") -> Alias:
    """`8`, or `7:90,8:10`. UsageError where it is something else."""
    weights: dict[int, float] = {}
    for part in text.split(","):
        found = _WEIGHT.fullmatch(part.strip())
        weight = float(found[2] or 1) if found is not None else 0.0
        if found is None or weight <= 0 or int(found[1]) in weights:
            hint = "VERSION, or several with weights: 7:90,8:10"
            raise UsageError(f"`{text[:60]}` is no share of versions", hint=hint)
        weights[int(found[1])] = weight
    return Alias(tuple(weights.items()), by)


def check_name(name: str) -> None:
    """UsageError where no alias can be called so: it is a part of a host name."""
    if _NAME.fullmatch(name) is None or "--" in name or name == LATEST:
        hint = f"lower-case letters, digits and single hyphens, a letter first, at most 20; `{LATEST}` is what serves"
        raise UsageError(f"`{name[:40]}` cannot be an alias", hint=hint)


@dataclass(frozen=True, slots=True)
class History:
    """`current`: a number; `before`: the one that was current before it, where that is known. `turns`: which version
    took over and when, oldest first. `busy`: versions in which calls or runs began that had not ended when this was
    last looked at."""

    versions: tuple[Version, ...] = ()  # oldest first
    current: int = 0
    before: int = 0
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    turns: tuple[tuple[float, int], ...] = ()
    busy: frozenset[int] = frozenset()

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

    @property
    def switched(self) -> float:
        """When the current version took over; 0 where that is not known."""
        return self.turns[-1][0] if self.turns else 0.0

    def serving_at(self, at: float) -> int | None:
        """The version that was current then; None where that is not known, or it is forgotten."""
        number = next((number for since, number in reversed(self.turns) if since <= at), None)
        return number if any(each.number == number for each in self.versions) else None

    def serving_since(self, at: float) -> set[int]:
        """All that were current at any time since then."""
        first = self.serving_at(at)
        return {number for since, number in self.turns if since > at} | ({first} if first is not None else set())

    def having_bundle(self, function: str, digest: str) -> int | None:
        """The newest version that has it."""
        having = (each.number for each in reversed(self.versions) if each.bundles.get(function) == digest)
        return next(having, None)

    def having(self, made: Version, at: float = 0.0) -> tuple[History, Version]:
        """With this version current since `at`: the one of the same digest where there is one, else a new one with a
        number of its own."""
        same = next((each for each in self.versions if each.digest == made.digest), None)
        if same is not None:
            kept = replace(same, name=made.name, image=made.image)
            versions = tuple(kept if each.number == same.number else each for each in self.versions)
            return replace(self, versions=versions).pointing(kept.number, at), kept
        fresh = replace(made, number=max((each.number for each in self.versions), default=0) + 1)
        return replace(self, versions=(*self.versions, fresh)).pointing(fresh.number, at).bounded(), fresh

    def adding(self, made: Version) -> tuple[History, Version]:
        """With this version, and the one that is current as it was."""
        history, version = self.having(made)
        return replace(history, current=self.current, before=self.before, turns=self.turns), version

    def aliased(self, name: str, alias: Alias | None) -> History:
        """None takes the alias away. NotFound where a version, or the alias to take away, is not there."""
        if alias is None:
            if name not in self.aliases:
                known = ", ".join(self.aliases) or "none"
                raise NotFound(f"no alias {name}", hint=f"aliases: {known}")
            return replace(self, aliases={each: held for each, held in self.aliases.items() if each != name})
        for number, _ in alias.weights:
            self.find(number)
        return replace(self, aliases={**self.aliases, name: alias})

    def told(self, number: int, at: float, *lines: str) -> History:
        """With more of a version's story."""
        new = tuple((at, line) for line in lines)
        versions = tuple(
            replace(each, story=(*each.story, *new)[-STORY:]) if each.number == number else each
            for each in self.versions
        )
        return replace(self, versions=versions)

    def meant(self, word: str) -> int:
        """The version that an alias gives most calls to, or this number."""
        if word in self.aliases:
            return self.aliases[word].main
        if word.isascii() and word.isdigit():
            return self.find(int(word[:9])).number
        known = ", ".join(self.aliases) or "none"
        raise NotFound(f"no alias or version {word[:40]}", hint=f"aliases: {known}; `fnctl releases` lists versions")

    @property
    def held(self) -> frozenset[int]:
        """Versions that are served: as the current one, or by an alias."""
        return frozenset({self.current, *(number for each in self.aliases.values() for number, _ in each.weights)})

    def holders(self, number: int) -> tuple[str, ...]:
        """Why a version is kept: `current`, its aliases, `open calls`. Nothing: it is among the newest."""
        aliases = (name for name, each in sorted(self.aliases.items()) if number in dict(each.weights))
        named = {"current": number == self.current, **dict.fromkeys(aliases, True), "open calls": number in self.busy}
        return tuple(name for name, holds in named.items() if holds)

    def pointing(self, number: int, at: float = 0.0) -> History:
        if number == self.current:
            return self
        return replace(self, current=number, before=self.current, turns=(*self.turns, (at, number))[-TURNS:])

    def bounded(self) -> History:
        """Without what nobody holds, and is not among the newest."""
        kept = {each.number for each in self.versions[-KEPT:]} | {self.before} | self.held | self.busy
        return replace(self, versions=tuple(each for each in self.versions if each.number in kept))


def holding(history: History) -> dict[str, tuple[str, ...]]:
    """By the digest of a bundle, the versions that have it, the newest first: `version 3 (current)`."""
    found: dict[str, tuple[str, ...]] = {}
    for each in reversed(history.versions):
        why = ", ".join(history.holders(each.number))
        told = f"version {each.number}" + (f" ({why})" if why else "")
        for digest in set(each.bundles.values()):
            found[digest] = (*found.get(digest, ()), told)
    return found


def read(file: Path) -> History:
    """Empty where there is none. ReleaseError where it cannot be read: it is not thrown away."""
    try:
        said = json.loads(file.read_text("utf-8"))
        if said["format"] != FORMAT:
            raise ValueError("of another version of fnctl")
        aliases = {
            name: Alias(tuple((int(number), float(weight)) for number, weight in each["weights"]), each["by"])
            for name, each in said.get("aliases", {}).items()
        }
        versions = tuple(
            Version(**{**each, "story": tuple((float(at), str(line)) for at, line in each.get("story", ()))})
            for each in said["versions"]
        )
        turns = tuple((float(at), int(number)) for at, number in said.get("turns", ()))
        return History(versions, said["current"], said["before"], aliases, turns, frozenset(said.get("busy", ())))
    except FileNotFoundError:
        return History()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"{file} cannot be read: {error}", hint="move it away, and deploy again") from error


def write(file: Path, history: History) -> None:
    """Replace it as one, durable when it returns."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    said: dict[str, Any] = {"format": FORMAT, "current": history.current, "before": history.before}
    said["aliases"] = {name: asdict(each) for name, each in history.aliases.items()}
    said |= {"turns": history.turns, "busy": sorted(history.busy)}
    text = json.dumps({**said, "versions": [asdict(each) for each in history.versions]}, indent=1)
    try:
        with fresh.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)

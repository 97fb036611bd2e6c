"""A place in another platform's file: what it says, with its line. Knows no platform's words.

Whatever cannot be used becomes a problem (the file is then refused), whatever is not taken over a note; each with file
and line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fnctl.config.detect.finding import Evidence
from fnctl.config.detect.source import Source
from fnctl.config.document import Document, Loc, Tagged, number
from fnctl.config.problems import Problem, did_you_mean


class Unresolved(Exception):
    """A reference whose value the file does not hold. The message is the reference as it is written."""


# What a scalar, or a reference in place of one, stands for. Raises Unresolved.
Resolver = Callable[[Any], Any]


@dataclass(slots=True)
class Manifest:
    """One file, while it is read."""

    folder: Path  # where detection looks; what the file names is relative to it
    source: Source
    document: Document
    resolve: Resolver = lambda value: value
    notes: list[Problem] = field(default_factory=list)

    @property
    def label(self) -> str:
        return self.document.label

    @property
    def top(self) -> Place:
        data = self.document.data
        return Place(self, (), data if isinstance(data, dict) else {})


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that a platform has at a place: those read here, those worth a note, and those that change nothing."""

    read: Collection[str]
    left: Mapping[str, str] = field(default_factory=dict)  # key → what to know
    quiet: Collection[str] = ()

    @property
    def all(self) -> set[str]:
        return {*self.read, *self.left, *self.quiet}


@dataclass(frozen=True, slots=True)
class Place:
    """A mapping in a manifest, or an empty one where the file has none."""

    manifest: Manifest
    loc: Loc
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.loc[-1]) if self.loc else self.manifest.label

    def __contains__(self, key: object) -> bool:
        return key in self.data

    def __bool__(self) -> bool:
        return bool(self.data)

    def check(self, keys: Keys, loosely: bool = False) -> None:
        """Unknown keys are problems (`loosely`: notes, where plugins may add some); known ones may deserve a note."""
        for key in self.data:
            if key in keys.left:
                self.note(key, f"`{key}` of {self._where} is ignored: {keys.left[key]}")
            elif key not in keys.all and not key.startswith("x-"):
                hint = did_you_mean(key, keys.all)
                say = self.note if loosely else self.problem
                say(key, f"unknown key `{key}` in {self._where}", hint)

    def at(self, key: str) -> Place:
        """The mapping under `key`. Something else there is a problem."""
        value = self.data.get(key)
        if value is None:
            return Place(self.manifest, (*self.loc, key), {})
        if not isinstance(value, dict):
            self.problem(key, f"`{key}` of {self._where} must be keys and values, found {shown(value)}")
            return Place(self.manifest, (*self.loc, key), {})
        return Place(self.manifest, (*self.loc, key), value)

    def each(self, key: str | None = None) -> Iterator[Place]:
        """The mappings in the mapping or list under `key` (None: in this place), in order; others are left out."""
        value = self.data if key is None else self.data.get(key)
        loc = self.loc if key is None else (*self.loc, key)
        pairs: Iterator[tuple[Any, Any]] = iter(())
        if isinstance(value, Mapping):
            pairs = iter(value.items())
        elif isinstance(value, list):
            pairs = enumerate(value)
        for name, item in pairs:
            if isinstance(item, dict):
                yield Place(self.manifest, (*loc, name), item)

    def text(self, key: str) -> str | None:
        """The text under `key`; None where there is none, or (with a problem) none that can be known."""
        value = self._value(key)
        if value is None or isinstance(value, str):
            return value
        self.problem(key, f"`{key}` of {self._where} must be text, found {shown(value)}")
        return None

    def number(self, key: str) -> float | None:
        value = self._value(key)
        if value is None:
            return None
        try:
            if isinstance(value, str) and math.isfinite(found := number(value)):
                return found
        except ValueError:
            pass
        self.problem(key, f"`{key}` of {self._where} must be a number, found {shown(value)}")
        return None

    def whole(self, key: str) -> int | None:
        number = self.number(key)
        return None if number is None else int(number)

    def texts(self, key: str) -> list[str]:
        """A list of texts, or one text in place of it."""
        value = self.data.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        return [item for item in items if isinstance(item, str)]

    def variables(self) -> tuple[tuple[str, str], ...]:
        """This mapping as environment variables. One whose value cannot be known is left out, with a note."""
        found = []
        for key, value in self.data.items():
            try:
                resolved = self.manifest.resolve(value)
            except Unresolved as reference:
                self.note(
                    key, f"variable {key} is left out: {reference} cannot be resolved", f"set {key} in fnctl.yaml"
                )
                continue
            if isinstance(resolved, str):
                found.append((key, resolved))
        return tuple(found)

    def _value(self, key: str) -> Any:
        try:
            return self.manifest.resolve(self.data.get(key))
        except Unresolved as reference:
            hint = f"its value is not in {self.manifest.label}: write it out there, or in a fnctl.yaml"
            self.problem(key, f"`{key}` of {self._where} is {reference}, which cannot be resolved", hint)
            return None

    def evidence(self, key: str | None, so: str) -> Evidence:
        line = self.line(key)
        return self.manifest.source.evidence(line, so) if line else Evidence(self.manifest.label, None, "", so)

    def line(self, key: str | None = None) -> int | None:
        return self.manifest.document.line(self.loc if key is None else (*self.loc, key))

    def problem(self, key: str | None, text: str, hint: str | None = None) -> None:
        self.manifest.document.problems.append(Problem(self.manifest.label, self.line(key), text, hint))

    def note(self, key: str | None, text: str, hint: str | None = None) -> None:
        self.manifest.notes.append(Problem(self.manifest.label, self.line(key), text, hint))

    @property
    def _where(self) -> str:
        return ".".join(str(part) for part in self.loc) or self.manifest.label


def shown(value: object) -> str:
    if isinstance(value, Tagged):
        return f"`{value.tag} {value.value}`"
    if isinstance(value, dict | list):
        return "keys and values" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else f"`{value}`"

"""Writes packs (pack.py) of what was noted while something was loaded (noting.py). Not the loading."""

# ruff: noqa: PTH123
from __future__ import annotations

import marshal
import re
import sys
from array import array
from collections.abc import Iterator, Mapping
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from re import _compiler as sre  # type: ignore[attr-defined]
from types import CodeType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from fnctl_agent.pack import FORMAT, HERE, LIBRARY, OWN, SIZES

if TYPE_CHECKING:
    from fnctl_agent.pack import Entry, Pattern

Seen = Mapping[str, tuple[list[str], ModuleSpec]]
# a module's file, that of its bytecode, whether it is a package, and its code
Found = tuple[str, str | None, bool, CodeType | None]
MOST_PATTERNS = 256  # half of what `re` keeps


def write_load(seen: Seen, folder: str, root: str, main: CodeType | None) -> None:
    """What was loaded from `root` goes to one file, what was loaded from anywhere else to the other.

    Nothing of the agent: the one that reads this may be another.
    """
    own, library = _Part(), _Part()
    for name, searched, found in _packable(seen, root):
        if found[0].startswith(f"{HERE}/"):
            continue
        (own if found[0].startswith(f"{root}/") else library).add(name, searched, *found)
    own.write(f"{folder}/{OWN}", _patterns(), main)
    library.write(f"{folder}/{LIBRARY}", [], None)


def write_boot(seen: Seen, file: str) -> None:
    """What the agent itself imported, and the patterns that were compiled by now."""
    part = _Part()
    for name, searched, found in _packable(seen, HERE):
        part.add(name, searched, *found)
    part.write(file, _patterns(), None)


def _packable(seen: Seen, root: str) -> Iterator[tuple[str, list[str], Found]]:
    for name, (searched, spec) in list(seen.items()):
        found = _of(spec)
        if found is not None and not any(_can_change(place, root) for place in searched):
            yield name, searched, found


def _patterns() -> list[Pattern]:
    """The patterns that `re` has in its cache by now, as they would be looked up there."""
    asked = [key for key in re._cache if key[0] in (str, bytes)]  # type: ignore[attr-defined]
    return [(pattern, int(flags), _compiled(pattern, flags)) for _, pattern, flags in asked[-MOST_PATTERNS:]]


def _compiled(pattern: Any, flags: int) -> tuple[Any, ...]:
    """What `re` asks its engine for, to have this pattern."""
    engine, asked = sre._sre, []
    sre._sre = SimpleNamespace(**{**vars(engine), "compile": lambda *arguments: asked.append(arguments)})
    try:
        sre.compile(pattern, flags)
    finally:
        sre._sre = engine
    [(source, all_flags, code, *groups)] = asked
    return (source, int(all_flags), array("I", map(int, code)).tobytes(), *groups)


class _Part:
    """One file of a pack, as it grows."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._searched: list[list[str]] = []
        self._data = bytearray()

    def add(
        self, name: str, searched: list[str], file: str, cached: str | None, package: bool, code: CodeType | None
    ) -> None:
        if searched not in self._searched:
            self._searched.append(searched)
        start = len(self._data)
        if code is not None:
            self._data += marshal.dumps(code)
        self._entries[name] = (self._searched.index(searched), file, cached, package, start, len(self._data))

    def write(self, file: str, patterns: list[Pattern], main: CodeType | None) -> None:
        index = marshal.dumps((self._entries, self._searched, patterns, main))
        sizes = "".join(f"{len(part):0{SIZES // 2}x}" for part in (index, self._data))
        with open(file, "wb") as stream:
            stream.write(FORMAT + sizes.encode() + index + self._data)


def _of(spec: ModuleSpec) -> Found | None:
    """None for what is not found by Python's finder of files, or has no code."""
    locations = spec.submodule_search_locations
    if spec.origin is None or not spec.has_location:
        return None
    if type(spec.loader) is ExtensionFileLoader and locations is None:
        return spec.origin, spec.cached, False, None
    if type(spec.loader) is not SourceFileLoader:
        return None
    if locations is not None and list(locations) != [spec.origin.rpartition("/")[0]]:
        return None
    try:
        code = spec.loader.get_code(spec.name)
    except (ImportError, SyntaxError, OSError):
        return None
    return (spec.origin, spec.cached, locations is not None, code) if code is not None else None


def _can_change(place: str, root: str) -> bool:
    """Whether something else may be found in a searched folder at run time: only the bundle and the image are fixed."""
    return not place.startswith((root, sys.prefix + "/lib", "/opt/fnctl/"))

"""Reads a pack: the modules of one load, their code objects, where each was found, and its patterns compiled.

Written once, by a load at build (packing.py), and read by every first load in an instance (layers/node/pack.js is the
same for Node). An import looks through folders, reads a cache file and compiles patterns, all with the same outcome
every time, since a bundle never changes: here it is one read. The modules stay what they are: each has the spec and the
loader that Python's own finder gives it. Whatever is not in the pack, or is looked for elsewhere than it was then,
takes Python's way. The agent's own start has a pack too, made with the image.
"""

# read on the way to every load: strings will do for paths:
# ruff: noqa: PTH123
from __future__ import annotations

import marshal
import sys
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader, spec_from_file_location

# Read before anything else is imported, with what every interpreter has from its start: types are for the checker.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any

    Entry = tuple[int, str, bool, int, int]  # which search path found it, its file, is it a package, and its place
    Pattern = tuple[Any, int, tuple[Any, ...]]  # as `re.compile` was asked, and as it asked the engine

# Beside the agent, from the making of the image: what its start imports, and what it imports ahead.
HERE = __file__.rpartition("/fnctl_agent/")[0]
BOOT, AHEAD = f"{HERE}/boot.bin", f"{HERE}/ahead.bin"
FOLDER = ".fnctl/compile-cache"
# The function's own modules and packages, and those of the standard library: where that was imported ahead, its part
# need not even be read.
OWN, LIBRARY = "modules.bin", "library.bin"
# Code objects are this very interpreter's: its version, and which build of it.
FORMAT = f"1 {sys.version}".replace("\n", " ").encode() + b"\n"


class Packed:
    """A finder for what is packed. In `sys.meta_path` from `use` until `close`: the length of a load."""

    def __init__(self) -> None:
        self._parts: list[tuple[dict[str, Entry], list[list[str]], memoryview]] = []
        self._main: CodeType | None = None
        self._made: dict[str, CodeType] = {}

    def read_of(self, root: str, *, library: bool) -> None:
        """Read the pack of the bundle at `root`, where it was not read ahead; `library`: the standard library's too."""
        if not self._parts:
            for name in (OWN, LIBRARY) if library else (OWN,):
                self.read(f"{root}/{FOLDER}/{name}")

    def read_ahead(self, folder: str) -> None:
        """Read what is the bundle's own, and make its code objects, of which nothing is run."""
        import gc

        gc.disable()
        self.read(f"{folder}/{OWN}")
        for entries, _, data in self._parts:
            for name, (*_, start, end) in entries.items():
                if start < end:
                    self._made[name] = marshal.loads(data[start:end])
        gc.freeze()
        gc.enable()

    def read(self, file: str) -> None:
        """Add what this file holds. Nothing where it is not there, or not this interpreter's."""
        try:
            with open(file, "rb") as stream:
                if stream.readline() != FORMAT:
                    return
                entries, searched, patterns, main, size = marshal.load(stream)
                data = memoryview(stream.read())
        except (OSError, EOFError, ValueError, TypeError):
            return
        if len(data) != size:
            return
        self._parts.append((entries, searched, data))
        self._main = main or self._main
        _know(patterns)

    def use(self) -> None:
        if self._parts:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def main(self, file: str) -> CodeType | None:
        """The compiled main program, where it is this file."""
        return self._main if self._main and self._main.co_filename == file else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for entries, searched, data in self._parts:
            entry = entries.get(fullname)
            if entry is not None:
                where, file, package, start, end = entry
                if searched[where] != list(sys.path if path is None else path):
                    return None
                return _spec(fullname, file, package, self._made.get(fullname) or data[start:end])
        return None

    def close(self) -> None:
        """The load is over: what is imported later is found by Python alone."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)  # type: ignore[arg-type]
        self._parts, self._main, self._made = [], None, {}


def use(root: str, *, library: bool) -> Packed:
    """Import from the pack of the bundle at `root` until it is closed; `library`: the standard library too."""
    packed = Packed()
    packed.read_of(root, library=library)
    packed.use()
    return packed


def boot() -> Packed:
    """For the agent's own start: what it imports by itself (boot.py), until it is closed."""
    packed = Packed()
    packed.read(BOOT)
    packed.use()
    return packed


def _spec(name: str, file: str, package: bool, code: CodeType | memoryview) -> ModuleSpec | None:
    """What Python's own finder would say. The loader is its own too, and is handed the code once.

    `code`: made already, or still to be made; without any, it is an extension module.
    """
    if not code:
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, file))
    loader = SourceFileLoader(name, file)

    def get_code(asked: str) -> CodeType:
        vars(loader).pop("get_code", None)
        return marshal.loads(code) if isinstance(code, memoryview) else code

    loader.get_code = get_code  # type: ignore[method-assign, assignment]
    locations = [file.rpartition("/")[0]] if package else None
    return spec_from_file_location(name, file, loader=loader, submodule_search_locations=locations)


def _know(patterns: Iterable[Pattern]) -> None:
    """Give `re` the patterns as if it had compiled them before: its cache is asked first."""
    if not patterns:
        return
    import re

    for pattern, flags, compiled in patterns:
        key = (type(pattern), pattern, flags)
        if key not in re._cache:  # type: ignore[attr-defined]
            re._cache[key] = re._compiler._sre.compile(*compiled)  # type: ignore[attr-defined]

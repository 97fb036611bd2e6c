"""Reads a pack: the modules of one load, their code objects, where each was found, and its patterns compiled.

Written once, by a load at build (packing.py), and read by every first load in an instance (layers/node/pack.js is the
same for Node). An import looks through folders, reads a cache file and compiles patterns, all with the same outcome
every time, since a bundle never changes: here it is one read. The modules stay what they are: each has the spec and the
loader that Python's own finder gives it. Whatever is not in the pack, or is looked for elsewhere than it was then,
takes Python's way. The agent's own start has a pack too, made with the image.
"""

from __future__ import annotations

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader
from _thread import allocate_lock

# Read before anything else is imported, with what every interpreter has from its start: types are for the checker.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Any

    # which search path found it, its file, that of its bytecode, is it a package, and its place
    Entry = tuple[int, str, str | None, bool, int, int]
    Pattern = tuple[Any, int, tuple[Any, ...]]  # as `re.compile` was asked, and as it asked the engine

# Beside the agent, from the making of the image: what its start imports, and what it imports ahead.
HERE = __file__.rpartition("/fnctl_agent/")[0]
BOOT, AHEAD = f"{HERE}/boot.bin", f"{HERE}/ahead.bin"
FOLDER = ".fnctl/compile-cache"
# The function's own modules and packages, and those of the standard library: where that was imported ahead, its part
# need not even be read.
OWN, LIBRARY = "modules.bin", "library.bin"
# Code objects are this very interpreter's: its version, and which build of it.
FORMAT = f"2 {sys.version}".replace("\n", " ").encode() + b"\n"
SIZES = 32  # after it, in hexadecimal digits: the bytes of the index, which comes next, and of the code after that
BLOCK = 112 << 10  # below what malloc would get from the system anew each time


class Packed:
    """A finder for what is packed. In `sys.meta_path` from `use` until `close`: the length of a load."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._patterns: list[Pattern] = []
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
        for part in self._parts:
            for name, (*_, start, end) in part.entries.items():
                if start < end:
                    self._made[name] = part.code(start, end)
        self._know()
        gc.freeze()
        gc.enable()

    def read(self, file: str) -> None:
        """Add what this file holds. Nothing where it is not there, or not this interpreter's."""
        part, patterns, main = _read(file) or (None, (), None)
        if part is not None:
            self._parts.append(part)
        self._patterns += patterns
        self._main = main or self._main
        if self in sys.meta_path:
            self._know()

    def use(self) -> None:
        if self._parts:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
        self._know()

    def main(self, file: str) -> CodeType | None:
        """The compiled main program, where it is this file."""
        return self._main if self._main and self._main.co_filename == file else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for part in self._parts:
            entry = part.entries.get(fullname)
            if entry is not None:
                if part.searched[entry[0]] != list(sys.path if path is None else path):
                    return None
                return _spec(fullname, entry, part, self._made.get(fullname))
        return None

    def _know(self) -> None:
        """Give `re` the patterns as if it had compiled them before: its cache is asked first."""
        patterns, self._patterns = self._patterns, []
        if not patterns:
            return
        import re

        for pattern, flags, (source, all_flags, code, *groups) in patterns:
            key = (type(pattern), pattern, flags)
            if key not in re._cache:  # type: ignore[attr-defined]
                words = memoryview(code).cast("I").tolist()
                compiled = re._compiler._sre.compile(source, all_flags, words, *groups)  # type: ignore[attr-defined]
                re._cache[key] = compiled  # type: ignore[attr-defined]

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


class _Part:
    """One file of a pack: what is in it, and its code objects as they are asked for.

    Its code is read into one block of memory again and again: memory that was never touched before costs ten times as
    much as the reading. In the order of a load, most of what is asked for is in the block by then. No file stays open:
    a program would find it, or close it.
    """

    def __init__(self, file: str, begin: int, entries: dict[str, Entry], searched: list[list[str]]) -> None:
        self.entries = entries
        self.searched = searched
        self._file = file
        self._begin = begin
        self._block = bytearray(BLOCK)
        self._from = self._to = 0
        self._lock = allocate_lock()

    def code(self, start: int, end: int) -> CodeType:
        """What lies between these two. OSError where the file is there no more."""
        if end - start > BLOCK or not self._lock.acquire(
            blocking=False
        ):  # another thread is at it, or was when we forked
            return marshal.loads(_piece(self._file, self._begin + start, end - start))  # type: ignore[no-any-return]
        try:
            if not self._from <= start <= end <= self._to:
                self._fill(start)
            with memoryview(self._block) as block:
                return marshal.loads(block[start - self._from : end - self._from])  # type: ignore[no-any-return]
        finally:
            self._lock.release()

    def _fill(self, start: int) -> None:
        self._from = self._to = 0
        fd = posix.open(self._file, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            self._to = start + posix.preadv(fd, [self._block], self._begin + start)
            self._from = start
        finally:
            posix.close(fd)


def _piece(file: str, begin: int, size: int) -> bytes:
    fd = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return posix.pread(fd, size, begin)
    finally:
        posix.close(fd)


def _read(file: str) -> tuple[_Part, list[Pattern], CodeType | None] | None:
    """A file's head; None where it is not there, not whole, or not this interpreter's."""
    begin = len(FORMAT) + SIZES
    try:
        head = _piece(file, 0, begin)
        if head[: len(FORMAT)] != FORMAT:
            return None
        index, data = int(head[len(FORMAT) : -SIZES // 2], 16), int(head[-SIZES // 2 :], 16)
        if posix.stat(file).st_size != begin + index + data:
            return None
        entries, searched, patterns, main = marshal.loads(_piece(file, begin, index))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return _Part(file, begin + index, entries, searched), patterns, main


def _spec(name: str, entry: Entry, part: _Part, made: CodeType | None) -> ModuleSpec:
    """What Python's own finder would say. The loader is its own too, and is handed the code once.

    `made`: the code, where it was made before. An entry without any is an extension module.
    """
    _, file, cached, package, start, end = entry
    if start == end:
        spec = ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
    else:
        loader = SourceFileLoader(name, file)

        def get_code(asked: str) -> CodeType | None:
            del loader.get_code  # type: ignore[method-assign]
            try:
                return made or part.code(start, end)
            except OSError:
                return loader.get_code(asked)

        loader.get_code = get_code  # type: ignore[method-assign, assignment]
        spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True
    spec.cached = cached
    if package:
        spec.submodule_search_locations = [file.rpartition("/")[0]]
    return spec

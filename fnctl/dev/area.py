"""What a change on disk means: for which functions it is an edit. Pure but for reading `.dockerignore`.

A function's area is what its build reads: a folder that the build leaves out is not watched at all, so that 8,000
folders in node_modules cost nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fnctl.builder import inputs
from fnctl.builder.ignore import Ignore
from fnctl.model import Function, RuntimeSpec

# vim's swap and probe files, emacs' locks and autosaves, JetBrains' and kate's temporaries, backups
_TEMPORARY = re.compile(
    r"^(4913|\.#.*|#.*#|.*~|.*\.sw[a-z]|.*___jb_(tmp|old)___|.*\.kate-swp|\.goutputstream-.*|.*\.tmp)$"
)
# The editors' own folders: in a bundle where nobody leaves them out, but no change of them is an edit.
_EDITORS = frozenset({".idea", ".vscode", ".vs", ".zed"})


@dataclass(frozen=True, slots=True)
class Area:
    """The code of one function. `named`: files at its top that its build reads whatever the rules leave out."""

    function: str
    root: Path
    rules: Ignore
    named: frozenset[str] = frozenset()

    def skips(self, folder: str) -> bool:
        """Whether nothing below this folder (relative to the root) can be an edit."""
        return os.path.basename(folder) in _EDITORS or self.rules.skips(folder)  # noqa: PTH119 - of a relative name

    def has(self, name: str) -> bool:
        """Whether a change of this file (relative to the root) is an edit."""
        last = name.rpartition("/")[2]
        if _TEMPORARY.fullmatch(last) or _EDITORS.intersection(name.split("/")[:-1]):
            return False
        return name in self.named or not self.rules.leaves_out(name)


def area(function: Function, spec: RuntimeSpec) -> Area:
    """The area of a function, by the `.dockerignore` that its folder has now."""
    return Area(function.name, function.path, inputs.rules(function, spec), inputs.named(spec))


class Areas:
    """Those of all functions; several may share a folder, or lie one within another."""

    def __init__(self, areas: Iterable[Area]) -> None:
        self._by_root: dict[str, list[Area]] = {}
        for each in areas:
            self._by_root.setdefault(str(each.root), []).append(each)

    @property
    def roots(self) -> Mapping[str, list[Area]]:
        return self._by_root

    def of_folder(self, path: str) -> Iterator[str]:
        """The functions for which something below this folder can be an edit. `path`: absolute."""
        return (each.function for each, name in self._around(path) if not name or not each.skips(name))

    def of_file(self, path: str) -> Iterator[str]:
        """The functions for which a change of this file is an edit."""
        return (each.function for each, name in self._around(path) if name and each.has(name))

    def _around(self, path: str) -> Iterator[tuple[Area, str]]:
        for root, areas in self._by_root.items():
            if path == root or path.startswith(root.rstrip("/") + "/"):
                for each in areas:
                    yield each, path[len(root) :].lstrip("/")

    def folders(self, top: str) -> Iterator[str]:
        """This folder, and those below it that are to be watched; absolute, without following links."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            yield folder
            try:
                with os.scandir(folder) as entries:
                    below = [each.path for each in entries if each.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # it went while it was looked at, and that is an event of its own
            waiting += [each for each in below if any(self.of_folder(each)) and not _is_virtualenv(each)]


def _is_virtualenv(folder: str) -> bool:
    return Path(folder, "pyvenv.cfg").is_file()

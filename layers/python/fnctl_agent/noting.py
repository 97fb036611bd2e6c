"""Notes what is imported, and where it was found. Imports nothing itself, so that it can begin before anything else."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Noting:
    """In front of all finders: lets those behind it find, and notes what they say, and the path that was searched."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[list[str], ModuleSpec]] = {}
        sys.meta_path.insert(0, self)  # type: ignore[arg-type]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        searched = list(sys.path if path is None else path)
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]  # type: ignore[arg-type]
        spec = next((found for finder in behind if (found := finder.find_spec(fullname, path, target))), None)
        if spec is not None:
            self.seen.setdefault(fullname, (searched, spec))
        return spec

"""A small text file of a folder, with line numbers. Nothing here knows a language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fnctl.config.detect.finding import Evidence

MAX_BYTES = 1 << 20  # entry files and manifests are small; past this it is not one
MAX_SAID = 100  # characters of a line that are shown


@dataclass(frozen=True, slots=True)
class Source:
    name: str  # relative to the folder that is looked at
    text: str

    def line_at(self, offset: int) -> int:
        """The line of a place in the text, from 1."""
        return self.text.count("\n", 0, offset) + 1

    def line(self, number: int) -> str:
        """What a line says, shortened."""
        lines = self.text.splitlines()
        said = " ".join(lines[number - 1].split()) if 0 < number <= len(lines) else ""
        return said if len(said) <= MAX_SAID else f"{said[: MAX_SAID - 1]}…"

    def evidence(self, line: int, so: str) -> Evidence:
        return Evidence(self.name, line, self.line(line), so)

    def evidence_at(self, offset: int, so: str) -> Evidence:
        return self.evidence(self.line_at(offset), so)

    def find(self, text: str) -> int:
        """The line that has `text`, or 1: for files that were parsed without places."""
        at = self.text.find(text)
        return self.line_at(at) if at >= 0 else 1


def read_source(folder: Path, name: str) -> Source | None:
    """The file `name` of a folder, or None where it is not a small file in it that can be read."""
    path = folder / name
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        if not path.resolve().is_relative_to(folder.resolve()):
            return None
        return Source(name, path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return None


def first_source(folder: Path, names: Iterable[str]) -> Source | None:
    return next((source for name in names if (source := read_source(folder, name)) is not None), None)

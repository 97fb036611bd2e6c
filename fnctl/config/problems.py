"""What is wrong in a configuration file, with file and line; gathered, so that one run tells of all of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from fnctl.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` counts from 1; None where the problem is of the whole file."""

    file: str
    line: int | None
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


def failure(problems: Iterable[Problem]) -> ConfigError:
    """One error for all problems, in the order of the files' lines; a lone problem keeps its hint apart."""
    ordered = sorted(set(problems), key=lambda each: (each.file, each.line or 0, each.text))
    if len(ordered) == 1:
        return ConfigError(str(ordered[0]), hint=ordered[0].hint)
    lines = [f"{each} ({each.hint})" if each.hint else str(each) for each in ordered]
    return ConfigError(f"{len(ordered)} problems in the configuration\n  " + "\n  ".join(lines))


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """A hint: the nearest known word, else all of them."""
    words = sorted(known)
    near = get_close_matches(found.lower(), words, n=1)
    return f"did you mean `{near[0]}`?" if near else "known: " + ", ".join(words)

"""`${VAR}` in a text → its value, by Docker Compose's rules. The one interpolator of fnctl.yaml and environment files.

    ${VAR}             its value
    ${VAR:-x} ${VAR-x} x, where it is unset or empty / unset
    ${VAR:+x} ${VAR+x} x, where it is set and not empty / set; else nothing
    ${VAR:?x} ${VAR?x} an error that says x, where it is unset or empty / unset
    $VAR               as ${VAR}, where the caller wants it so
    $$                 a dollar; any other dollar is one, too

`x` may hold all of this again, and is looked at only where it is used. Differences from Compose: the x of an error is
told as it is written, so that no value stands in an error; what an unset `${VAR}` without any x means is the caller's
to say (https://docs.docker.com/reference/compose-file/interpolation/).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MAX_DEPTH = 16  # of one variable inside another; no honest file has three

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOW = re.compile(r":?[-+?]")
_BRACE = re.compile(r"\$\$|\$\{|\}")


class Unfilled(Exception):
    """The text cannot be filled in: `text` says why, in words that hold no value."""

    def __init__(self, text: str, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Interpolator:
    """`value`: a variable's, None where it is unset. `unset`: what stands for one that is and has no default.
    `bare`: `$VAR` is a variable. `keep`: of which variables `${VAR…}` stays as it is written."""

    value: Callable[[str], str | None]
    unset: Callable[[str], str] = lambda name: ""
    bare: bool = True
    keep: Callable[[str], bool] = lambda name: False

    def fill(self, text: str) -> str:
        """Raises Unfilled."""
        return self._fill(text, 0)

    def _fill(self, text: str, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise Unfilled("variables inside variables inside variables: too deep")
        parts, at = [], 0
        while (dollar := text.find("$", at)) >= 0:
            parts.append(text[at:dollar])
            filled, at = self._dollar(text, dollar, depth)
            parts.append(filled)
        return "".join(parts) + text[at:]

    def _dollar(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """What the dollar at `at` and what belongs to it become, and where that ends."""
        after = text[at + 1 : at + 2]
        if after == "$":
            return "$", at + 2
        if after == "{":
            end = _closing(text, at + 2)
            return self._braced(text[at : end + 1], depth), end + 1
        name = _NAME.match(text, at + 1) if self.bare else None
        if name is None:
            return "$", at + 1
        return self._plain(name[0]), name.end()

    def _braced(self, whole: str, depth: int) -> str:
        inner = whole[2:-1]
        name = _NAME.match(inner)
        how = _HOW.match(inner, name.end()) if name else None
        if name is None or (how is None and name.end() != len(inner)):
            raise _broken()
        if self.keep(name[0]):
            return whole
        if how is None:
            return self._plain(name[0])
        return self._chosen(name[0], how[0], inner[how.end() :], depth)

    def _plain(self, name: str) -> str:
        value = self.value(name)
        return self.unset(name) if value is None else value

    def _chosen(self, name: str, how: str, word: str, depth: int) -> str:
        value = self.value(name)
        there = bool(value) if how.startswith(":") else value is not None
        if how.endswith("+"):
            return self._fill(word, depth + 1) if there else ""
        if there:
            return value or ""
        if how.endswith("?"):
            raise Unfilled(f"{name} is not set: {word}" if word else f"{name} is not set")
        return self._fill(word, depth + 1)


def _closing(text: str, at: int) -> int:
    """Where the brace is that closes the one before `at`."""
    open_braces = 1
    for found in _BRACE.finditer(text, at):
        open_braces += {"${": 1, "}": -1}.get(found[0], 0)
        if open_braces == 0:
            return found.start()
    raise _broken()


def _broken() -> Unfilled:
    hint = "write ${NAME}, or ${NAME:-default}; a plain $ before { is written $$"
    return Unfilled("`${` is not followed by a name and `}`", hint)

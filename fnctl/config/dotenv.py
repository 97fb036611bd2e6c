"""Environment files (`.env`, `env_file:`) by the rules of Docker Compose: a file → its variables, and problems.

The rules (https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax):
`NAME=value` a line, perhaps after `export`; `#` begins a comment at a line's start, after a space, or after a closing
quote. A value in single quotes is literal but for `\\'`; one in double quotes knows `\\n \\r \\t \\\\ \\" \\$`. Both
may span lines. Outside of single quotes `$NAME`, `${NAME}` and `${NAME:-default}` (also `-`, `:+`, `+`,
`:?`, `?`) are filled in, from the environment or from lines above; what is not set is empty. A name alone takes the
environment's value. Not supported: a variable inside of a default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fnctl.config.problems import Problem

MAX_BYTES = 1 << 20

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_NAME = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)")
_SEPARATOR = re.compile(r"[ \t]*[=:]")
_SINGLE = re.compile(r"[ \t]*'((?:[^'\\]|\\.)*)'", re.DOTALL)
_DOUBLE = re.compile(r'[ \t]*"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTE = re.compile(r"[ \t]*['\"]")
_COMMENT = re.compile(r"[ \t]+#.*")
_REST = re.compile(r"[^\n]*")
_AFTER_QUOTE = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?=\n|\Z)")
_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<how>:?[-+?])(?P<word>[^}]*))?\}|(?P<bad>\{))"
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": "$"}


def read(path: Path, label: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a file; `label`: how problems name it. Values stand in no problem: they may be secrets."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
        text = raw.decode("utf-8-sig")
    except OSError as error:
        return {}, [Problem(label, None, f"cannot be read: {error.strerror}")]
    except ValueError as error:
        said = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        return {}, [Problem(label, None, f"cannot be read: {said}")]
    scanner = _Scanner(text, label, environ)
    scanner.run()
    return scanner.found, scanner.problems


class _Scanner:
    """Goes through the text once. A line that is wrong is a problem, and the next one is looked at."""

    def __init__(self, text: str, label: str, environ: Mapping[str, str]) -> None:
        self.found: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._label = label
        self._environ = environ

    def run(self) -> None:
        while self._take(_SPACE) or self._at < len(self._text):
            if self._at < len(self._text):
                self._line()

    def _line(self) -> None:
        start = self._at
        name = self._take(_NAME)
        if name is None:
            self._problem(start, "a line is not NAME=value", "a comment begins with #")
            self._take(_REST)
        elif self._take(_SEPARATOR):
            value = self._value(start, name[1])
            if value is not None:
                self.found[name[1]] = value
        elif (rest := self._take(_REST)) and rest[0].strip() and not rest[0].lstrip().startswith("#"):
            self._problem(start, f"{name[1]} is not followed by `=`", f"write {name[1]}=value")
        elif name[1] in self._environ:
            self.found[name[1]] = self._environ[name[1]]

    def _value(self, start: int, name: str) -> str | None:
        if single := self._take(_SINGLE):
            value: str | None = single[1].replace("\\'", "'")
        elif double := self._take(_DOUBLE):
            value = self._filled(start, double[1], escapes=True)
        elif self._match(_QUOTE):
            self._problem(start, f"the quote of {name} is not closed", "write the quote itself as \\' or \\\"")
            self._at = len(self._text)
            return None
        else:
            rest = self._take(_REST)
            assert rest is not None  # it matches the empty text too
            return self._filled(start, _COMMENT.sub("", rest[0]).strip(), escapes=False)
        if self._take(_AFTER_QUOTE) is None:
            self._problem(start, f"something follows the closing quote of {name}", "a comment there begins with #")
            self._take(_REST)
            return None
        return value

    def _filled(self, start: int, text: str, *, escapes: bool) -> str | None:
        """With variables filled in; None where the text says that this must not be."""
        parts, at = [], 0
        for piece in re.finditer(r"\\.|\$", text, re.DOTALL):
            if piece.start() < at:
                continue
            parts.append(text[at : piece.start()])
            if piece[0] != "$":
                plain = escapes or piece[0] == "\\$"
                parts.append(_ESCAPED.get(piece[0][1], piece[0]) if plain else piece[0])
                at = piece.end()
                continue
            variable = _VARIABLE.match(text, piece.start())
            filled = "$" if variable is None else self._variable(start, variable)
            if filled is None:
                return None
            parts.append(filled)
            at = piece.end() if variable is None else variable.end()
        return "".join(parts) + text[at:]

    def _variable(self, start: int, found: re.Match[str]) -> str | None:
        if found["dollar"]:
            return "$"
        name = found["plain"] or found["name"]
        if name is None:
            self._problem(start, "`${` is not followed by a name and `}`", "a plain $ is written $$")
            return None
        how, word = found["how"] or "", found["word"] or ""
        value = self._environ.get(name, self.found.get(name))
        there = bool(value) if how.startswith(":") else value is not None
        if how.endswith("?") and not there:
            self._problem(start, f"{name} is not set: {word}" if word else f"{name} is not set")
            return None
        if how.endswith("+"):
            return word if there else ""
        return (value or "") if there or not how else word

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self._text, self._at)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = self._match(pattern)
        if found:
            self._at = found.end()
        return found

    def _problem(self, at: int, text: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self._label, self._text.count("\n", 0, at) + 1, text, hint))

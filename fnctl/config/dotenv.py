"""Environment files (`.env`, `env_file:`) by the rules of Docker Compose: a file → its variables, and problems.

The rules (https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax):
`NAME=value` a line, perhaps after `export`; `#` begins a comment at a line's start, after a space, or after a closing
quote. A value in single quotes is literal but for `\\'`; one in double quotes knows `\\n \\r \\t \\\\ \\" \\$`. Both
may span lines. Outside of single quotes `$NAME` and `${NAME…}` are filled in (interpolate.py), from the environment or
from lines above; what is not set is empty. A name alone takes the environment's value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fnctl.config.interpolate import Interpolator, Unfilled
from fnctl.config.problems import Problem, failure

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
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_ESCAPED_DOLLAR = "\0"  # no file may hold one
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "$": _ESCAPED_DOLLAR}


def load(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """A folder's `.env`, where it has one: what it says where the environment says nothing. ConfigError."""
    if not path.is_file():
        return {}
    variables, problems = read(path, path.name, environ)
    if problems:
        raise failure(problems)
    return variables


def read(path: Path, label: str, environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """The variables of a file; `label`: how problems name it. Values stand in no problem: they may be secrets."""
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
        text = raw.decode("utf-8-sig")
        if "\0" in text:
            raise ValueError("contains a NUL character")
    except OSError as error:
        return {}, [Problem(label, None, f"cannot be read: {error.strerror}")]
    except ValueError as error:
        said = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        return {}, [Problem(label, None, f"cannot be read: {said}")]
    scanner = _Scanner(text, label, environ)
    scanner.run()
    return scanner.found, scanner.problems


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[0][1], found[0])


def _dollar(found: re.Match[str]) -> str:
    """Outside of quotes a backslash is a character, but before a dollar."""
    return _ESCAPED_DOLLAR if found[0] == "\\$" else found[0]


class _Scanner:
    """Goes through the text once. A line that is wrong is a problem, and the next one is looked at."""

    def __init__(self, text: str, label: str, environ: Mapping[str, str]) -> None:
        self.found: dict[str, str] = {}
        self.problems: list[Problem] = []
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._label = label
        self._environ = environ
        self._fill = Interpolator(lambda name: environ.get(name, self.found.get(name))).fill

    def run(self) -> None:
        while self._take(_SPACE) or self._at < len(self._text):
            if self._at < len(self._text):
                self._line()

    def _line(self) -> None:
        start = self._at
        name = self._take(_NAME)
        if name is None:
            self._problem(start, "this line is not NAME=value", "start a comment with #")
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
            self._problem(start, f"the quote of {name} is not closed", "write a quote inside it as \\' or \\\"")
            self._at = len(self._text)
            return None
        else:
            rest = self._take(_REST)
            assert rest is not None  # it matches the empty text too
            return self._filled(start, _COMMENT.sub("", rest[0]).strip(), escapes=False)
        if self._take(_AFTER_QUOTE) is None:
            self._problem(start, f"text after the closing quote of {name}", "start a comment with #")
            self._take(_REST)
            return None
        return value

    def _filled(self, start: int, text: str, *, escapes: bool) -> str | None:
        """With variables filled in; None where the text says that this must not be."""
        try:
            return self._fill(_ESCAPE.sub(_unescaped if escapes else _dollar, text)).replace(_ESCAPED_DOLLAR, "$")
        except Unfilled as wrong:
            self._problem(start, wrong.text, wrong.hint)
            return None

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self._text, self._at)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = self._match(pattern)
        if found:
            self._at = found.end()
        return found

    def _problem(self, at: int, text: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self._label, self._text.count("\n", 0, at) + 1, text, hint))

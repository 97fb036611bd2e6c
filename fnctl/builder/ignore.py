"""Which files of a function's folder stay out of its bundle, by Docker's rules for `.dockerignore`. Pure.

The rules (https://docs.docker.com/build/concepts/context/#dockerignore-files): one pattern a line, `#` begins a
comment, `!` an exception, and the last line that matches decides. A pattern is rooted at the folder, unlike git's; a
leading or trailing slash means nothing; `*` and `?` stop at a slash, `**` does not; what matches a folder matches all
below it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from fnctl.errors import BuildError

# Never of use to a function that runs; a line `!node_modules` brings one back.
DEFAULTS = (
    "**/node_modules",
    "**/__pycache__",
    "**/*.pyc",
    "**/.venv",
    "**/.mypy_cache",
    "**/.pytest_cache",
    "**/.ruff_cache",
    "**/.DS_Store",
)

# In no bundle whatever the file says: history, fnctl's own, and files that people and package managers keep
# credentials in.
ALWAYS = (
    "**/.env",
    "**/.env.*",
    "**/.envrc",
    "**/.git",
    "**/.hg",
    "**/.svn",
    "**/.npmrc",
    "**/.yarnrc",
    "**/.yarnrc.yml",
    "**/.pypirc",
    "**/.netrc",
    "**/pip.conf",
    ".fnctl",
    "fnctl.yaml",
    ".dockerignore",
)


@dataclass(frozen=True, slots=True)
class Pattern:
    regex: re.Pattern[str]
    exception: bool
    parts: tuple[str, ...] = ()  # the pattern's own, between its slashes

    def matches(self, name: str) -> bool:
        """Does it match the path, or a folder above it?"""
        return any(self.regex.fullmatch(each) for each in _with_parents(name))

    def reaches(self, folder: str) -> bool:
        """Can it match the folder or something below it?"""
        for part, name in zip(self.parts, folder.split("/"), strict=False):
            if "**" in part or "[" in part:  # these cross slashes, or hold some
                return True
            if re.fullmatch(_regex(part), name, re.DOTALL) is None:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Ignore:
    """What `.dockerignore` and fnctl's own lists leave out. Names are relative, with `/` between their parts."""

    patterns: tuple[Pattern, ...]
    always: tuple[Pattern, ...]

    def leaves_out(self, name: str) -> bool:
        if any(pattern.matches(name) for pattern in self.always):
            return True
        out = False
        for pattern in self.patterns:
            if pattern.exception == out and pattern.matches(name):
                out = not pattern.exception
        return out

    def skips(self, folder: str) -> bool:
        """True where nothing below the folder can come back, so that it need not be read: only an exception after the
        last line that leaves the folder out could do that."""
        if any(pattern.matches(folder) for pattern in self.always):
            return True
        if not self.leaves_out(folder):
            return False
        last = max(at for at, each in enumerate(self.patterns) if not each.exception and each.matches(folder))
        return not any(each.exception and each.reaches(folder) for each in self.patterns[last:])


def parse(text: str, extra: Iterable[str] = ()) -> Ignore:
    """The rules of a `.dockerignore`, after fnctl's defaults; `extra` patterns are left out always.

    BuildError names the line that is no pattern.
    """
    patterns = [_pattern(line, number=0) for line in DEFAULTS]
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        # Docker looks for the comment sign before it trims: " #x" is a pattern
        if not line.startswith("#") and line.strip():
            patterns.append(_pattern(line.strip(), number))
    return Ignore(tuple(patterns), tuple(_pattern(line, number=0) for line in (*ALWAYS, *extra)))


def exactly(name: str) -> str:
    """The pattern of this one file."""
    return re.sub(r"([*?\[\\])", r"\\\1", name)


def _pattern(line: str, number: int) -> Pattern:
    exception = line.startswith("!")
    body = line[1:].strip() if exception else line
    if not body:
        raise BuildError(f".dockerignore:{number}: `!` alone is not a pattern", hint="write what to keep: `!file`")
    # Go's path.Clean keeps "..", and one leading slash; neither can match a name inside the folder
    cleaned = posixpath.normpath(body.replace("//", "/")).lstrip("/")
    try:
        return Pattern(re.compile(_regex(cleaned), re.DOTALL), exception, tuple(cleaned.split("/")))
    except re.error as error:
        raise BuildError(
            f".dockerignore:{number}: `{line}` is not a valid pattern: {error}",
            hint="a `[` needs its `]`; escape it with `\\`",
        ) from error


def _regex(pattern: str) -> str:
    """The expression that moby's patternmatcher makes of it."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if pattern.startswith("**", at):
            at += 2
            if pattern.startswith("/", at):
                at += 1
            # at the end it takes anything below; before a name, any number of folders, none too
            out.append(".*" if at >= len(pattern) else "(?:.*/)?")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "\\" and at + 1 < len(pattern):
            at += 1
            out.append(re.escape(pattern[at]))
        elif char == "[":
            end = _class_end(pattern, at)
            out.append(pattern[at:end])
            at = end
            continue
        else:
            out.append(re.escape(char))
        at += 1
    return "".join(out)


def _class_end(pattern: str, start: int) -> int:
    """The index after the `]` of the class that begins at `start`; the rest of the pattern where there is none."""
    at = start + 1
    if pattern.startswith("^", at):
        at += 1
    while at < len(pattern) and pattern[at] != "]":
        at += 2 if pattern[at] == "\\" else 1
    return at + 1 if at < len(pattern) else len(pattern)


def _with_parents(name: str) -> Iterable[str]:
    yield name
    while (cut := name.rfind("/")) > 0:
        name = name[:cut]
        yield name

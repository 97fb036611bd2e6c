"""Reads JavaScript as text: comments out of the way, what a module exports and with which parameters. Runs nothing.

A tokenizer for comments, strings and regular expressions, and patterns over the rest: not a parser. What it cannot tell
it leaves open; nothing is taken to be there that is not written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

_SKIPPED = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`)
    |(?:[=(,:;!&|?{}\[]|\breturn\b)\s*(?P<regex>/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/)""",
    re.VERBOSE | re.DOTALL,
)
# A file that a person wrote has fewer exports, and shorter ones; a bundler's output must not take minutes to look at.
MAX_EXPORTS = 200
MAX_SPAN = 50_000
_BRACKET = re.compile(r"[()\[\]{},]")
_NAME = r"[A-Za-z_$][\w$]*"
_ASSIGNED = re.compile(rf"(?<![\w$.])(?:module\s*\.\s*)?exports\s*\.\s*({_NAME})\s*=(?![=>])")
_WHOLE = re.compile(r"(?<![\w$.])module\s*\.\s*exports\s*=(?![=>])")
_CHAIN = re.compile(
    rf"(?:\s*(?:module\s*\.\s*)?exports(?:\s*\.\s*{_NAME})?\s*=(?![=>])){{0,8}}"
)  # a = exports.b = value
_DECLARED = re.compile(
    rf"(?<![\w$.])export\s+(?:(?P<default>default)\s+)?(?:async\s+)?(?:function\s*\*?\s*(?P<function>{_NAME})?\s*(?=\()"
    rf"|(?:const|let|var)\s+(?P<variable>{_NAME})\s*(?::[^=;\n]*)?=(?![=>]))"
)
_DEFAULT = re.compile(r"(?<![\w$.])export\s+default\s+(?!(?:async\s+)?function\b|class\b)")
_LISTED = re.compile(r"(?<![\w$.])export\s*\{([^}]{0,1000})\}(?!\s*from)")
_FUNCTION = re.compile(rf"\s*(?:async\b\s*)?function\b\s*\*?\s*(?:{_NAME})?\s*(?=\()")
_ONE = re.compile(rf"\s*(?:async\b\s*)?({_NAME})\s*=>")
_ARROW = re.compile(r"\s*(?:async\b\s*)?(?=\()")
_IDENTIFIER = re.compile(rf"\s*({_NAME})\s*(?=[;,)}}\n]|$)")
_AFTER_PARAMETERS = re.compile(r"\s*(?::[^={;]*)?=>")
_MEMBER = re.compile(rf"\s*(?:async\s+)?({_NAME})\s*(?P<after>\(|:|,|$|\}})")
_CALLED = re.compile(rf"\s*(?:await\s+)?(?:new\s+)?({_NAME}(?:\s*\.\s*{_NAME})*)\s*\(")
# Ways to export that are decided while the program runs.
_DYNAMIC = re.compile(
    r"exports\s*\[|Object\s*\.\s*(?:assign|definePropert(?:y|ies))\s*\(\s*(?:module\s*\.\s*)?exports\b|__exportStar"
    r"|export\s*\*|(?:module\s*\.\s*)?exports\s*=\s*(?:await\s+)?(?:require|new\b)|\.\.\."
)


@dataclass(frozen=True, slots=True)
class Export:
    """`parameters` None: not a function that is written out. `value`: what is assigned, where that is a name."""

    name: str
    offset: int
    parameters: tuple[str, ...] | None
    value: str = ""


@dataclass(slots=True)
class Script:
    """`text` is the file with comments blanked; `code` with the insides of strings and patterns blanked too. The
    places of all three are the same."""

    text: str
    code: str
    exports: tuple[Export, ...] = field(default=())
    complete: bool = True  # `exports` are all there are, as far as can be read

    def export(self, name: str) -> Export | None:
        return next((each for each in self.exports if each.name == name), None)


def read_script(raw: str) -> Script:
    text, code = list(raw), list(raw)
    for match in _SKIPPED.finditer(raw):
        if match["comment"] is not None:
            _blank(text, match.start(), match.end())
            _blank(code, match.start(), match.end())
        elif match["string"] is not None:
            _blank(code, match.start() + 1, match.end() - 1)
        else:
            _blank(code, match.start("regex") + 1, match.end("regex") - 1)
    script = Script("".join(text), "".join(code))
    found: dict[str, Export] = {}
    for export in _exports(script.code):
        found.setdefault(export.name, export)
    script.exports = tuple(found.values())
    script.complete = len(found) < MAX_EXPORTS and not _DYNAMIC.search(script.code)
    return script


def _blank(characters: list[str], start: int, end: int) -> None:
    characters[start:end] = [each if each == "\n" else " " for each in characters[start:end]]


def _exports(code: str) -> Iterator[Export]:
    for match in islice(_ASSIGNED.finditer(code), MAX_EXPORTS):
        yield _export(code, match[1], match.start(), match.end())
    for match in islice(_WHOLE.finditer(code), MAX_EXPORTS):
        yield from _whole(code, match.start(), match.end())
    for match in islice(_DECLARED.finditer(code), MAX_EXPORTS):
        name = "default" if match["default"] else match["function"] or match["variable"]
        if name and match["variable"]:
            yield _export(code, name, match.start(), match.end())
        elif name:
            yield Export(name, match.start(), _parameters(code, match.end()))
    for match in islice(_DEFAULT.finditer(code), MAX_EXPORTS):
        yield from _whole(code, match.start(), match.end())
    for match in islice(_LISTED.finditer(code), MAX_EXPORTS):
        for item in match[1].split(","):
            name, _, alias = (part.strip() for part in item.partition(" as "))
            if name:
                yield Export(alias or name, match.start(), declared(code, name), name)


def _export(code: str, name: str, offset: int, at: int) -> Export:
    """An export whose value begins at `at`, behind further names for it."""
    at = _behind_names(code, at)
    parameters = function_at(code, at)
    if parameters is not None:
        return Export(name, offset, parameters)
    if identifier := _IDENTIFIER.match(code, at):
        return Export(name, offset, declared(code, identifier[1]), identifier[1])
    called = _CALLED.match(code, at)
    return Export(name, offset, None, f"{called[1]}(" if called else "")


def _whole(code: str, offset: int, at: int) -> Iterator[Export]:
    """`module.exports = …`: an object's members are exports; anything else is the default one."""
    at = _behind_names(code, at)
    brace = re.compile(r"\s*\{").match(code, at)
    if brace is None:
        yield _export(code, "default", offset, at)
        return
    for start, end in _parts(code, brace.end() - 1):
        member = _MEMBER.match(code, start, end)
        if member is None:
            continue
        place = start + len(code[start:end]) - len(code[start:end].lstrip())
        if member["after"] == "(":
            yield Export(member[1], place, _parameters(code, code.index("(", start)))
        elif member["after"] == ":":
            yield _export(code[:end] + ";", member[1], place, code.index(":", start) + 1)
        else:
            yield Export(member[1], place, declared(code, member[1]), member[1])


def _behind_names(code: str, at: int) -> int:
    chain = _CHAIN.match(code, at)
    return chain.end() if chain else at


def declared(code: str, name: str) -> tuple[str, ...] | None:
    """The parameters of the function that a file declares under `name`."""
    plain = re.search(rf"(?<![\w$.])function\s*\*?\s*{re.escape(name)}\s*(?=\()", code)
    if plain:
        return _parameters(code, plain.end())
    variable = re.search(rf"(?<![\w$.])(?:const|let|var)\s+{re.escape(name)}\s*(?::[^=;\n]*)?=(?![=>])", code)
    return function_at(code, variable.end()) if variable else None


def made_by(code: str, name: str) -> str | None:
    """The constructor or factory of a variable: `express` of `const app = express()`."""
    variable = re.search(rf"(?<![\w$.])(?:const|let|var)\s+{re.escape(name)}\s*(?::[^=;\n]*)?=(?![=>])", code)
    called = _CALLED.match(code, variable.end()) if variable else None
    return called[1] if called else None


def function_at(code: str, at: int) -> tuple[str, ...] | None:
    """The parameters of the function expression that begins at `at`; None where there is none."""
    if match := _FUNCTION.match(code, at):
        return _parameters(code, match.end())
    if match := _ONE.match(code, at):
        return (match[1],)
    if match := _ARROW.match(code, at):
        end = _closing(code, match.end())
        return _parameters(code, match.end()) if _AFTER_PARAMETERS.match(code, end) else None
    return None


def _parameters(code: str, at: int) -> tuple[str, ...]:
    """The names in the parentheses that open at `at`: `{}` for one that is taken apart."""
    found = []
    for start, end in _parts(code, at):
        name = re.match(rf"\s*(?:\.\.\.)?\s*({_NAME})", code[start:end])
        if code[start:end].strip():
            found.append(name[1] if name else "{}")
    return tuple(found)


def _parts(code: str, at: int) -> Iterator[tuple[int, int]]:
    """The pieces between commas in the brackets that open at `at`."""
    start, depth, last = at + 1, 0, min(len(code), at + MAX_SPAN)
    for match in _BRACKET.finditer(code, at, last):
        bracket = match[0]
        if bracket == ",":
            if depth == 1:
                yield start, match.start()
                start = match.end()
            continue
        depth += 1 if bracket in "([{" else -1
        if depth == 0:
            last = match.start()
            break
    yield start, last


def _closing(code: str, at: int) -> int:
    """The place behind the bracket that closes the one at `at`, or where it should have been by then."""
    depth, last = 0, min(len(code), at + MAX_SPAN)
    for match in _BRACKET.finditer(code, at, last):
        if match[0] != ",":
            depth += 1 if match[0] in "([{" else -1
        if depth == 0:
            return match.end()
    return last

"""A YAML file as plain data, with the line of every key and `${VAR}` filled in. Knows nothing of what the keys mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fnctl.config.interpolate import Interpolator, Unfilled
from fnctl.config.problems import Problem

Loc = tuple[str | int, ...]

MAX_BYTES = 1 << 20
# Aliases make a small file unfold into an endless one; no honest configuration has this many values.
MAX_VALUES = 50_000

_TAG = "tag:yaml.org,2002:"


@dataclass(slots=True)
class Document:
    """`data` is made of dict, list, str, int, float, bool and None; `lines` has the line of each key and item."""

    label: str  # how messages name the file
    path: Path
    data: Any = None
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, loc: Loc) -> int | None:
        """The line of `loc`, or of the nearest thing around it that the file has."""
        return next((self.lines[loc[:end]] for end in range(len(loc), -1, -1) if loc[:end] in self.lines), None)

    def problem(self, loc: Loc, text: str, hint: str | None = None) -> None:
        self.problems.append(Problem(self.label, self.line(loc), text, hint))


def read(
    path: Path,
    label: str,
    environ: Mapping[str, str],
    verbatim: Callable[[Loc], bool] = lambda loc: False,
    later: Callable[[Loc, str], bool] = lambda loc, name: False,
    untouched: Callable[[Loc], bool] = lambda loc: False,
) -> Document:
    """Parse one file. What is wrong with it is in `problems`, and `data` is None where it could not be read at all.

    Where `untouched` says so, `$` is a character like others.

    Scalars where `verbatim` says so stay the text that the file has: an environment's `1.10` is not a number. Where
    `later` says so of a variable, its `${NAME}` stays as it is: it is known only where the value is used.
    """
    return _read(path, label, lambda document: _Reader(document, environ, verbatim, later, untouched))


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value with a tag of its own, as another platform's file has them: `!Ref Table`."""

    tag: str
    value: Any


def read_foreign(path: Path, label: str) -> Document:
    """Parse a file that is not ours: `${…}` stays as it is written, and `!Tag value` becomes a Tagged.

    Scalars are text, as they are written, until somebody asks for a number: `012345678901` and `1.10` may be anything.
    """
    return _read(path, label, _ForeignReader)


def _read(path: Path, label: str, reader: Callable[[Document], _Reader]) -> Document:
    document = Document(label, path)
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
        root = YAML(typ="safe", pure=True).compose(raw.decode("utf-8-sig"))
    except MarkedYAMLError as error:
        document.problems.append(_broken(label, error))
    except (OSError, ValueError, YAMLError) as error:
        document.problems.append(Problem(label, None, f"cannot be read: {error}"))
    else:
        if root is not None:
            document.data = reader(document).value(root, ())
    return document


def _broken(label: str, error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = str(error.problem or error).strip()
    hint = "indent with spaces, not tabs" if "\\t" in said else "quote values that hold `: `, `{`, `[` or `#`"
    return Problem(label, mark.line + 1 if mark else None, f"not valid YAML: {said}", hint)


class _Reader:
    """Walks the node graph once, keeping lines and problems in the document."""

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        verbatim: Callable[[Loc], bool],
        later: Callable[[Loc, str], bool],
        untouched: Callable[[Loc], bool],
    ) -> None:
        self._document = document
        self._environ = environ
        self._verbatim = verbatim
        self._later = later
        self._untouched = untouched
        self._open: set[int] = set()
        self._left = MAX_VALUES

    def value(self, node: Node, loc: Loc) -> Any:
        self._document.lines.setdefault(loc, node.start_mark.line + 1)
        self._left -= 1
        if self._left < 0 or id(node) in self._open:
            if self._left in (-1, 0) or id(node) in self._open:
                self._document.problem(loc, "YAML aliases expand to too many values, or to themselves")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, loc)
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                return [self.value(child, (*loc, index)) for index, child in enumerate(node.value)]
            return self._mapping(node, loc) if isinstance(node, MappingNode) else None
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key, child in node.value:
            if key.tag == _TAG + "merge":
                merged.update(self._merged(child, loc))
                continue
            if not isinstance(key, ScalarNode):
                self._document.problem(loc, "a key must be a plain word")
                continue
            name, at = str(key.value), (*loc, str(key.value))
            if name in own:
                first = self._document.lines[at]
                text = f"duplicate key `{name}`; first in line {first}"
                self._document.problems.append(Problem(self._document.label, key.start_mark.line + 1, text))
                continue
            self._document.lines[at] = key.start_mark.line + 1
            own[name] = self.value(child, at)
        return {**merged, **own}

    def _merged(self, node: Node, loc: Loc) -> dict[str, Any]:
        """What `<<:` brings: one mapping, or several of which the first wins."""
        parts = node.value if isinstance(node, SequenceNode) else [node]
        found: dict[str, Any] = {}
        for part in reversed(parts):
            if isinstance(part, MappingNode):
                found.update(self.value(part, loc))
        return found

    def _scalar(self, node: ScalarNode, loc: Loc) -> Any:
        text = str(node.value)
        if "$" in text and not self._untouched(loc):
            return self._filled(text, loc)
        if node.tag == _TAG + "null":
            return None
        return text if self._verbatim(loc) else _typed(str(node.tag), text)

    def _filled(self, text: str, loc: Loc) -> str:
        """`$NAME` alone stays: in a command it stands for what is known only where that runs."""

        def unset(name: str) -> str:
            hint = f"export {name}=…, or give a default: ${{{name}:-…}}"
            self._document.problem(loc, f"environment variable {name} is not set", hint)
            return ""

        fill = Interpolator(self._environ.get, unset, bare=False, keep=lambda name: self._later(loc, name)).fill
        try:
            return fill(text)
        except Unfilled as wrong:
            self._document.problem(loc, wrong.text, wrong.hint)
            return ""


class _ForeignReader(_Reader):
    """Fills nothing in: what a `${…}` means is that platform's business."""

    def __init__(self, document: Document) -> None:
        super().__init__(document, {}, lambda loc: False, lambda loc, name: False, lambda loc: True)

    def value(self, node: Node, loc: Loc) -> Any:
        value = super().value(node, loc)
        tag = str(node.tag)
        return Tagged(tag, value) if tag.startswith("!") and tag != "!" else value

    def _scalar(self, node: ScalarNode, loc: Loc) -> Any:
        return None if node.tag == _TAG + "null" else str(node.value)


def number(text: str) -> float:
    """A scalar of a file as the number that YAML has it for. ValueError where it is none."""
    tag = "int" if text.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else "float"
    return float(_typed(_TAG + tag, text))


def _typed(tag: str, text: str) -> Any:
    kind = tag.removeprefix(_TAG)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        digits = text.replace("_", "")
        return int(digits, 0 if digits.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else 10)
    if kind == "float":
        word = text.lower().replace("_", "").lstrip("+")
        return {".inf": math.inf, "-.inf": -math.inf, ".nan": math.nan}.get(word) or float(word)
    return text

"""Runtime expressions: jq, compiled once; plain paths are walked without it. Knows no task.

An expression sees its data as `.`, and variables such as `$context`. What is computed here must not depend on the
machine: its environment is hidden from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jq

from fnctl.openworkflow.fault import standard

_WRAPPED = re.compile(r"\s*\$\{(.*)\}\s*", re.DOTALL)
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_PLAIN = re.compile(r"(?:\$([A-Za-z_]\w*))?((?:\.[A-Za-z_]\w*|\[\d+\])*)|\.")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
_WHERE = re.compile(r"line (\d+), column (\d+)")
_HIDDEN = 'def env: {}; def halt: error("halt is not available here"); def halt_error: halt; def input: null;'
# Words of the language itself, which need not be given.
_OWN = frozenset({"__loc__"})
_MISSING = object()


class ExpressionError(ValueError):
    """It does not parse. `line` and `column` count from 1, within the expression."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def inner(text: str) -> str | None:
    """What `${ … }` holds; None where the text is not such a thing."""
    found = _WRAPPED.fullmatch(text)
    return found[1].strip() if found else None


def bare(text: str) -> str:
    """The expression in a text of which it is known that it is one: `${ }` around it can be left out."""
    within = inner(text)
    return text.strip() if within is None else within


class Expression:
    """One expression. Made once; asked often, also with variables that others do not have."""

    def __init__(self, text: str) -> None:
        """Raises ExpressionError where it does not parse. `text`: without `${ }`."""
        self.text = text
        named = set(_VARIABLE.findall(text)) - _OWN
        self.variables = frozenset(name for name in named if not _bound_within(name, text))
        if "ENV" in self.variables:
            raise ExpressionError("$ENV is not available: use `$secrets`")
        self._plain = _path(text)
        self._program: Any = None
        if self._plain is None:
            self._program = self._compiled()

    def _compiled(self) -> Any:
        names = sorted(self.variables)
        try:
            jq.compile(self.text, args=dict.fromkeys(names))  # by itself first: a parenthesis too many is seen here
            bound = "".join(f".v.{name} as ${name} | " for name in names)
            return jq.compile(f"{_HIDDEN} {bound} .d | (\n{self.text}\n)")
        except ValueError as error:
            raise _broken(str(error)) from None

    def evaluate(self, data: Any, variables: Mapping[str, Any]) -> Any:
        """The first of its results; None where it has none. Raises Fault (expression)."""
        if self._plain is not None:
            found = _walk(self._plain, data, variables)
            if found is not _MISSING:
                return found
            self._program = self._program or self._compiled()  # jq tells what is wrong
        given = {name: variables.get(name) for name in self.variables}
        try:
            return next(iter(self._program.input_value({"d": data, "v": given})), None)
        except ValueError as error:
            raise standard("expression", f"`{self.text}`: {error}") from None


def _bound_within(name: str, text: str) -> bool:
    """Whether the expression binds the variable itself: `… as $x | …`, `def f($x): …`."""
    return re.search(rf"\bas\b[^|]*\${name}\b|\bdef\s+\w+\([^)]*\${name}\b", text) is not None


def _path(text: str) -> tuple[str | None, tuple[str | int, ...]] | None:
    """A plain path's variable and steps; None where it is more than that."""
    found = _PLAIN.fullmatch(text)
    if found is None or not text or text.startswith("[") or found[1] in _OWN:
        return None
    steps = tuple(name or int(number) for name, number in _STEP.findall(found[2] or ""))
    return found[1], steps


def _walk(path: tuple[str | None, tuple[str | int, ...]], data: Any, variables: Mapping[str, Any]) -> Any:
    name, steps = path
    found = data if name is None else variables.get(name)
    for step in steps:
        if found is None:
            return None
        if isinstance(found, dict) and isinstance(step, str):
            found = found.get(step)
        elif isinstance(found, list) and isinstance(step, int):
            found = found[step] if step < len(found) else None
        else:
            return _MISSING
    return found


def _broken(said: str) -> ExpressionError:
    first = said.removeprefix("jq: error: ").splitlines()[0]
    where = _WHERE.search(first)
    message = re.sub(r" at <top-level>.*", "", first)
    return ExpressionError(message, int(where[1]), int(where[2])) if where else ExpressionError(message)


class Expressions:
    """Those of one definition, each compiled once."""

    def __init__(self) -> None:
        self._known: dict[str, Expression] = {}
        self._written: dict[str, Expression] = {}  # by what stands in the definition
        self._wrapped: dict[str, bool] = {}  # of the definition's texts, which are of the form `${ … }`

    def of(self, text: str) -> Expression:
        """Raises ExpressionError."""
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = Expression(text)
        return found

    def evaluate(self, text: str, data: Any, variables: Mapping[str, Any]) -> Any:
        """A text that is an expression, with or without `${ }`. Raises Fault."""
        try:
            found = self._written.get(text)
            if found is None:
                found = self._written[text] = self.of(bare(text))
            return found.evaluate(data, variables)
        except ExpressionError as error:
            raise standard("expression", f"`{bare(text)}`: {error.message}") from None

    def filled(self, value: Any, data: Any, variables: Mapping[str, Any]) -> Any:
        """A value in which each text of the form `${ … }` is replaced by its result. Raises Fault."""
        if isinstance(value, str):
            wrapped = self._wrapped.get(value)
            if wrapped is None:
                wrapped = self._wrapped[value] = inner(value) is not None
            return self.evaluate(value, data, variables) if wrapped else value
        if isinstance(value, dict):
            return {key: self.filled(each, data, variables) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.filled(each, data, variables) for each in value]
        return value

    def transformed(self, said: Any, data: Any, variables: Mapping[str, Any]) -> Any:
        """`from` and `as`: one expression, or an object with expressions in it."""
        return self.evaluate(said, data, variables) if isinstance(said, str) else self.filled(said, data, variables)


def true(value: Any) -> bool:
    """As jq has it: all but null and false."""
    return value is not None and value is not False

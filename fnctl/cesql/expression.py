"""Expressions: parsed once, evaluated for each event (specification: github.com/cloudevents/spec, cesql/spec.md). Pure.

An expression is parsed once and evaluated for each event. It always has a value: an error along the way is told beside
it, and where a filter is evaluated, an error is no match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from fnctl.cesql import functions
from fnctl.cesql.values import ZERO, Failure, Failures, Value, cast, kind_of
from fnctl.errors import UsageError

_GRAMMAR = r"""
?start: or
?or: xor | or _OR xor -> either
?xor: and | xor _XOR and -> xor
?and: not | and _AND not -> both
?not: compared | _NOT not -> not
?compared: sum
    | compared EQUALITY sum -> equality
    | compared ORDER sum -> order
    | compared _LIKE STRING -> like
    | compared _NOT _LIKE STRING -> unlike
    | compared _IN "(" [or ("," or)*] ")" -> one_of
    | compared _NOT _IN "(" [or ("," or)*] ")" -> none_of
?sum: product | sum SIGN product -> arithmetic
?product: unary | product FACTOR unary -> arithmetic
?unary: atom | "-" unary -> minus
?atom: INTEGER -> integer
    | STRING -> text
    | _TRUE -> true
    | _FALSE -> false
    | _EXISTS IDENTIFIER -> exists
    | NAME "(" [or ("," or)*] ")" -> call
    | IDENTIFIER -> attribute
    | "(" or ")"
_OR.3: /or(?![a-z0-9_])/i
_XOR.3: /xor(?![a-z0-9_])/i
_AND.3: /and(?![a-z0-9_])/i
_NOT.3: /not(?![a-z0-9_])/i
_LIKE.3: /like(?![a-z0-9_])/i
_IN.3: /in(?![a-z0-9_])/i
_EXISTS.3: /exists(?![a-z0-9_])/i
_TRUE.3: /true(?![a-z0-9_])/i
_FALSE.3: /false(?![a-z0-9_])/i
EQUALITY.2: "=" | "!=" | "<>"
ORDER: "<=" | ">=" | "<" | ">"
SIGN: "+" | "-"
FACTOR: "*" | "/" | "%"
INTEGER: /[0-9]+(?![A-Za-z0-9_])/
STRING: /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"/s
NAME.2: /[A-Za-z][A-Za-z_]*(?=\s*\()/
IDENTIFIER: /(?=[0-9]*[a-z])[a-z0-9]{1,20}(?![a-z0-9_])/i
%ignore /\s+/
"""
_parser: list[Lark] = []  # made when the first filter is read


class FilterError(UsageError):
    """An expression that is none. `column` counts from 1."""

    code = "filter"

    def __init__(self, text: str, column: int, found: str) -> None:
        super().__init__(
            f"the filter `{text}` is no CESQL expression: column {column}: {found}",
            hint="such as: type = 'order.paid' AND INT(amount) > 100",
        )
        self.column = column


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an expression comes to for one event."""

    value: Value
    failure: Failure | None


class Expression:
    """Raises FilterError where `text` cannot be parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = _parse(text)

    def evaluate(self, event: Mapping[str, Value]) -> Outcome:
        """`event`: its attributes by name, extensions too."""
        failures: Failures = []
        value = _value(self._tree, event, failures)
        return Outcome(value, failures[0] if failures else None)

    def matches(self, event: Mapping[str, Value]) -> bool:
        outcome = self.evaluate(event)
        return outcome.failure is None and outcome.value is True


def _parse(text: str) -> Tree[Token] | Token:
    if not _parser:
        _parser.append(Lark(_GRAMMAR, parser="lalr", lexer="contextual", maybe_placeholders=False))
    try:
        return _parser[0].parse(text)
    except UnexpectedInput as error:
        ended = getattr(getattr(error, "token", None), "type", None) == "$END"
        column = len(text) + 1 if ended or error.column < 1 else error.column
        rest = text[column - 1 :].split()
        raise FilterError(text, column, f"`{rest[0]}` is not expected here" if rest else "it ends too early") from error


def _value(node: Any, event: Mapping[str, Value], failures: Failures) -> Value:
    return _NODES[node.data](node.children, event, failures)


_Node = Callable[[Sequence[Any], Mapping[str, Value], Failures], Value]


def _operand(node: Any, event: Mapping[str, Value], failures: Failures) -> tuple[Value, bool]:
    """The value, and whether it came without a failure: else the operator has its zero value, and fails alike."""
    before = len(failures)
    value = _value(node, event, failures)
    return value, len(failures) == before


def _integer(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    return cast(str(children[0]), int, failures)


def _text(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    return _unquoted(children[0])


def _unquoted(token: str) -> str:
    return token[1:-1].replace(f"\\{token[0]}", token[0])


def _attribute(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    name = children[0].lower()
    if name in event:
        return event[name]
    failures.append(Failure.MISSING_ATTRIBUTE)
    return False


def _not(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    value, sound = _operand(children[0], event, failures)
    return not cast(value, bool, failures) if sound else False


def _minus(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    (child,) = children
    if child.data == "integer":  # the least number has no counterpart above zero
        return cast(f"-{child.children[0]}", int, failures)
    value, sound = _operand(child, event, failures)
    return functions.bounded(-int(cast(value, int, failures)), failures) if sound else 0


def _short(stops: bool) -> _Node:
    """AND stops at false, OR at true."""

    def evaluate(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
        left, sound = _operand(children[0], event, failures)
        if not sound:
            return False
        if cast(left, bool, failures) is stops:
            return stops
        right, sound = _operand(children[1], event, failures)
        return cast(right, bool, failures) if sound else False

    return evaluate


def _xor(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    pair = _both(children[0], children[1], event, failures)
    return pair is not None and cast(pair[0], bool, failures) is not cast(pair[1], bool, failures)


def _both(left: Any, right: Any, event: Mapping[str, Value], failures: Failures) -> tuple[Value, Value] | None:
    one, sound = _operand(left, event, failures)
    if not sound:
        return None
    other, sound = _operand(right, event, failures)
    return (one, other) if sound else None


def _equality(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    left, operator, right = children
    pair = _both(left, right, event, failures)
    return False if pair is None else _equal(*pair, failures) is (operator == "=")


def _equal(left: Value, right: Value, failures: Failures) -> bool:
    """By the type of the right one."""
    return bool(cast(left, kind_of(right), failures) == right)


def _order(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    left, operator, right = children
    pair = _both(left, right, event, failures)
    if pair is None:
        return False
    one, other = (cast(each, int, failures) for each in pair)
    return {"<": one < other, "<=": one <= other, ">": one > other, ">=": one >= other}[str(operator)]


def _arithmetic(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    left, operator, right = children
    pair = _both(left, right, event, failures)
    if pair is None:
        return 0
    one, other = (int(cast(each, int, failures)) for each in pair)
    return functions.arithmetic(str(operator), one, other, failures)


def _like(negated: bool) -> _Node:
    def evaluate(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
        value, sound = _operand(children[0], event, failures)
        if not sound:
            return False
        found = _pattern(_unquoted(children[1])).fullmatch(str(cast(value, str, failures)))
        return (found is not None) is not negated

    return evaluate


def _pattern(like: str) -> re.Pattern[str]:
    r"""`%` is any text, `_` any character, and a backslash before one of them takes that away."""
    parts = re.split(r"(\\%|\\_|%+|_)", like)
    made = "".join(_SPECIAL.get(part[:2] if part[:1] == "\\" else part[:1], re.escape(part)) for part in parts)
    return re.compile(made, re.DOTALL)


_SPECIAL = {"\\%": "%", "\\_": "_", "%": ".*", "_": "."}


def _among(negated: bool) -> _Node:
    def evaluate(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
        value, sound = _operand(children[0], event, failures)
        if not sound:
            return False
        kind = kind_of(value)
        for each in children[1:]:
            other, sound = _operand(each, event, failures)
            if not sound:
                return False
            if cast(other, kind, failures) == value:
                return not negated
        return negated

    return evaluate


def _exists(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    return children[0].lower() in event


def _call(children: Sequence[Any], event: Mapping[str, Value], failures: Failures) -> Value:
    name, arguments = str(children[0]), children[1:]
    function = functions.find(name, len(arguments))
    if function is None:
        failures.append(Failure.MISSING_FUNCTION)
        return False
    values = []
    for position, argument in enumerate(arguments):
        value, sound = _operand(argument, event, failures)
        if not sound:
            return ZERO[function.gives]
        values.append(function.taken(position, value, failures))
    return function.call(failures, *values)


_NODES: Mapping[str, _Node] = {
    "integer": _integer,
    "text": _text,
    "true": lambda children, event, failures: True,
    "false": lambda children, event, failures: False,
    "attribute": _attribute,
    "exists": _exists,
    "call": _call,
    "not": _not,
    "minus": _minus,
    "both": _short(False),
    "either": _short(True),
    "xor": _xor,
    "equality": _equality,
    "order": _order,
    "arithmetic": _arithmetic,
    "like": _like(False),
    "unlike": _like(True),
    "one_of": _among(False),
    "none_of": _among(True),
}

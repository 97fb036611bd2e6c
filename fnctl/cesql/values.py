"""CESQL's values and how one type becomes another (specification, 3.1 and 3.6). Pure."""

from __future__ import annotations

import enum
import re
from typing import Any, TypeVar
from typing import cast as typed

Value = str | int | bool
Kind = type[Value]
V = TypeVar("V", bound=Value)
LEAST, MOST = -(2**31), 2**31 - 1
ZERO: dict[Any, Value] = {str: "", int: 0, bool: False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,10}")


class Failure(enum.StrEnum):
    """The kinds of errors, as the conformance suite names them."""

    CAST = "cast"
    MATH = "math"
    MISSING_ATTRIBUTE = "missingAttribute"
    MISSING_FUNCTION = "missingFunction"
    FUNCTION_EVALUATION = "functionEvaluation"


Failures = list[Failure]


def kind_of(value: Value) -> Kind:
    return type(value)


def cast(value: Value, kind: type[V], failures: Failures) -> V:
    """`value` as a `kind`; the kind's zero value, and a failure, where it is none."""
    found = _cast(value, kind)
    if found is None:
        failures.append(Failure.CAST)
        return typed(V, ZERO[kind])
    return typed(V, found)


def _cast(value: Value, kind: Any) -> Value | None:
    if type(value) is kind:
        return value
    if kind is str:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind is int:
        return _integer(value)
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return {0: False, 1: True}.get(value)


def _integer(value: Value) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value) is None:
        return None
    number = int(value)
    return number if LEAST <= number <= MOST else None

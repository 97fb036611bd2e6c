"""CESQL's built-in functions and its arithmetic (specification, 3.4.2 and 3.5). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fnctl.cesql.values import LEAST, MOST, Failure, Failures, Kind, Value, cast


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """`takes`: the types of the parameters; with `more`, the last one as often as it is given. None: any type."""

    call: Callable[..., Value]
    gives: Kind
    takes: tuple[Kind | None, ...] = ()
    more: bool = False

    def accepts(self, count: int) -> bool:
        return count == len(self.takes) or (self.more and count >= len(self.takes) - 1)

    def taken(self, position: int, value: Value, failures: Failures) -> Value:
        kind = self.takes[min(position, len(self.takes) - 1)]
        return value if kind is None else cast(value, kind, failures)


def find(name: str, count: int) -> BuiltIn | None:
    """By its name in any case, and the number of arguments."""
    return next((each for each in _BUILT_IN.get(name.upper(), ()) if each.accepts(count)), None)


def bounded(number: int, failures: Failures) -> int:
    """Integers have 32 bits."""
    if LEAST <= number <= MOST:
        return number
    failures.append(Failure.MATH)
    return 0


def arithmetic(operator: str, left: int, right: int, failures: Failures) -> int:
    if operator in "/%" and right == 0:
        failures.append(Failure.MATH)
        return 0
    if operator in "/%":
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)  # towards zero
        return bounded(quotient if operator == "/" else left - quotient * right, failures)
    return bounded({"+": left + right, "-": left - right, "*": left * right}[operator], failures)


def _wrong(failures: Failures, value: Value) -> Value:
    failures.append(Failure.FUNCTION_EVALUATION)
    return value


def _left(failures: Failures, text: str, count: int) -> Value:
    return text[:count] if count >= 0 else _wrong(failures, text)


def _right(failures: Failures, text: str, count: int) -> Value:
    if count < 0:
        return _wrong(failures, text)
    return text[max(0, len(text) - count) :]


def _substring(failures: Failures, text: str, position: int, length: int | None = None) -> Value:
    """Positions count from 1, or from the end where negative; 0 is before everything."""
    if abs(position) > len(text):
        return _wrong(failures, "")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    if length is not None and length < 0:
        return _wrong(failures, "")
    return text[start:] if length is None else text[start : start + length]


def _abs(failures: Failures, number: int) -> Value:
    if number == LEAST:
        failures.append(Failure.MATH)
        return MOST
    return abs(number)


def _bool(failures: Failures, value: Value) -> Value:
    """Of a number, whether it is not zero; a number elsewhere is true or false by itself only where it is 1 or 0."""
    return value != 0 if type(value) is int else cast(value, bool, failures)


def _plain(function: Callable[..., Value]) -> Callable[..., Value]:
    """Of one that cannot fail."""
    return lambda failures, *values: function(*values)


def _identity(value: Any) -> Any:
    return value


_BUILT_IN: dict[str, tuple[BuiltIn, ...]] = {
    "LENGTH": (BuiltIn(_plain(len), int, (str,)),),
    "CONCAT": (BuiltIn(_plain(lambda *texts: "".join(texts)), str, (str,), more=True),),
    "CONCAT_WS": (BuiltIn(_plain(lambda between, *texts: between.join(texts)), str, (str, str), more=True),),
    "LOWER": (BuiltIn(_plain(str.lower), str, (str,)),),
    "UPPER": (BuiltIn(_plain(str.upper), str, (str,)),),
    "TRIM": (BuiltIn(_plain(str.strip), str, (str,)),),
    "LEFT": (BuiltIn(_left, str, (str, int)),),
    "RIGHT": (BuiltIn(_right, str, (str, int)),),
    "SUBSTRING": (BuiltIn(_substring, str, (str, int)), BuiltIn(_substring, str, (str, int, int))),
    "ABS": (BuiltIn(_abs, int, (int,)),),
    "INT": (BuiltIn(_plain(_identity), int, (int,)),),
    "BOOL": (BuiltIn(_bool, bool, (None,)),),
    "STRING": (BuiltIn(_plain(_identity), str, (str,)),),
    "IS_INT": (BuiltIn(lambda failures, value: not _fails(value, int), bool, (None,)),),
    "IS_BOOL": (BuiltIn(lambda failures, value: not _fails(value, bool), bool, (None,)),),
}


def _fails(value: Value, kind: Kind) -> bool:
    failures: Failures = []
    cast(value, kind, failures)
    return bool(failures)

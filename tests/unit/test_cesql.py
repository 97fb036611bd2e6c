"""CESQL by its rules; the public suite is `make conformance`."""

from __future__ import annotations

import pytest

from fnctl.cesql.expression import Expression, FilterError
from fnctl.cesql.values import Failure, Value

EVENT: dict[str, Value] = {
    "id": "7",
    "source": "/shop",
    "type": "order.paid",
    "specversion": "1.0",
    "amount": "120",
    "express": True,
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("type = 'order.paid' AND INT(amount) > 100", True),
        ("type = 'order.paid' and amount > 200", False),
        ("type LIKE 'order.%' AND NOT express", False),
        ("type NOT LIKE 'user_%'", True),
        ("source IN ('/shop', '/store')", True),
        ("EXISTS subject OR LENGTH(id) = 1", True),
        ("amount % 7 = 1 XOR FALSE", True),
        ("subject = 'x'", False),
        ("NOT (subject = 'x')", False),  # an attribute that is missing is no match, however it is asked for
        ("LEFT(type, 5) <> 'order'", False),
    ],
)
def test_an_event_matches_or_not(text: str, matches: bool) -> None:
    assert Expression(text).matches(EVENT) is matches


@pytest.mark.parametrize(
    ("text", "value", "failure"),
    [
        ("1 / 0", 0, Failure.MATH),
        ("-7 / 2", -3, None),
        ("-7 % 2", -1, None),
        ("2147483647 + 1", 0, Failure.MATH),
        ("INT('x')", 0, Failure.CAST),
        ("subject", False, Failure.MISSING_ATTRIBUTE),
        ("NOPE(1)", False, Failure.MISSING_FUNCTION),
        ("SUBSTRING('abc', 9)", "", Failure.FUNCTION_EVALUATION),
        ("false AND 1 / 0 = 1", False, None),
        (r"'a\'b'", "a'b", None),
    ],
)
def test_an_expression_always_has_a_value_and_tells_its_error_beside_it(
    text: str, value: Value, failure: Failure | None
) -> None:
    outcome = Expression(text).evaluate(EVENT)
    assert (outcome.value, outcome.failure) == (value, failure)


@pytest.mark.parametrize(
    ("text", "column"),
    [("type = ", 8), ("type == 'x'", 7), ("(type = 'x'", 12), ("ABC(", 5), ("type = 'x", 8), ("", 1), ("a b", 3)],
)
def test_what_cannot_be_parsed_is_told_with_its_column(text: str, column: int) -> None:
    with pytest.raises(FilterError) as caught:
        Expression(text)
    assert caught.value.column == column
    assert f"column {column}" in caught.value.message


def test_a_pattern_is_no_regular_expression() -> None:
    assert not Expression("type LIKE 'order?paid'").matches(EVENT)
    assert Expression(r"'50%' LIKE '50\%'").matches(EVENT)
    assert not Expression(r"'500' LIKE '50\%'").matches(EVENT)

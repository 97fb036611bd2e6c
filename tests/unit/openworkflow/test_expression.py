"""Runtime expressions: plain paths as jq has them, variables, and what does not parse."""

from __future__ import annotations

from typing import Any

import jq
import pytest

from fnctl.openworkflow.expression import Expression, ExpressionError, Expressions, inner
from fnctl.openworkflow.fault import Fault

DATA = {"a": {"b": [1, {"c": "x"}], "n": None}, "s": "text"}


@pytest.mark.parametrize("text", [".", ".a", ".a.b", ".a.b[1].c", ".a.b[7]", ".a.n.x.y", ".missing.x", ".s"])
def test_plain_paths_are_walked_as_jq_would(text: str) -> None:
    assert Expression(text).evaluate(DATA, {}) == jq.compile(text).input_value(DATA).first()


def test_a_path_that_jq_refuses_is_refused_in_its_words() -> None:
    with pytest.raises(Fault) as told:
        Expression(".s.x").evaluate(DATA, {})
    assert told.value.type.endswith("/expression")
    assert 'Cannot index string with string ("x")' in str(told.value.detail)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$context.user", "kim"),
        (".s + $input.tail", "texts"),
        ("[.a.b[] | numbers] | add", 1),
        (".a.b as [$first] | $first", 1),
        ("def twice($x): $x + $x; twice(2)", 4),
        ("empty", None),
        ("env", {}),
        (".s # the rest is a comment", "text"),
    ],
)
def test_variables_and_jq(text: str, result: Any) -> None:
    assert Expression(text).evaluate(DATA, {"context": {"user": "kim"}, "input": {"tail": "s"}}) == result


@pytest.mark.parametrize(
    ("text", "line", "column"), [(".a |", 1, 4), ("foo(1)", 1, 1), (".a\n| nope", 2, 3), (".a) | (.b", 1, 3)]
)
def test_where_it_does_not_parse(text: str, line: int, column: int) -> None:
    with pytest.raises(ExpressionError) as told:
        Expression(text)
    assert (told.value.line, told.value.column) == (line, column)


@pytest.mark.parametrize("text", ["$ENV", "$ENV.PATH", ".a + $ENV.HOME"])
def test_the_environment_of_the_machine_is_hidden(text: str) -> None:
    with pytest.raises(ExpressionError, match="ENV"):
        Expression(text)


def test_values_are_filled_at_every_depth_and_other_texts_stay() -> None:
    said = {"a": ["${ .s }", ".s", 1], "b": {"c": "${ .a.b[0] }"}}
    assert Expressions().filled(said, DATA, {}) == {"a": ["text", ".s", 1], "b": {"c": 1}}
    assert inner("a ${ .s }") is None

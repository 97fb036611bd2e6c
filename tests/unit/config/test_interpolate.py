"""`${VAR}`: Compose's rules, each with an example, in fnctl.yaml and in environment files alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.config import dotenv
from fnctl.config.document import read
from fnctl.config.interpolate import Interpolator, Unfilled

ENVIRON = {"SET": "value", "EMPTY": "", "OTHER": "other"}

FILLED = [
    ("plain", "plain"),
    ("${SET}", "value"),
    ("a${SET}b${OTHER}c", "avaluebotherc"),
    ("${EMPTY}", ""),
    ("${SET:-x}${EMPTY:-x}${UNSET:-x}", "valuexx"),
    ("${SET-x}${EMPTY-x}${UNSET-x}", "valuex"),
    ("${SET:+x}${EMPTY:+x}${UNSET:+x}", "x"),
    ("${SET+x}${EMPTY+x}${UNSET+x}", "xx"),
    ("${SET:?x}${SET?x}${EMPTY?x}", "valuevalue"),
    ("${UNSET:-}", ""),
    ("${UNSET:-/a:-b?c+d}", "/a:-b?c+d"),
    ("${UNSET-myerror?msg}", "myerror?msg"),
    ("${UNSET:-${SET}}", "value"),
    ("${UNSET:-${GONE:-${SET}}}", "value"),
    ("${UNSET:-${SET} ${OTHER}}", "value other"),
    ("${UNSET:-a${GONE-b}c}d", "abcd"),
    ("${SET:+[${OTHER}]}", "[other]"),
    ("${SET:-${GONE:?not looked at}}", "value"),
    ("${UNSET:-{}}", "{}"),
    ("$$", "$"),
    ("$${SET}", "${SET}"),
    ("$$$${SET}", "$${SET}"),
    ("$$${SET}", "$value"),
    ("${UNSET:-$$x}", "$x"),
    ("a$ b$1 c$", "a$ b$1 c$"),
]


def fill(text: str, *, bare: bool = True) -> str:
    return Interpolator(ENVIRON.get, bare=bare).fill(text)


@pytest.mark.parametrize(("text", "value"), FILLED)
def test_what_is_filled_in(text: str, value: str) -> None:
    assert fill(text) == value


@pytest.mark.parametrize(("text", "value"), [("$SET-x", "value-x"), ("$SETx", ""), ("${UNSET:-$SET}", "value")])
def test_a_bare_name_is_filled_in_where_it_is_asked_for(text: str, value: str) -> None:
    assert fill(text) == value
    assert fill("$SET ${SET}", bare=False) == "$SET value"


@pytest.mark.parametrize(
    "text", ["${", "${}", "${ }", "${ SET}", "${SET }", "${SET!}", "${SET", "${1}", "${SET:x}", "${UNSET:-${SET}"]
)
def test_what_is_no_variable_is_an_error(text: str) -> None:
    with pytest.raises(Unfilled, match="is not followed by a name"):
        fill(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${UNSET:?say who}", "UNSET is not set: say who"),
        ("${EMPTY:?say who}", "EMPTY is not set: say who"),
        ("${UNSET?bar-baz}", "UNSET is not set: bar-baz"),
        ("${UNSET:?}", "UNSET is not set"),
        ("${UNSET:-${GONE?so}}", "GONE is not set: so"),
        ("${UNSET:?not $SET}", "UNSET is not set: not $SET"),  # no value stands in an error
    ],
)
def test_what_must_be_set_is_told(text: str, said: str) -> None:
    with pytest.raises(Unfilled) as caught:
        fill(text)
    assert caught.value.text == said


def test_endless_nesting_ends() -> None:
    with pytest.raises(Unfilled, match="too deep"):
        fill("${A:-" * 5000 + "}" * 5000)


@pytest.mark.parametrize(("text", "value"), FILLED)
def test_the_project_file_and_environment_files_agree(tmp_path: Path, text: str, value: str) -> None:
    (tmp_path / "x.env").write_text(f'VAR="{text}"\n')
    (tmp_path / "x.yaml").write_text(f"VAR: '{text}'\n")
    found, problems = dotenv.read(tmp_path / "x.env", "x.env", ENVIRON)
    document = read(tmp_path / "x.yaml", "x.yaml", ENVIRON, verbatim=lambda loc: True)
    assert (found["VAR"], problems) == (value, [])
    assert (document.data["VAR"], document.problems) == (value, [])


def test_the_project_file_tells_of_what_must_be_set(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\nb: ${UNSET:?the database's address}\n")
    (problem,) = read(tmp_path / "x.yaml", "x.yaml", ENVIRON).problems
    assert str(problem) == "x.yaml:2: UNSET is not set: the database's address"


def test_an_escaped_dollar_in_double_quotes_begins_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.env").write_text('A="\\${SET} $\\${SET} ${UNSET:-\\$x}"\nB=\\${SET}\n')
    assert dotenv.read(tmp_path / "x.env", "x.env", ENVIRON) == ({"A": "${SET} $${SET} $x", "B": "${SET}"}, [])

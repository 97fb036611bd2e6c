"""Environment files against python-dotenv: the same where both claim the same, and the differences by name.

fnctl reads them as Docker Compose does; python-dotenv is the reader that Python programs know. A file that both
understand must mean the same to both.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fnctl.config import dotenv

NAMES = ("FNCTL_A", "FNCTL_B", "FNCTL_C", "FNCTL_LONG_NAME_1")  # none of the process's own
WORD = st.text("abcXYZ019_-./:@%+,;=!*()[]^~é漢", max_size=8)
INNER = st.text("abc 019 #'=:\t-é", max_size=12)  # between double quotes, with nothing that is escaped
SPACES = st.sampled_from(["", " ", "  ", "\t"])


@st.composite
def variable(draw: st.DrawFn) -> str:
    """A default is of a variable that no line sets: what an empty one means is among the differences."""
    name, default = draw(st.sampled_from(NAMES)), draw(st.text("abc019_./", max_size=5))
    return draw(st.sampled_from([f"${{{name}}}", f"${{FNCTL_UNSET:-{default}}}"]))


@st.composite
def unquoted(draw: st.DrawFn) -> str:
    """Words with single spaces between them, perhaps with variables, perhaps a comment after it."""
    parts = draw(st.lists(st.one_of(WORD, variable()), max_size=3))
    text = " ".join(part for part in parts if part)
    return text + draw(st.sampled_from(["", " # comment", "  #"]))


@st.composite
def double(draw: st.DrawFn) -> str:
    escape = st.sampled_from(['\\"', "\\\\", "\\n", "\\r", "\\t"])
    inner = "".join(draw(st.lists(st.one_of(INNER, variable(), escape, st.just("\n")), max_size=4)))
    return f'"{inner}"' + draw(st.sampled_from(["", " # comment"]))


@st.composite
def single(draw: st.DrawFn) -> str:
    inner = "".join(
        draw(st.lists(st.one_of(st.text('abc 019 #"=:', max_size=8), st.sampled_from(["\\'", "\n"])), max_size=4))
    )
    return f"'{inner}'" + draw(st.sampled_from(["", " # comment"]))


@st.composite
def line(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(["", "   ", "# comment", "  # comment = x"]))
    before, after = draw(SPACES), draw(SPACES)
    export = draw(st.sampled_from(["", "", "export "]))
    value = draw(st.one_of(unquoted(), single(), double()))
    return f"{export}{draw(st.sampled_from(NAMES))}{before}={after}{value}"


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(line(), max_size=8), end=st.sampled_from(["", "\n"]), newline=st.sampled_from(["\n", "\r\n"]))
def test_what_both_understand_is_the_same_to_both(tmp_path: Path, lines: list[str], end: str, newline: str) -> None:
    text = "\n".join(lines) + end
    file = tmp_path / "both.env"
    file.write_bytes(text.replace("\n", newline).encode())
    found, problems = dotenv.read(file, "both.env", {})
    assert problems == []
    assert found == dotenv_values(stream=io.StringIO(text))


DIFFERENCES = [
    # what                                          the file            Compose, and fnctl   python-dotenv
    ("a bare name is a variable", "A=1\nV=$A", "1", "$A"),
    ("two dollars are one", "V=a$$b", "a$b", "a$$b"),
    ("a default without a colon", "V=${U-x}", "x", ""),
    ("an alternative", "A=1\nV=${A:+x}", "x", "${A:+x}"),
    ("a default of an empty one", "A=\nV=${A:-x}", "x", ""),
    ("a variable in a default", "A=1\nV=${U:-${A}}", "1", "${A}"),
    ("an escaped dollar", 'A=1\nV="\\${A}"', "${A}", "\\1"),
    ("single quotes are literal", "A=1\nV='${A}'", "${A}", "1"),
    ("a backslash in single quotes", "V='a\\\\b'", "a\\\\b", "a\\b"),
    ("escapes that Compose has not", 'V="a\\fb"', "a\\fb", "a\x0cb"),
    ("a colon for the equals sign", "V: x", "x", None),
]


@pytest.mark.parametrize(
    ("text", "ours", "theirs"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_where_they_differ_fnctl_follows_compose(tmp_path: Path, text: str, ours: str, theirs: str | None) -> None:
    (tmp_path / "v.env").write_text(text)
    found, problems = dotenv.read(tmp_path / "v.env", "v.env", {})
    assert (found["V"], problems) == (ours, [])
    assert dotenv_values(stream=io.StringIO(text)).get("V") == theirs

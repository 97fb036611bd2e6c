"""Environment files: the rules of Compose, each by its documentation's example, and what is said of breaking them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import config
from fnctl.config import dotenv
from fnctl.errors import ConfigError
from fnctl.model import Function, Project

ENVIRON = {"HOST": "outside", "EMPTY": ""}


def read(folder: Path, text: str) -> tuple[dict[str, str], list[str]]:
    (folder / ".env").write_bytes(text.encode())
    found, problems = dotenv.read(folder / ".env", ".env", ENVIRON)
    return found, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("VAR=VAL", "VAL"),
        ("VAR='VAL'", "VAL"),
        ('VAR="VAL"', "VAL"),
        ("export VAR=VAL", "VAL"),
        ("VAR: VAL", "VAL"),
        ("VAR =  two words  ", "two words"),
        ("VAR=", ""),
        ("VAR=a=b:c", "a=b:c"),
        ("VAR=VAL # comment", "VAL"),
        ("VAR=VAL# not a comment", "VAL# not a comment"),
        ("VAR= # comment", ""),
        ('VAR="VAL # not a comment"', "VAL # not a comment"),
        ('VAR="VAL" # comment', "VAL"),
        ("VAR='$OTHER ${OTHER}'", "$OTHER ${OTHER}"),
        ("VAR='Let\\'s go!'", "Let's go!"),
        ('VAR="{\\"hello\\": \\"json\\"}"', '{"hello": "json"}'),
        ('VAR="some\\tvalue\\n"', "some\tvalue\n"),
        ("VAR='some\\tvalue'", "some\\tvalue"),
        ("VAR=some\\tvalue", "some\\tvalue"),
        ('VAR="a\\\\b\\x"', "a\\b\\x"),
        ("VAR='SOME\nVALUE'", "SOME\nVALUE"),
        ('VAR="SOME\nVALUE" # comment', "SOME\nVALUE"),
        ("VAR=$HOST/${HOST}x", "outside/outsidex"),
        ('VAR="${HOST}"', "outside"),
        ("A=1\nVAR=${A}2", "12"),
        ("HOST=inside\nVAR=$HOST", "outside"),
        ("VAR=a${UNSET}b", "ab"),
        ("VAR=${UNSET-one}${EMPTY-two}${EMPTY:-three}", "onethree"),
        ("VAR=${HOST:+one}${EMPTY:+two}${EMPTY+three}${UNSET+four}", "onethree"),
        ("VAR=${HOST:?must be set}", "outside"),
        ("VAR=a$$b\\$c$ d$", "a$b$c$ d$"),
        ("VAR=one\nVAR=two", "two"),
        ("\ufeffVAR=bom\r\n", "bom"),
    ],
)
def test_a_value(tmp_path: Path, text: str, value: str) -> None:
    found, problems = read(tmp_path, text)
    assert (found["VAR"], problems) == (value, [])


def test_comments_and_empty_lines_are_nothing_and_a_name_alone_is_the_environments(tmp_path: Path) -> None:
    text = "# one\n\n   # two\nHOST # three\nUNSET\n\t\nA=1"
    assert read(tmp_path, text) == ({"HOST": "outside", "A": "1"}, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\n1B=2\nC=3", ".env:2: this line is not NAME=value"),
        ("A=1\nB 2\nC=3", ".env:2: B is not followed by `=`"),
        ("A=1\nC=3\nB='hush", ".env:3: the quote of B is not closed"),
        ("A=1\nB='hush' hush\nC=3", ".env:2: text after the closing quote of B"),
        ("A=1\nB=${hush\nC=3", ".env:2: `${` is not followed by a name and `}`"),
        ("A=1\nC=3\nB=${UNSET:?say who}", ".env:3: UNSET is not set: say who"),
    ],
)
def test_what_breaks_the_rules_is_told_with_its_line_but_never_its_value(
    tmp_path: Path, text: str, problem: str
) -> None:
    found, problems = read(tmp_path, text)
    assert problems == [problem]
    assert found == {"A": "1", "C": "3"}
    assert "hush" not in problems[0]


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    assert str(dotenv.read(tmp_path / ".env", ".env", {})[1][0]) == ".env: cannot be read: is not UTF-8"


# -- in a project ------------------------------------------------------------------------------------------------------


def project(root: Path, fields: str = "", environ: dict[str, str] | None = None) -> Project:
    (root / "index.js").touch()
    text = f"functions:\n  web:\n    runtime: node24\n    handler: index.js\n{fields}"
    (root / "fnctl.yaml").write_text(text)
    return config.load(root, environ=environ or {})


def variables(root: Path, fields: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    (function,) = project(root, fields, environ).functions
    return dict(function.environment)


def test_the_dotenv_fills_what_the_environment_does_not(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONE=file\nTWO=file\n")
    fields = "    environment: {A: '${ONE}', B: '${TWO}'}\n"
    assert variables(tmp_path, fields, {"TWO": "process"}) == {"A": "file", "B": "process"}


def test_a_wrong_dotenv_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONE=1\nnonsense here\n")
    with pytest.raises(ConfigError, match=r"^\.env:2: "):
        project(tmp_path)


def test_env_files_in_their_order_and_the_functions_own_over_them(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=a\nB=a\nC=a\n")
    (tmp_path / "b.env").write_text("B=b\nC=b\n")
    fields = "    env_file: [a.env, b.env]\n    environment: {C: own}\n"
    assert variables(tmp_path, fields) == {"A": "a", "B": "b", "C": "own"}


def test_an_env_file_that_is_not_there_or_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^fnctl\.yaml:5: env_file `a\.env` of function `web` does not exist"):
        project(tmp_path, "    env_file: a.env\n")
    (tmp_path / "a.env").write_text("\nno value here\n")
    with pytest.raises(ConfigError, match=r"^a\.env:2: "):
        project(tmp_path, "    env_file: a.env\n")


def test_an_app_without_a_project_file_gets_the_dotenv_beside_it(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("require('http').createServer().listen(process.env.PORT)\n")
    (tmp_path / ".env").write_text("GREETING=hello\n")
    (function,) = config.load(tmp_path, environ={}).functions
    assert isinstance(function, Function)
    assert function.environment == (("GREETING", "hello"),)

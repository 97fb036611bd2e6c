"""`.dockerignore` against docker-py's matcher: the same where both claim the same, and the differences by name.

Where the two differ, ours is what the Docker command does (moby's patternmatcher).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from docker.utils.build import PatternMatcher
from hypothesis import given, settings
from hypothesis import strategies as st

from fnctl.builder import ignore
from fnctl.builder.tree import scan

FOLDERS = ("a", "b", "lib", "src")
FILES = ("x", "a.txt", "b.md", "c.txt", "read me.md", "7.1", "a-b")  # no folder has a dot or a blank in its name

SEGMENT = st.sampled_from(
    (*FOLDERS, *FILES, "*", "*.txt", "?", "?.md", "[ab]", "[a-c].txt", "l*", "*b*", "a**", "+", "(x)", "$", "^a")
)
# `**` before what no folder is called: for folders, see the differences
DEEP = st.sampled_from(
    ("**", "**/*.txt", "**/b.md", "**/?.md", "src/**", "a/**/*.txt", "**/src/*.md", "*/**", "**.txt")
)


@st.composite
def pattern(draw: st.DrawFn) -> str:
    text = draw(st.one_of(st.lists(SEGMENT, min_size=1, max_size=3).map("/".join), DEEP))
    before = draw(st.sampled_from(["", "", "", "/", "./"]))
    after = draw(st.sampled_from(["", "", "", "/", " ", "/."]))
    return draw(st.sampled_from(["", "", "!"])) + before + text + after


NAME = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), st.sampled_from(FILES)).map(
    lambda parts: "/".join((*parts[0], parts[1]))
)
PATTERNS = st.lists(pattern(), max_size=5)


def theirs(patterns: list[str], name: str) -> bool:
    path: Any = name  # a str, whatever the stubs say
    return bool(PatternMatcher(patterns).matches(path))


@settings(max_examples=200, deadline=None)
@given(patterns=PATTERNS, names=st.lists(NAME, min_size=1, max_size=6))
def test_what_both_understand_is_the_same_to_both(patterns: list[str], names: list[str]) -> None:
    ours = ignore.parse("\n".join(patterns))
    assert {name: ours.leaves_out(name) for name in names} == {name: theirs(patterns, name) for name in names}


@settings(max_examples=40, deadline=None)
@given(patterns=PATTERNS, names=st.sets(NAME, max_size=8))
def test_no_file_is_lost_by_what_is_not_read(patterns: list[str], names: set[str]) -> None:
    """A folder that is skipped is one that the matcher leaves out with all in it."""
    rules = ignore.parse("\n".join(patterns))
    with tempfile.TemporaryDirectory() as place:
        files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
        for name in files:
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).touch()
        found = scan(Path(place), leaves_out=rules.leaves_out, skips=rules.skips)
    assert {entry.name for entry in found} == {name for name in files if not rules.leaves_out(name)}


DIFFERENCES = [
    # what                                                    the file          name             ours   docker-py
    ("letters count as they are", "README.md", "readme.md", False, True),
    ("** finds a folder at any depth, with all in it", "**/lib", "a/b/lib/x", True, False),
    ("a class is negated by ^", "[^a].txt", "b.txt", True, False),
    ("and not by !", "[!a].txt", "b.txt", False, True),
    ("a backslash takes the meaning of the next sign", "a\\*b", "a*b", True, False),
    (".. at the front leads out of the folder", "../x", "x", False, True),
    ("the file itself is in no bundle", "!.dockerignore", ".dockerignore", True, False),
]


@pytest.mark.parametrize(
    ("text", "name", "ours", "docker_py"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_where_they_differ_ours_follows_the_docker_command(text: str, name: str, ours: bool, docker_py: bool) -> None:
    assert ignore.parse(text).leaves_out(name) is ours
    assert theirs(text.split("\n"), name) is docker_py

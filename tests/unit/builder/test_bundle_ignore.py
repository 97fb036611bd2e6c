"""`.dockerignore`, by Docker's rules: what the documentation and moby's own table of patterns say."""

import pytest

from fnctl.builder import ignore
from fnctl.errors import BuildError

# (file, name, left out?), most of them from moby's patternmatcher table
CASES = [
    ("*", "fileutils.go", True),
    ("**", "dir/file", True),
    ("**/", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir", False),
    ("dir/**", "other/dir/file", False),
    ("**/dir", "dir", True),
    ("**/dir", "a/b/dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/*", "dir/dir2", False),
    ("**/*.txt", "a/b.txt", True),
    ("**file", "dir/file", True),
    ("**file", "dir/dir/file", True),
    ("a**/*.txt", "a/file.txt", True),
    ("a**/*.txt", "a/dir/dir/file.txt", True),
    ("a/*.txt", "a/dir/file.txt", False),
    ("a/*.txt", "a/file.txt", True),
    ("a[b-d]e", "ace", True),
    ("a[b-d]e", "aae", False),
    ("[^a].txt", "b.txt", True),
    ("[^a].txt", "a.txt", False),
    ("abc.def", "abcXdef", False),
    ("a\\*b", "a*b", True),
    ("a\\*b", "axb", False),
    ("ab?", "ab", False),
    ("ab?", "abc", True),
    ("a?c", "a/c", False),
    # rooted, unlike git's: a name matches at the top only
    ("docs", "docs/a.md", True),
    ("docs", "src/docs/a.md", False),
    # a leading or trailing slash, ./ and // mean nothing
    ("/docs", "docs/a.md", True),
    ("docs/", "docs", True),
    ("./docs//x/", "docs/x/y", True),
    ("docs/../src", "src/a", True),
    ("../out", "out", False),
    # comments, blank lines, spaces around
    ("# docs", "docs", False),
    ("\n   \n  docs  \n", "docs", True),
    ("\ufeffdocs", "docs", True),
    # exceptions: the last line that matches decides
    ("*.md\n!README.md", "README.md", False),
    ("*.md\n!README.md", "NEWS.md", True),
    ("!README.md\n*.md", "README.md", True),
    ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
    ("docs\n!docs/keep.md", "docs/keep.md", False),
    ("docs\n!docs/keep.md", "docs/other.md", True),
    ("**\n!src/**", "src/a/b.js", False),
    ("**\n! src", "src/a.js", False),
    # the defaults, and how one comes back
    ("", "node_modules/express/index.js", True),
    ("", "sub/node_modules/x.js", True),
    ("!node_modules", "node_modules/express/index.js", False),
    ("", "__pycache__/a.cpython-313.pyc", True),
    ("", "config.env", False),
    # never in a bundle, whatever the file says
    ("!.git\n!.npmrc\n!**", ".git/config", True),
    ("!.npmrc", "sub/.npmrc", True),
    ("!fnctl.yaml", "fnctl.yaml", True),
    ("!.env", ".env", True),
    ("!**/.env.local", "api/.env.local", True),
    ("!.envrc", ".envrc", True),
    ("!.fnctl", ".fnctl/site-packages/x.py", True),
]


@pytest.mark.parametrize(("text", "name", "out"), CASES)
def test_names_are_left_out_as_docker_would(text: str, name: str, out: bool) -> None:
    assert ignore.parse(text).leaves_out(name) is out


def test_a_folder_is_not_read_where_nothing_in_it_can_come_back() -> None:
    assert ignore.parse("docs").skips("docs")
    assert not ignore.parse("docs\n!docs/keep.md").skips("docs")
    assert ignore.parse("docs\n!docs/keep.md").skips("docs/sub")
    assert ignore.parse("!**").skips(".git")


def test_extra_patterns_hold_against_the_file() -> None:
    assert ignore.parse("!node_modules", ["node_modules"]).leaves_out("node_modules/a.js")


@pytest.mark.parametrize("text", ["!", "ok\n[a-", "x[]"])
def test_what_is_no_pattern_is_told_with_its_line(text: str) -> None:
    with pytest.raises(BuildError) as caught:
        ignore.parse(text)
    assert caught.value.message.startswith(f".dockerignore:{len(text.splitlines())}:")


@pytest.mark.parametrize(
    ("text", "folder", "skipped"),
    [
        ("*.md\n!README.md", "node_modules", True),
        ("!dist/**", "node_modules", True),
        ("!dist/**", "packages/a/node_modules", True),
        ("!packages/*/node_modules/keep", "packages/a/node_modules", False),
        ("!packages/*/node_modules/keep", "node_modules", True),
        ("!node_modules/kept", "node_modules", False),
        ("!node_modules/kept", "node_modules/other", True),
        ("!**/keep.txt", "node_modules", False),
        ("!node_modules", "node_modules", False),
        ("!data/keep\ndata", "data", True),  # the last line that matches decides
        ("data\n!data/k[a-z]ep", "data", False),
        ("data\n!da?a/keep", "data", False),
        ("data\n!da?a/keep", "data/other/deep", True),
        ("**\n!src", "docs", True),
        ("**\n!src/lib/a.js", "src", False),
        ("**\n!src/lib/a.js", "src/test", True),
    ],
)
def test_folders_that_no_exception_can_match_are_not_read(text: str, folder: str, skipped: bool) -> None:
    assert ignore.parse(text).skips(folder) is skipped

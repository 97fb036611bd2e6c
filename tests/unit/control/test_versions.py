"""The versions that a folder has served: numbers are given once, nothing is lost, and back means what was before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.builder import record
from fnctl.control import versions
from fnctl.control.versions import KEPT, Alias, History, Version, alias_of, check_name, holding
from fnctl.errors import NotFound, ReleaseError, UsageError


def version(word: str) -> Version:
    digest = f"sha256:{word}"
    return Version(0, 1.0, f"r.io/shop@{digest}", digest, "fnctl/sandbox:1", {"web": f"sha256:bundle-{word}"}, {})


def deployed(*words: str) -> History:
    history = History()
    for word in words:
        history, _ = history.having(version(word))
    return history


def test_each_release_has_one_number_however_often_it_comes() -> None:
    history = deployed("a", "b", "a", "c")
    assert [(each.number, each.digest) for each in history.versions] == [
        (1, "sha256:a"),
        (2, "sha256:b"),
        (3, "sha256:c"),
    ]
    assert history.current == 3
    assert history.back().number == 1


def test_going_back_twice_comes_back() -> None:
    history = deployed("a", "b")
    back = history.pointing(history.back().number)
    assert (back.current, back.back().number) == (1, 2)
    assert back.pointing(1) is back


def test_going_back_needs_something_before() -> None:
    for history in (History(), deployed("a")):
        with pytest.raises(NotFound):
            history.back()
    with pytest.raises(NotFound, match="no version 9") as told:
        deployed("a", "b").find(9)
    assert "1, 2" in (told.value.hint or "")


def test_old_versions_go_but_not_the_current_nor_a_number() -> None:
    history = deployed(*(f"v{at}" for at in range(KEPT + 5)))
    assert [each.number for each in history.versions] == list(range(6, KEPT + 6))
    far = deployed("a").pointing(1)
    for at in range(KEPT + 5):
        far, _ = far.having(version(f"n{at}"))
        far = far.pointing(1)
    assert far.now() is not None
    assert far.having(version("next"))[1].number == KEPT + 7


def test_a_release_that_comes_again_is_known_by_its_newest_name() -> None:
    moved = replace(version("a"), name="other.io/shop@sha256:a")
    history, same = deployed("a", "b").having(moved)
    assert (same.number, same.name) == (1, "other.io/shop@sha256:a")
    assert history.find(1).name == same.name


def test_it_is_written_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "versions.json"
    assert versions.read(file) == History()
    versions.write(file, deployed("a", "b"))
    assert versions.read(file) == deployed("a", "b")
    assert [path.name for path in tmp_path.iterdir()] == ["versions.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "versions": [{}], "current": 1}'])
def test_what_cannot_be_read_is_told_and_not_overwritten(text: str, tmp_path: Path) -> None:
    (tmp_path / "versions.json").write_text(text)
    with pytest.raises(ReleaseError):
        versions.read(tmp_path / "versions.json")


def test_bundles_of_versions_are_in_use(tmp_path: Path) -> None:
    (tmp_path / "p" / "releases").mkdir(parents=True)
    versions.write(tmp_path / "p" / "versions.json", deployed("a", "b"))
    assert record.digests_in_use(tmp_path) == {"sha256:bundle-a", "sha256:bundle-b"}


def test_an_alias_holds_its_versions_and_outlives_the_file(tmp_path: Path) -> None:
    history = deployed("a", "b").aliased("prod", alias_of("1:90,2:10", "key"))
    for at in range(KEPT + 5):
        history, _ = history.having(version(f"n{at}"))
    versions.write(tmp_path / "versions.json", history)
    again = versions.read(tmp_path / "versions.json")
    assert again.aliases == {"prod": Alias(((1, 90.0), (2, 10.0)), "key")}
    assert {1, 2, again.current} == again.held
    assert [again.find(1).number, again.meant("prod"), again.meant("2")] == [1, 1, 2]
    assert again.aliased("prod", None).aliases == {}


def test_a_version_is_added_without_being_served() -> None:
    history, added = deployed("a", "b").adding(version("c"))
    assert (added.number, history.current, history.before) == (3, 2, 1)


def test_an_alias_of_nothing_is_refused() -> None:
    for alias in (alias_of("7"), None):
        with pytest.raises(NotFound):
            deployed("a").aliased("prod", alias)
    with pytest.raises(NotFound, match="no alias or version nosuch"):
        deployed("a").meant("nosuch")


@pytest.mark.parametrize("text", ["", "x", "1:0", "1:-1", "1:90,1:10", "0", "1:90,", "1:1e3"])
def test_shares_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no share of versions"):
        alias_of(text)


@pytest.mark.parametrize("name", ["", "latest", "Prod", "a--b", "7", "a-", "x" * 21, "a.b"])
def test_names_that_fit_no_host_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an alias"):
        check_name(name)


def test_a_bundle_is_held_by_its_versions_each_with_its_reason() -> None:
    first, second, third = (
        replace(version("x"), number=number, bundles={"a": bundle, "b": "sha256:same"})
        for number, bundle in ((1, "sha256:old"), (2, "sha256:old"), (3, "sha256:new"))
    )
    aliases = {"prod": Alias(((1, 90.0), (3, 10.0)))}
    history = History((first, second, third), current=3, before=2, aliases=aliases, busy=frozenset({1}))
    assert holding(history) == {
        "sha256:new": ("version 3 (current, prod)",),
        "sha256:old": ("version 2", "version 1 (prod, open calls)"),
        "sha256:same": ("version 3 (current, prod)", "version 2", "version 1 (prod, open calls)"),
    }

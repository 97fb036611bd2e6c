"""A project's identity over its life: renamed, moved, released anew, named, copied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import projects
from fnctl.paths import ProjectPaths
from fnctl.projects import Known, Place, identify, project_id, remember

SHOP = Known("aaaaaaaaaaaa", "shop", False, Path("/srv/shop"), Path("/srv/shop"))
NAMED = Known("bbbbbbbbbbbb", "store", True, Path("/srv/store"), Path("/srv/store"))
HERE = Place(Path("/srv/shop"), Path("/srv/shop"))


def at(folder: str, real: str | None = None, name: str | None = None, tag: str | None = None) -> Place:
    return Place(Path(folder), Path(real or folder), name, tag)


def test_the_same_path_is_the_same_project() -> None:
    assert identify(HERE, [SHOP, NAMED]) == SHOP.id
    assert identify(HERE, []) == identify(HERE, [NAMED])
    assert identify(HERE, []) != identify(at("/srv/other"), [])


def test_a_folder_that_was_renamed_is_told_by_its_tag() -> None:
    gone = replace(SHOP, there=False)
    assert identify(at("/srv/new", tag=SHOP.id), [gone, NAMED]) == SHOP.id
    assert identify(at("/srv/new"), [gone]) != SHOP.id


def test_a_copy_that_carries_the_tag_is_another_project() -> None:
    assert identify(at("/srv/copy", tag=SHOP.id), [SHOP]) != SHOP.id


def test_a_release_behind_a_link_is_the_same_project() -> None:
    linked = replace(SHOP, folder=Path("/srv/app/current"), real=Path("/srv/app/releases/1"))
    assert identify(at("/srv/app/current", "/srv/app/releases/2"), [linked]) == SHOP.id
    assert identify(at("/srv/app/releases/1"), [linked]) == SHOP.id
    assert identify(at("/srv/app/releases/2"), [linked]) != SHOP.id


def test_a_declared_name_is_the_project_wherever_it_is() -> None:
    assert identify(at("/anywhere", name="store"), [SHOP, NAMED]) == NAMED.id
    first = identify(at("/a", name="new"), [SHOP])
    assert first == identify(at("/b", name="new"), [SHOP])
    assert first not in (SHOP.id, NAMED.id)


def test_a_project_that_gets_a_name_stays_what_it_is() -> None:
    assert identify(replace(HERE, name="market"), [SHOP]) == SHOP.id
    left = replace(SHOP, there=False)
    assert identify(at("/srv/elsewhere", name="shop"), [left]) == SHOP.id


def test_another_name_in_the_same_folder_is_another_project() -> None:
    assert identify(at("/srv/store", name="warehouse"), [NAMED]) != NAMED.id
    assert identify(at("/srv/store"), [NAMED]) == NAMED.id  # none at all: still the same


def test_a_new_folder_at_an_old_path_is_not_given_what_has_moved_on() -> None:
    first = identify(HERE, [])
    moved = Known(first, "shop", False, Path("/srv/new"), Path("/srv/new"))
    assert identify(HERE, [moved]) != first


def test_a_project_of_before_there_were_records_keeps_its_id() -> None:
    plain = identify(at("/srv/real"), [])
    assert identify(at("/srv/link", "/srv/real"), [], frozenset({plain})) == plain


def test_on_disk_a_renamed_folder_and_a_moved_link_keep_their_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    first = tmp_path / "one"
    first.mkdir()
    identity = project_id(first)
    assert not (tmp_path / "home").exists()  # asking makes nothing
    remember(identity, first, None)
    assert project_id(first) == identity
    second = first.rename(tmp_path / "two")
    assert project_id(second) == identity
    remember(identity, second, None)
    first.mkdir()
    assert project_id(first) != identity
    assert project_id(second) == identity
    known = projects.of(identity)
    assert known is not None
    assert (known.name, known.folder, known.there) == ("two", second, True)
    (tmp_path / "current").symlink_to(second)
    released = project_id(tmp_path / "current")
    assert released == identity
    remember(identity, tmp_path / "current", None)
    (tmp_path / "three").mkdir()
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(tmp_path / "three")
    assert project_id(tmp_path / "current") == identity


def test_a_record_that_is_broken_is_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    remember("cccccccccccc", tmp_path, "shop")
    assert projects.of("cccccccccccc") is not None
    (ProjectPaths.of("cccccccccccc").root / projects.RECORD).write_text("{")
    assert projects.recall() == []

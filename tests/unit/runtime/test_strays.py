"""Processes left behind: what is there from the start is no stray, and past the limit there are too many."""

from __future__ import annotations

from pathlib import Path

from fnctl.engine.cgroup import Cgroup
from fnctl.runtime.strays import LIMIT, LOOK_S, Strays


def test_what_the_code_had_started_when_it_was_loaded_is_its_own(tmp_path: Path) -> None:
    def there(count: int) -> Cgroup:
        (tmp_path / "cgroup.procs").write_text("7\n" * count)
        return Cgroup(tmp_path, tmp_path, version=2)

    strays = Strays()
    strays.loaded(there(10))
    assert (strays.too_many(there(10), 0.0), strays.count) == (False, 0)
    assert (strays.too_many(there(9), 0.0), strays.count) == (False, 0)
    assert (strays.too_many(there(10 + LIMIT), 0.0), strays.count) == (False, LIMIT)
    assert (strays.too_many(there(11 + LIMIT), 0.0), strays.count) == (True, LIMIT + 1)


def test_they_are_looked_for_once_in_a_while() -> None:
    strays = Strays()
    strays.too_many(None, 100.0)
    assert not strays.due(100.0 + LOOK_S)
    assert strays.due(100.1 + LOOK_S)


def test_where_nothing_can_be_read_nothing_is_too_many() -> None:
    strays = Strays()
    strays.loaded(None)
    assert not strays.too_many(None, 0.0)

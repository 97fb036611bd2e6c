"""Processes left behind: what is there from the start does not count, and past the limit there are too many."""

from __future__ import annotations

from pathlib import Path

from fnctl.engine.cgroup import Cgroup
from fnctl.sandbox.leftover_processes import LIMIT, LOOK_S, LeftoverProcesses


def test_what_the_code_had_started_when_it_was_loaded_is_its_own(tmp_path: Path) -> None:
    def there(count: int) -> Cgroup:
        (tmp_path / "cgroup.procs").write_text("7\n" * count)
        return Cgroup(tmp_path, tmp_path, version=2)

    left = LeftoverProcesses()
    left.loaded(there(10))
    assert (left.too_many(there(10), 0.0), left.count) == (False, 0)
    assert (left.too_many(there(9), 0.0), left.count) == (False, 0)
    assert (left.too_many(there(10 + LIMIT), 0.0), left.count) == (False, LIMIT)
    assert (left.too_many(there(11 + LIMIT), 0.0), left.count) == (True, LIMIT + 1)


def test_they_are_looked_for_once_in_a_while() -> None:
    left = LeftoverProcesses()
    left.too_many(None, 100.0)
    assert left.look_at > 99.9 + LOOK_S
    assert left.look_at <= 100.1 + LOOK_S


def test_where_nothing_can_be_read_nothing_is_too_many() -> None:
    left = LeftoverProcesses()
    left.loaded(None)
    assert not left.too_many(None, 0.0)

"""Processes left behind: what is there from the start does not count, and past the limit there are too many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fnctl.engine.cgroup import Cgroup
from fnctl.sandbox.leftover_processes import LIMIT, LOOK_S, WORKERS_S, LeftoverProcesses

There = Callable[[int], Cgroup]


@pytest.fixture
def there(tmp_path: Path) -> There:
    """there(count) → the usage of a sandbox with so many processes."""

    def there(count: int) -> Cgroup:
        (tmp_path / "cgroup.procs").write_text("7\n" * count)
        return Cgroup(tmp_path, tmp_path, version=2)

    return there


def test_what_the_code_had_started_when_it_was_loaded_is_its_own(there: There) -> None:
    left = LeftoverProcesses()
    left.loaded(there(10), 0.0)
    assert (left.too_many(there(10), 0.0), left.count) == (False, 0)
    assert (left.too_many(there(9), 0.0), left.count) == (False, 0)
    assert (left.too_many(there(10 + LIMIT), 0.0), left.count) == (False, LIMIT)
    assert (left.too_many(there(11 + LIMIT), 0.0), left.count) == (True, LIMIT + 1)


@pytest.mark.parametrize("first_look_s", [1.0, WORKERS_S + 5])
def test_workers_that_a_server_starts_once_it_listens_are_its_own(there: There, first_look_s: float) -> None:
    left = LeftoverProcesses(WORKERS_S)
    left.loaded(there(2), 0.0)
    assert (left.too_many(there(20), first_look_s), left.count) == (False, 0)
    left.too_many(there(20), WORKERS_S + 6)
    assert (left.too_many(there(23), WORKERS_S + 7), left.count) == (False, 3)


def test_a_server_that_starts_ever_more_is_ended(there: There) -> None:
    left = LeftoverProcesses(WORKERS_S)
    left.loaded(there(2), 0.0)
    assert (left.too_many(there(2 + 2 * LIMIT), 1.0), left.count) == (False, LIMIT)
    assert left.too_many(there(3 + 2 * LIMIT), 2.0)


def test_they_are_looked_for_once_in_a_while() -> None:
    left = LeftoverProcesses()
    left.too_many(None, 100.0)
    assert left.look_at > 99.9 + LOOK_S
    assert left.look_at <= 100.1 + LOOK_S


def test_where_nothing_can_be_read_nothing_is_too_many() -> None:
    left = LeftoverProcesses()
    left.loaded(None, 0.0)
    assert not left.too_many(None, 0.0)

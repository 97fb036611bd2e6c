"""The log of a detached run: all that is said is in it, and it does not grow without end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl.cli.run_log import RunLog


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "run.log"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    yield path, descriptor
    os.close(descriptor)


def test_the_last_of_it_is_kept_in_two_files_of_bounded_size(file: tuple[Path, int]) -> None:
    path, descriptor = file
    log = RunLog(path, 1000, (descriptor,))
    said = "".join(f"{number:09}\n" for number in range(10_000))
    for start in range(0, len(said), 77):
        log.write(said[start : start + 77])
    log.write("é" * 1999)  # more than one file's worth at once
    kept = (path.with_name("run.log.1").read_bytes() + path.read_bytes()).decode("utf-8", "ignore")
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.log", "run.log.1"]
    assert 900 < len(kept.encode()) <= 2000
    assert set(kept) == {"é"}


def test_what_was_there_counts_and_what_others_write_follows(file: tuple[Path, int]) -> None:
    path, descriptor = file
    os.write(descriptor, b"x" * 990)
    log = RunLog(path, 1000, (descriptor,))
    log.write("0123456789")
    os.write(descriptor, b"from below")
    assert path.with_name("run.log.1").stat().st_size == 1000
    assert path.read_bytes() == b"from below"

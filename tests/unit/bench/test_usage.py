"""Readings of CPU and memory from files as the kernel writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fnctl.bench.measure import NotMeasured
from fnctl.bench.throughput import Used
from fnctl.bench.usage import TICKS, Cgroup, cgroup_of, private_mb, process_cpu_s

MB = 1 << 20


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_program_name_with_brackets_and_blanks_does_not_shift_the_fields(tmp_path: Path) -> None:
    fields = ["S", *["0"] * 10, str(3 * TICKS), str(2 * TICKS), *["9"] * 30]
    write(tmp_path / "7" / "stat", f"7 (a) b (c) {' '.join(fields)}\n")
    assert process_cpu_s([7], tmp_path) == 5.0


def test_a_process_that_has_ended_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="process 7 ended"):
        process_cpu_s([7], tmp_path)


def test_this_process_has_used_some() -> None:
    assert process_cpu_s([os.getpid()]) > 0
    assert private_mb([os.getpid()]) > 1


def test_private_memory_is_the_sum_over_processes(tmp_path: Path) -> None:
    for pid, kb in ((7, 2048), (8, 1024)):
        write(tmp_path / str(pid) / "smaps_rollup", f"Rss: 99999 kB\nPrivate_Clean: 500 kB\nPrivate_Dirty: {kb} kB\n")
    assert private_mb([7, 8], tmp_path) == 3.0


def hybrid(root: Path, proc: Path) -> Cgroup:
    write(proc / "7" / "cgroup", "4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/init\n")
    write(root / "memory/docker/x/memory.usage_in_bytes", str(10 * MB))
    write(root / "memory/docker/x/memory.stat", f"cache 1\ntotal_inactive_file {4 * MB}\n")
    write(root / "cpuacct/docker/x/cpuacct.usage", "2500000000\n")
    return cgroup_of(7, proc, root)


def unified(root: Path, proc: Path) -> Cgroup:
    write(proc / "7" / "cgroup", "0::/system.slice/x\n")
    write(root / "system.slice/x/memory.current", str(10 * MB))
    write(root / "system.slice/x/memory.stat", f"anon 1\ninactive_file {4 * MB}\n")
    write(root / "system.slice/x/cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
    return cgroup_of(7, proc, root)


@pytest.mark.parametrize("make", [hybrid, unified])
def test_control_groups_of_both_versions_read_alike(tmp_path: Path, make: object) -> None:
    assert callable(make)
    group = make(tmp_path / "cgroup", tmp_path / "proc")
    assert (group.memory_mb(), group.cpu_s()) == (6.0, 2.5)


def test_a_group_that_is_not_to_be_seen_is_not_measured(tmp_path: Path) -> None:
    write(tmp_path / "7" / "cgroup", "0::/x\n")
    with pytest.raises(NotMeasured, match="no memory control group"):
        cgroup_of(7, tmp_path, tmp_path)


def test_cpu_time_is_unknown_once_a_container_took_its_count_with_it() -> None:
    before = Used(1.0, frozenset({"a", "b"}))
    assert Used(3.0, frozenset({"a", "b", "new"})).since(before) == 2.0
    assert Used(3.0, frozenset({"a", "new"})).since(before) is None

"""Limits written into a cgroup's own files, in the order that the kernel takes them."""

from __future__ import annotations

from pathlib import Path

from fnctl.engine.limits import MIB, set_limits, write


def test_version_1_keeps_memory_below_memory_and_swap_on_the_way(tmp_path: Path) -> None:
    plain, both = tmp_path / "memory.limit_in_bytes", tmp_path / "memory.memsw.limit_in_bytes"
    for limit in (256, 300, 64):
        for file in (plain, both):
            file.write_text(str(256 * MIB)) if limit == 256 else None
        write(tmp_path, tmp_path, 1, memory_mb=limit, cpus=None)
        assert (plain.read_text(), both.read_text()) == (str(limit * MIB), str(limit * MIB))
    both.unlink()
    write(tmp_path, tmp_path, 1, memory_mb=128, cpus=0.5)
    assert plain.read_text() == str(128 * MIB)
    assert not both.exists()
    assert (tmp_path / "cpu.cfs_quota_us").read_text() == "50000"
    assert (tmp_path / "cpu.cfs_period_us").read_text() == "100000"


def test_version_2_has_one_file_each(tmp_path: Path) -> None:
    write(tmp_path, tmp_path, 2, memory_mb=300, cpus=2)
    assert (tmp_path / "memory.max").read_text() == str(300 * MIB)
    assert (tmp_path / "cpu.max").read_text() == "200000 100000"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cpu.max", "memory.max"]


def test_what_is_gone_is_the_engines() -> None:
    assert set_limits(2**22 + 1, memory_mb=64, cpus=None) is False

"""Where a container's cgroup lies, by both versions, drivers, and from within another container."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.engine.cgroup import Cgroup, field, locate

ID = "ab" * 32
V1_MOUNTS = """\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
V2_MOUNTS = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"


def test_version_1() -> None:
    groups = f"5:memory:/docker/{ID}\n4:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
    root = Path("/sys/fs/cgroup")

    assert locate(groups, V1_MOUNTS) == (root / "memory/docker" / ID, root / "cpu,cpuacct/docker" / ID, 1)


def test_version_2_with_the_systemd_driver() -> None:
    folder = Path(f"/sys/fs/cgroup/system.slice/docker-{ID}.scope")

    assert locate(f"0::/system.slice/docker-{ID}.scope\n", V2_MOUNTS) == (folder, folder, 2)


@pytest.mark.parametrize("path", ["/", "/user.slice/session-1.scope", f"/docker/{ID}/inner", f"/../{ID[:-2]}"])
def test_what_is_no_containers_is_none(path: str) -> None:
    assert locate(f"0::{path}\n", V2_MOUNTS) is None


def test_a_folder_outside_of_what_is_mounted_is_none() -> None:
    mounts = f"30 25 0:26 /docker/{'cd' * 32} /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"

    assert locate(f"0::/docker/{ID}\n", mounts) is None


def test_readings_of_version_2_outlive_the_cgroup(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("3145728\n")
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1500\nuser_usec 1000\n")
    cgroup = Cgroup(tmp_path, tmp_path, version=2)
    for file in tmp_path.iterdir():
        file.unlink()

    assert (cgroup.memory_mb(), cgroup.peak_memory_mb(), cgroup.cpu_ms(), cgroup.oom_kills()) == (3.0, None, 1.5, 2)
    cgroup.close()
    assert cgroup.memory_mb() == 3.0


def test_processes_are_counted_as_long_as_there_are_any(tmp_path: Path) -> None:
    cgroup = Cgroup(tmp_path, tmp_path, version=2)
    (tmp_path / "cgroup.procs").write_text("101\n102\n")
    assert cgroup.processes() == 2
    (tmp_path / "cgroup.procs").unlink()
    assert cgroup.processes() == 0


def test_a_field_that_is_not_there_is_zero() -> None:
    assert field("oom_kill_disable 1\nunder_oom 0", "oom_kill") == 0

"""Memory and CPU of a sandbox, set in its own cgroup on this host: a twentieth of what the engine takes for it.

Where systemd owns the cgroup (a `.scope`), it would write its own figures over ours: there the engine is to be asked.
"""

from __future__ import annotations

from pathlib import Path

from fnctl.engine.cgroup import locate, placed

MIB = 1024 * 1024
PERIOD_US = 100_000  # the engine's


def set_limits(pid: int, *, memory_mb: int | None, cpus: float | None) -> bool:
    """Of the sandbox that this process is in. False: not from here; what was set by then, the engine sets again."""
    try:
        groups, mounts = Path(f"/proc/{pid}/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
    except OSError:
        return False
    found = locate(groups, mounts)
    if found is None or found[0].name.endswith(".scope"):
        return False
    memory, _, version = found
    cpu = placed(groups, mounts, "cpu") if version == 1 else memory  # which need not lie where CPU time is counted
    if cpu is None:
        return False
    try:
        write(memory, cpu, version, memory_mb=memory_mb, cpus=cpus)
    except OSError:
        return False
    return True


def write(memory: Path, cpu: Path, version: int, *, memory_mb: int | None, cpus: float | None) -> None:
    """OSError where one is refused."""
    if memory_mb is not None:
        _set_memory(memory, memory_mb * MIB, version)
    if cpus is not None:
        _set_cpu(cpu, round(cpus * PERIOD_US), version)


def _set_memory(folder: Path, limit: int, version: int) -> None:
    """Memory and swap have one bound (engine/profile.py)."""
    if version == 2:
        (folder / "memory.max").write_text(str(limit))
        return
    plain, both = folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"
    raised = limit > int(plain.read_text())
    files = (both, plain) if raised else (plain, both)  # memory is never above both together
    for file in files:
        if file.exists():  # a kernel that does not count swap has one of them
            file.write_text(str(limit))


def _set_cpu(folder: Path, quota_us: int, version: int) -> None:
    if version == 2:
        (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        return
    (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (folder / "cpu.cfs_quota_us").write_text(str(quota_us))

"""CPU time and memory of a process or a container, read from /proc and the control groups (v1, v2 and hybrid)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fnctl.bench.measure import NotMeasured

CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


def process_cpu_s(pids: Iterable[int], proc: Path = PROC) -> float:
    """User and system CPU seconds of these processes so far, without their children. NotMeasured if one is gone."""
    total = 0
    for pid in pids:
        try:
            # the second field is the program's name in brackets, and may hold anything, brackets too
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError as gone:
            raise NotMeasured(f"process {pid} ended while it was measured") from gone
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def private_mb(pids: Iterable[int], proc: Path = PROC) -> float:
    """Private dirty memory of these processes, in MB: what each holds alone and the kernel cannot drop.

    Unlike the resident size it does not count program files that several processes share, so that a container of one
    image and a bare process compare alike.
    """
    kb = 0
    for pid in pids:
        try:
            text = (proc / str(pid) / "smaps_rollup").read_text()
        except OSError as gone:
            raise NotMeasured(f"memory of process {pid} cannot be read: {gone.strerror}") from gone
        kb += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty:"))
    return kb / 1024


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The control group of a container: its folder in the memory and in the CPU hierarchy (one and the same in v2)."""

    memory: Path
    cpu: Path

    def memory_mb(self) -> float:
        """In use, without file cache that was not used lately: the figure that `docker stats` shows."""
        v2 = self.memory / "memory.current"
        used = int((v2 if v2.exists() else self.memory / "memory.usage_in_bytes").read_text())
        stat = _pairs(self.memory / "memory.stat")
        return (used - stat.get("total_inactive_file", stat.get("inactive_file", 0))) / (1 << 20)

    def cpu_s(self) -> float:
        """CPU seconds of everything that ever ran in it."""
        v1 = self.cpu / "cpuacct.usage"
        if v1.exists():
            return int(v1.read_text()) / 1e9
        return _pairs(self.cpu / "cpu.stat")["usage_usec"] / 1e6

    def pids(self) -> list[int]:
        return [int(line) for line in (self.memory / "cgroup.procs").read_text().split()]


def cgroup_of(pid: int, proc: Path = PROC, root: Path = CGROUPS) -> Cgroup:
    """NotMeasured where the groups are not to be seen, as with an engine in a virtual machine of its own."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError as gone:
        raise NotMeasured(f"the control group of process {pid} cannot be read: {gone.strerror}") from gone
    names = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    unified = root / names.get("", "")
    memory = root / "memory" / names["memory"] if "memory" in names else unified
    cpu = root / "cpuacct" / names["cpuacct"] if "cpuacct" in names else unified
    if not (memory / "memory.stat").exists() or not memory.is_dir():
        raise NotMeasured(f"no memory control group at {memory}", hint="the engine must run on this machine")
    return Cgroup(memory, cpu)


def _pairs(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}

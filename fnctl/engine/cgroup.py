"""A sandbox's own cgroup, read on this host: memory, its peak, CPU time, kills, processes. Not its limits.

Both cgroup versions and both of Docker's drivers. Files stay open, so that a reading is one system call.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

MIB = 1024 * 1024
# The last folder of a container's cgroup: cgroupfs driver `ID`, systemd driver `docker-ID.scope`. A pid of an engine
# in a virtual machine names some other process here, whose cgroup does not look like this.
_CONTAINER = re.compile(r"(docker-)?[0-9a-f]{64}(\.scope)?")
_READ_BYTES = 4096


class Cgroup:
    """Readings of one sandbox. Once it has ended each reading stays at its last value. `close` it."""

    def __init__(self, memory: Path, cpu: Path, *, version: int) -> None:
        """`memory` and `cpu`: the folders of the cgroup under these controllers (version 2: the same one)."""
        v1 = version == 1
        self._version = version
        self._usage = _Reading(memory / ("memory.usage_in_bytes" if v1 else "memory.current"))
        self._peak = _Reading(memory / ("memory.max_usage_in_bytes" if v1 else "memory.peak"))
        self._kills = _Reading(memory / ("memory.oom_control" if v1 else "memory.events"))
        self._cpu = _Reading(cpu / ("cpuacct.usage" if v1 else "cpu.stat"))
        self._processes = memory / "cgroup.procs"

    @classmethod
    def of(cls, pid: int) -> Cgroup | None:
        """By a process of the sandbox, as the engine numbers it. None where its cgroup is not on this machine."""
        try:
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            mounts = Path("/proc/self/mountinfo").read_text()
        except OSError:
            return None
        found = locate(groups, mounts)
        if found is None:
            return None
        memory, cpu, version = found
        group = cls(memory, cpu, version=version)
        if group._usage.text is None:
            group.close()
            return None
        return group

    def memory_mb(self) -> float:
        return int(self._usage.read() or 0) / MIB

    def peak_memory_mb(self) -> float | None:
        """The highest since the sandbox was made, as counted against its limit. None before Linux 5.19 on version 2."""
        peak = self._peak.read()
        return None if peak is None else int(peak) / MIB

    def cpu_ms(self) -> float:
        """User and system time of all its processes, ended ones too."""
        text = self._cpu.read() or "0"
        return int(text) / 1_000_000 if self._version == 1 else field(text, "usage_usec") / 1000

    def oom_kills(self) -> int:
        """Processes that the kernel has killed in it because its memory was used up."""
        return field(self._kills.read() or "", "oom_kill")

    def processes(self) -> int:
        """How many there are in it now, the first one included; 0 once it is gone.

        Opened anew each time: version 1 gives an open file its old list for up to a second.
        """
        with suppress(OSError):
            return self._processes.read_bytes().count(b"\n")
        return 0

    def close(self) -> None:
        for reading in (self._usage, self._peak, self._kills, self._cpu):
            reading.close()


class _Reading:
    """One file, kept open. `text` is the last content, None where it could never be read."""

    def __init__(self, path: Path) -> None:
        self.text: str | None = None
        self._fd: int | None = None
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.read()

    def read(self) -> str | None:
        if self._fd is not None:
            with suppress(OSError):  # ENODEV: the cgroup is gone
                self.text = os.pread(self._fd, _READ_BYTES, 0).decode()
        return self.text

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def field(text: str, name: str) -> int:
    """`name value` lines, as in memory.events and cpu.stat; 0 where there is no such line."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0


def locate(groups: str, mountinfo: str) -> tuple[Path, Path, int] | None:
    """(memory folder, CPU folder, version) of `/proc/PID/cgroup` by `/proc/self/mountinfo`; None if no container's."""
    paths = controllers(groups)
    mounts = hierarchies(mountinfo)
    if "memory" in paths and "memory" in mounts:
        memory = _folder(mounts["memory"], paths["memory"])
        cpu = _folder(mounts.get("cpuacct"), paths.get("cpuacct"))
        version = 1
    else:
        memory = cpu = _folder(mounts.get(""), paths.get(""))
        version = 2
    return (memory, cpu, version) if memory is not None and cpu is not None else None


def placed(groups: str, mountinfo: str, controller: str) -> Path | None:
    """The folder of a container's cgroup under one controller of version 1; None where there is none."""
    return _folder(hierarchies(mountinfo).get(controller), controllers(groups).get(controller))


def controllers(groups: str) -> dict[str, str]:
    """Controller → path in its hierarchy. Version 2 is the controller named ""."""
    found: dict[str, str] = {}
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        found |= dict.fromkeys(names.split(","), path)
    return found


def hierarchies(mountinfo: str) -> dict[str, tuple[Path, str]]:
    """Controller → (where its hierarchy is mounted, which folder of it is). proc(5) has the format."""
    found: dict[str, tuple[Path, str]] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if kind[0] == "cgroup2":
            found[""] = (Path(fields[4]), fields[3])
        elif kind[0] == "cgroup":
            found |= dict.fromkeys(kind[2].split(","), (Path(fields[4]), fields[3]))
    return found


def _folder(mount: tuple[Path, str] | None, path: str | None) -> Path | None:
    """None too where the path lies outside what is mounted here, as seen from within another container."""
    if mount is None or path is None or not _CONTAINER.fullmatch(path.rpartition("/")[2]):
        return None
    point, root = mount
    if root != "/" and not path.startswith(root.rstrip("/") + "/"):
        return None
    inside = path.removeprefix(root) if root != "/" else path
    return point / inside.lstrip("/")

"""Facts of the machine that a figure is worth nothing without. None that tells whose machine it is."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from fnctl.bench import containers, load
from fnctl.bench.measure import NotMeasured

Fact = tuple[str, str]
QUIET = 0.5  # runnable processes a CPU, above which what is measured waits for others


def facts() -> tuple[Fact, ...]:
    """Name and value, in the order to be shown. What cannot be found out is left out."""
    return (
        ("CPUs", f"{len(os.sched_getaffinity(0))} × {_cpu()}"),
        ("memory", f"{_memory_gb():.1f} GB"),
        ("system", f"{_system()}, Linux {platform.release()}, {platform.machine()}"),
        ("control groups", _cgroups()),
        *_engine(),
        ("Python of fnctl", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("load generator", f"{load.generator()}, on the same cores as the servers"),
        ("load before", f"{os.getloadavg()[0]:.2f} running on average over the last minute"),
    )


def busy() -> str | None:
    """A warning where others kept the processors busy in the last minute; None where the machine was quiet."""
    load_average, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load_average < cpus * QUIET:
        return None
    return f"The machine was busy before the run ({load_average:.1f} running on {cpus} CPUs): mistrust these figures."


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return sys.platform


def _cgroups() -> str:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return "v2"
    return "v1, hybrid" if (root / "unified").is_dir() else "v1"


def _engine() -> list[Fact]:
    """From `docker info`, where there is the command."""
    try:
        said = subprocess.run(
            [containers.program(), "info", "--format", "{{json .}}"], capture_output=True, text=True, timeout=20
        )
        info = json.loads(said.stdout)
        runc = info.get("RuncCommit", {}).get("ID", "")[:12]
        return [
            ("Docker Engine", f"{info['ServerVersion']}, {info['DefaultRuntime']} {runc}".strip()),
            ("storage driver", info["Driver"]),
        ]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, NotMeasured):
        return []

"""What `fnctl setup` measures of this machine, and where that is kept: how long containers and runtimes take here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from fnctl import paths
from fnctl.engine.port import LABEL, LABEL_ROLE, Engine
from fnctl.model import RuntimeSpec, SandboxSpec
from fnctl.pace import SLOWEST, USUAL, Pace

FILE = "machine.json"
# A container with a runtime in it, from nothing to its end: 0.4 to 0.6 s on two cores of a usual machine, less idle.
USUAL_S = 1.0
LIMIT_S = 120.0
AGAIN = 2
NOBODY = 65534


def measure(
    engine: Engine,
    image: str,
    runtimes: Iterable[RuntimeSpec],
    clock: Callable[[], float] = time.monotonic,
) -> Pace:
    """Start each runtime's agent once, in a container without a network. It finds nobody to talk to, and ends."""

    def took(spec: RuntimeSpec) -> float:
        began = clock()
        engine.run(_sandbox(image, spec), timeout_s=LIMIT_S)
        return clock() - began

    slowest = 0.0
    for spec in runtimes:
        best = took(spec)
        for _ in range(AGAIN if best > USUAL_S else 0):  # slow, or only busy, or the first to read the image's files
            best = min(best, took(spec))
        slowest = max(slowest, best)
    return Pace(min(SLOWEST, max(USUAL, slowest / USUAL_S)))


def _sandbox(image: str, spec: RuntimeSpec) -> SandboxSpec:
    return SandboxSpec(
        name=f"fnctl-setup-{spec.name}-{time.time_ns()}",
        image=image,
        command=spec.agent,
        labels=((LABEL, "1"), (LABEL_ROLE, "build")),
        uid=NOBODY,
        mounts=(),
        environment=(*spec.environment, ("FNCTL_PRELOAD", "1")),
        network="none",
    )


def read() -> Pace:
    """As it was measured; a usual machine's where it was not, or cannot be read."""
    try:
        factor = float(json.loads(_file().read_text("utf-8"))["pace"])
    except (OSError, ValueError, KeyError, TypeError):
        return Pace()
    return Pace(min(SLOWEST, max(USUAL, factor)))


def write(pace: Pace) -> None:
    """OSError where the home cannot be written."""
    file = _file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({"pace": round(pace.factor, 2)}) + "\n", "utf-8")
    partial.replace(file)


def _file() -> Path:
    return paths.home() / FILE

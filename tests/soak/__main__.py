"""`make soak`: hours of calls, of chaos and of hostile bytes. Counts come from the environment, and so does the seed.

SOAK_SEED      printed; the same seed makes the same events and bytes
SOAK_CALLS     warm calls (1,000,000)
SOAK_CYCLES    of chaos (300)
SOAK_HOSTILE   hostile requests, and as many hostile answers and agent frames together (1,000,000)

One line of JSON a part, on stdout. Exits with 1 where anything failed.
"""

from __future__ import annotations

import os
import resource
import secrets
import sys
from collections.abc import Iterator

from tests.faults import rig
from tests.faults.engine import private_engine
from tests.soak import calls, chaos, frames, hostile
from tests.soak.figures import Figures, say
from tests.support import homes
from tests.support.command import docker


def number(name: str, otherwise: int) -> int:
    return int(os.environ.get(name) or otherwise)


def parts(seed: int) -> Iterator[Figures]:
    count = number("SOAK_HOSTILE", 1_000_000)
    if count:
        yield hostile.requests(count, seed)
        yield hostile.answers(count // 2, seed)
        yield frames.soak(count - count // 2, seed)
    image = ""
    if number("SOAK_CALLS", 1_000_000) or number("SOAK_CYCLES", 300):
        with rig.desk() as desk, rig.running(desk) as running:
            sandbox = next(iter(running.instances(None)))["sandbox"]
            image = docker("inspect", "--format", "{{.Config.Image}}", sandbox).strip()
            if number("SOAK_CALLS", 1_000_000):
                yield calls.soak(running, number("SOAK_CALLS", 1_000_000))
            running.stop()
    if number("SOAK_CYCLES", 300):
        with private_engine() as engine:
            engine.take_images("fnctl/base:trixie", image)
            yield chaos.soak(engine, number("SOAK_CYCLES", 300), seed)


def main() -> int:
    seed = number("SOAK_SEED", secrets.randbelow(1 << 31))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    say(f"seed {seed}: the same events and bytes with SOAK_SEED={seed}")
    failed = False
    homes.share()
    try:
        for figures in parts(seed):
            figures.tell()
            failed = failed or bool(figures.failed)
    finally:
        homes.unshare()
    say("failed" if failed else "all parts held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

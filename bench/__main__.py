"""`python -m bench`, as `make bench` calls it: measure fnctl itself; tables, JSON, and one HTML page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import suite
from fnctl import paths
from fnctl.bench.session import Settings
from fnctl.cli import bench, output
from fnctl.errors import FnctlError

EXIT_INTERRUPT = 130


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    least = Settings()
    words = argparse.ArgumentParser("python -m bench", description="Measure fnctl itself, each figure a ratio.")
    words.add_argument("-n", "--samples", type=int, default=least.samples, help="first calls of each start kind")
    words.add_argument(
        "--only", default="", metavar="ID,ID,…", help="questions to ask, by id: help,burst (default: all)"
    )
    words.add_argument("-c", "--concurrency", default="1,8,32", metavar="N,N,…", help="numbers of client connections")
    words.add_argument("--duration", type=float, default=least.duration_s, help="seconds of load in each round")
    words.add_argument("--rounds", type=int, default=least.rounds, help="rounds for each number of connections")
    words.add_argument("--html", type=Path, default=Path("bench.html"), metavar="FILE", help="where the page goes")
    words.add_argument("-o", "--output", choices=bench.FORMATS, default="text", help="format of what is printed")
    return words.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0 measured, 1 failed, 2 usage, 130 interrupted."""
    given = parsed(argv)
    try:
        settings = Settings(given.samples, given.duration, bench.levels(given.concurrency), given.rounds)
        only = [name for name in given.only.split(",") if name]
        with bench.measuring() as progress:
            result = suite.measure(paths.cache() / "bench" / "projects", settings, progress, only)
        bench.tell(result, given.output, given.html)
    except FnctlError as failed:
        output.error(failed)
        return failed.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long fnctl's own commands take where there is nothing to do, beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from fnctl.bench.interleave import Mismatch, Sample, interleave
from fnctl.bench.measure import Measure, Question
from fnctl.model import Project

COMMAND_S = 300.0

HELP = Question(
    "help",
    "`fnctl --help`",
    "the command from spawn to its end; in turns: `python -c pass`",
    "ms",
    over="`fnctl --help` ÷ `python -c pass`",
)
BUILD = Question(
    "build-nothing",
    "`fnctl build` with nothing to do",
    "the command from spawn to its end, everything built before; in turns: `python -c pass`",
    "ms",
    over="`fnctl build` ÷ `python -c pass`",
)


def help_(ask: Question, n: int) -> Measure:
    return _beside_nothing(ask, "fnctl --help", ["--help"], None, n)


def build(ask: Question, project: Project, n: int) -> Measure:
    run(["build"], project.root)
    return _beside_nothing(ask, "fnctl build", ["build"], project.root, n)


def _beside_nothing(ask: Question, name: str, arguments: list[str], folder: Path | None, n: int) -> Measure:
    arms: dict[str, Sample] = {
        name: lambda: run(arguments, folder),
        "python -c pass": lambda: _timed([sys.executable, "-c", "pass"], None),
    }
    return Measure(ask, tuple(interleave(arms, n)))


def run(arguments: list[str], folder: Path | None) -> float:
    """Milliseconds of one fnctl command. Mismatch where it fails."""
    return _timed([sys.executable, "-m", "fnctl.cli.main", *arguments], folder)


def _timed(argv: list[str], folder: Path | None) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=COMMAND_S)
    took_ms = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise Mismatch(f"`fnctl {' '.join(argv[3:])}` ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return took_ms

"""One run of the bench: asks question after question, keeps the answers and the reasons where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import fnctl
from fnctl.bench import machine
from fnctl.bench.interleave import Mismatch
from fnctl.bench.measure import LoadRow, Measure, NotMeasured, Question, Result, skipped
from fnctl.errors import FnctlError
from fnctl.progress import Progress

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for. `rate`: also measure latency in an open loop at this many requests a second."""

    samples: int = 20
    duration_s: float = 3.0
    concurrency: tuple[int, ...] = (1, 8, 32)
    rounds: int = 5  # of load, of each target and concurrency
    rate: float | None = None
    path: str | None = None


class Session:
    """Collects the measures of a run in the order they were asked for."""

    def __init__(self, title: str, progress: Progress) -> None:
        self._title = title
        self._progress = progress
        self._began = time.monotonic()
        self._at = datetime.now(UTC)
        self._machine = machine.facts()
        self._busy = machine.busy()
        self._measures: list[Measure] = []
        self._load: list[LoadRow] = []

    def ask(self, question: Question, answer: Callable[[], Measure]) -> None:
        """The answer, or why there is none. One question that fails does not take the others with it."""
        found = self._answer(question, answer)
        if found is not None:
            self._measures.append(found)
            self._progress.done(question.what, told(found))

    def ask_load(self, question: Question, answer: Callable[[], list[LoadRow]]) -> None:
        """The same for loads: rows of their own table, and among the measures only where there is none."""
        found = self._answer(question, answer)
        if found is not None:
            self._load += found
            self._progress.done(question.what)

    def _answer(self, question: Question, answer: Callable[[], Found]) -> Found | None:
        self._progress.start(question.what)
        try:
            return answer()
        except (NotMeasured, Mismatch) as reason:
            why = reason.message
        except FnctlError as failed:
            why = f"failed: {failed.message}{_last_line(failed.detail)}"
        self._measures.append(skipped(question, why))
        self._progress.failed(question.what, f"not measured: {why}")
        return None

    def keep(self, rows: list[LoadRow]) -> None:
        self._load += rows

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Work that is not a measurement; what it raises ends the run."""
        self._progress.start(name)
        try:
            yield
        except BaseException:
            self._progress.failed(name)
            raise
        self._progress.done(name)

    def result(self, *notes: str) -> Result:
        return Result(
            title=self._title,
            at=self._at.isoformat(timespec="seconds"),
            took_s=time.monotonic() - self._began,
            version=fnctl.__version__,
            machine=self._machine,
            measures=tuple(self._measures),
            load=tuple(self._load),
            notes=(*notes, self._busy) if self._busy else notes,
        )


def told(measure: Measure) -> str:
    """The measure in a few words: the ratio or difference where there is one, else the median."""
    first = measure.series[0].summary if measure.series else None
    if measure.compared is not None and measure.question.compare == "ratio":
        return f"{measure.compared.value:.2f}"
    if measure.compared is not None:
        return f"{measure.compared.value:+.3g} {measure.question.unit}"
    return f"{first.p50:.3g} {measure.question.unit}" if first else ""


def _last_line(detail: str | None) -> str:
    lines = (detail or "").strip().splitlines()
    return f" ({lines[-1].strip()})" if lines else ""

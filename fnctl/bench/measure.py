"""What a bench finds, as values: series of samples, their comparison, the whole result. Nothing is run here.

The table in the terminal, the HTML page and `-o json` are three drawings of the one `Result`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from fnctl.bench.stats import Estimate, Summary, difference_of_medians, ratio_of_medians, summarize
from fnctl.errors import FnctlError


class NotMeasured(FnctlError):
    """This machine, project or version of fnctl cannot be measured this way; the message says why."""

    code = "not_measured"


class Comparison(enum.StrEnum):
    """How two series of one measure are set against each other."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be measured, before anything is: told in words, with what the answer should come to.

    `better`: -1 where less is better, +1 where more is. `reach` is what has to hold, `aim` what is hoped for; None
    where nobody has said.
    """

    id: str
    what: str
    how: str
    unit: str
    better: int = -1
    over: str | None = None  # the comparison in words: "first call ÷ bare process"
    compare: Comparison = Comparison.RATIO
    reach: float | None = None
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of one thing, in the order they were taken; `discarded`: taken, and not what was asked for."""

    name: str
    values: tuple[float, ...]
    discarded: int = 0
    note: str = ""

    @property
    def summary(self) -> Summary | None:
        return summarize(self.values) if self.values else None


@dataclass(frozen=True, slots=True)
class Measure:
    """An answered question, or why it has no answer. The first series over the second is `compared`."""

    question: Question
    series: tuple[Series, ...] = ()
    not_measured: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def compared(self) -> Estimate | None:
        if self.question.over is None or len(self.series) < 2:
            return None
        above, below = self.series[0].values, self.series[1].values
        if not above or not below:
            return None
        if self.question.compare is Comparison.DIFFERENCE:
            return difference_of_medians(above, below)
        return ratio_of_medians(above, below) if sorted(below)[len(below) // 2] > 0 else None

    @property
    def verdict(self) -> str | None:
        """`aim`, `reach` or `short`: which of the figures set for it the comparison meets; None where none is set."""
        figure, better = self._figure, self.question.better
        if figure is None or (self.question.reach is None and self.question.aim is None):
            return None
        for word, limit in (("aim", self.question.aim), ("reach", self.question.reach)):
            if limit is not None and (figure - limit) * better >= 0:
                return word
        return "short"

    @property
    def _figure(self) -> float | None:
        """What the question comes to: the comparison, or the median where nothing is compared."""
        if (found := self.compared) is not None:
            return found.value
        alone = self.series[0].summary if len(self.series) == 1 else None
        return None if alone is None else alone.p50


@dataclass(frozen=True, slots=True)
class LoadRow:
    """Throughput and latency of one target at one concurrency. CPU in ms a request, None where it is unknown."""

    target: str
    connections: int
    tool: str
    rounds: int
    requests: int
    failed: int  # no answer, or an answer that is not a success
    rps: float  # median of the rounds
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    server_cpu_ms: float | None
    client_cpu_ms: float | None
    offered_rps: float | None = None  # open loop: the rate sent at, whatever came back
    ratio: Estimate | None = None  # rps over that of the target it was interleaved with


@dataclass(frozen=True, slots=True)
class Result:
    """One whole run."""

    title: str
    at: str  # ISO 8601, UTC
    took_s: float
    version: str
    machine: tuple[tuple[str, str], ...]
    measures: tuple[Measure, ...]
    load: tuple[LoadRow, ...] = ()
    notes: tuple[str, ...] = ()


def skipped(question: Question, why: str) -> Measure:
    return Measure(question, not_measured=why)


def noted(measure: Measure, *notes: str) -> Measure:
    return replace(measure, notes=(*measure.notes, *notes))


def as_json(result: Result) -> dict[str, Any]:
    """Plain data with everything that was computed from the samples, and the samples."""
    return {
        "title": result.title,
        "at": result.at,
        "took_s": round(result.took_s, 1),
        "fnctl": result.version,
        "machine": dict(result.machine),
        "measures": [_measure_json(measure) for measure in result.measures],
        "load": [asdict(row) for row in result.load],
        "notes": list(result.notes),
    }


def _measure_json(measure: Measure) -> dict[str, Any]:
    question = measure.question
    data: dict[str, Any] = {**asdict(question), "compare": str(question.compare)}
    data["series"] = [_series_json(series) for series in measure.series]
    data["compared"] = asdict(measure.compared) if measure.compared else None
    data["verdict"] = measure.verdict
    data["not_measured"] = measure.not_measured
    data["notes"] = list(measure.notes)
    return data


def _series_json(series: Series) -> Mapping[str, Any]:
    return {
        "name": series.name,
        "n": len(series.values),
        "discarded": series.discarded,
        "summary": asdict(series.summary) if series.summary else None,
        "samples": [round(value, 6) for value in series.values],
        "note": series.note,
    }

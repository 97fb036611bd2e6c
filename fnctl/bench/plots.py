"""Plots as geometry: samples along an axis, bars beside each other. Numbers only; the page draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fnctl.bench.figures import number
from fnctl.bench.measure import LoadRow, Measure
from fnctl.model import StartKind

WIDTH = 720
NARROW, BROAD, LETTER = 110, 260, 6.6  # the column of names is as broad as they need, within bounds; px a letter
RIGHT = 60  # of the width, for the figure at a bar's end
ROW = 34
TOP, BOTTOM = 8, 26
TICKS = 5
KINDS = frozenset(map(str, StartKind))
LEAST = 1e-9  # nothing measured here is smaller in its unit: it is nought


@dataclass(frozen=True, slots=True)
class Axis:
    """From 0 at `left` to `top` at the right."""

    left: float
    top: float

    def place(self, value: float) -> float:
        """x of a value."""
        share = min(1.0, max(0.0, value / self.top))
        return round(self.left + share * (WIDTH - self.left - RIGHT), 1)

    def ticks(self) -> tuple[Tick, ...]:
        values = [self.top * step / TICKS for step in range(TICKS + 1)]
        return tuple(Tick(self.place(value), tick(value)) for value in values)


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One series: its samples as dots, or one bar; `mark` is where the median lies."""

    name: str
    y: float
    dots: tuple[float, ...]
    mark: float
    text: str
    group: int  # which colour


@dataclass(frozen=True, slots=True)
class Plot:
    width: int
    height: int
    left: float
    unit: str
    title: str  # what a screen reader says
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def strip(measure: Measure) -> Plot | None:
    """Every sample as a dot on an axis from 0, the median as a line. None where there is nothing to show."""
    series = [(one, one.summary) for one in measure.series if one.summary is not None]
    if not series:
        return None
    axis = axis_of([one.name for one, _ in series], max(found.most for _, found in series))
    rows = []
    for index, (one, found) in enumerate(series):
        dots = tuple(axis.place(value) for value in one.values)
        rows.append(Row(one.name, _y(index), dots, axis.place(found.p50), number(found.p50), index % 2))
    said = "; ".join(f"{row.name}: median {row.text} {measure.question.unit}" for row in rows)
    return _plot(rows, axis, measure.question.unit, f"{measure.question.what}. {said}")


def kinds(measures: Sequence[Measure]) -> Plot | None:
    """The median call of each start kind, of every function, on one axis: what a start costs beside a call."""
    found = [(name, one.series[0].summary) for one in measures if (name := _kind_of(one)) and one.series]
    medians = [(name, summary.p50) for name, summary in found if summary is not None]
    if not medians:
        return None
    axis = axis_of([name for name, _ in medians], max(p50 for _, p50 in medians))
    rows = [
        Row(name, _y(index), (), axis.place(p50), number(p50), int(name.endswith(("warm", "asleep"))))
        for index, (name, p50) in enumerate(medians)
    ]
    said = "; ".join(f"{row.name}: {row.text} ms" for row in rows)
    return _plot(rows, axis, "ms", f"Calls by start kind, medians. {said}")


def _kind_of(measure: Measure) -> str:
    """`start-cold-express` as `express, cold`; nothing for what is no call of a start kind."""
    word, _, rest = measure.question.id.partition("-")
    kind, _, name = rest.partition("-")
    return f"{name}, {kind}".removeprefix(", ") if word == "start" and kind in KINDS else ""


def bars(load: Sequence[LoadRow]) -> Plot | None:
    """Requests per second of each target at each concurrency. Open loops are not throughput, and left out."""
    closed = [row for row in load if row.offered_rps is None]
    if not closed:
        return None
    names = [f"{row.target}, {row.connections}" for row in closed]
    axis = axis_of(names, max(row.rps for row in closed))
    targets = list(dict.fromkeys(row.target for row in closed))
    rows = []
    for index, (name, row) in enumerate(zip(names, closed, strict=True)):
        group = targets.index(row.target) % 2
        rows.append(Row(name, _y(index), (), axis.place(row.rps), number(row.rps), group))
    said = "; ".join(f"{row.name} connections: {row.text}" for row in rows)
    return _plot(rows, axis, "requests/s", f"Requests per second. {said}")


def axis_of(names: Sequence[str], most: float) -> Axis:
    """One that has room for the names, and for every value up to `most`."""
    broad = max(len(name) for name in names) * LETTER + 14
    return Axis(round(min(BROAD, max(NARROW, broad))), axis_end(most))


def tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def axis_end(most: float) -> float:
    """The next of 1, 2, 2.5, 5 × 10ⁿ at or above `most`, so that five ticks come out even."""
    if most < LEAST:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    # 1e-9: a value that is a round number itself must not be pushed one step up by its last bit
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if step * unit >= most * (1 - 1e-9))


def _y(index: int) -> float:
    return TOP + index * ROW + ROW / 2


def _plot(rows: Sequence[Row], axis: Axis, unit: str, title: str) -> Plot:
    height = TOP + len(rows) * ROW + BOTTOM
    return Plot(WIDTH, height, axis.left, unit, title, tuple(rows), axis.ticks())

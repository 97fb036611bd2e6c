"""Plots as geometry: samples along an axis, bars beside each other. Numbers only; the page draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fnctl.bench.figures import number
from fnctl.bench.measure import LoadRow, Measure

WIDTH = 720
LABEL = 190  # of the width, for names
RIGHT = 70  # of the width, for the figure at a bar's end
ROW = 34
TOP, BOTTOM = 8, 26
TICKS = 5
LEAST = 1e-9  # nothing measured here is smaller in its unit: it is nought


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
    left: int
    row: int
    unit: str
    title: str  # what a screen reader says
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def strip(measure: Measure) -> Plot | None:
    """Every sample as a dot on an axis from 0, the median as a line. None where there is nothing to show."""
    series = [one for one in measure.series if one.summary is not None]
    if not series:
        return None
    most = max(max(one.values) for one in series)
    top = axis_end(most)
    rows = []
    for index, one in enumerate(series):
        assert one.summary is not None
        dots = tuple(place(value, top) for value in one.values)
        rows.append(Row(one.name, _y(index), dots, place(one.summary.p50, top), number(one.summary.p50), index % 2))
    said = "; ".join(f"{row.name}: median {row.text} {measure.question.unit}" for row in rows)
    return _plot(rows, top, measure.question.unit, f"{measure.question.what}. {said}")


def bars(load: Sequence[LoadRow]) -> Plot | None:
    """Requests per second of each target at each concurrency. Open loops are not throughput, and left out."""
    closed = [row for row in load if row.offered_rps is None]
    if not closed:
        return None
    top = axis_end(max(row.rps for row in closed))
    targets = list(dict.fromkeys(row.target for row in closed))
    rows = [
        Row(
            f"{row.target}, {row.connections}",
            _y(index),
            (),
            place(row.rps, top),
            number(row.rps),
            targets.index(row.target) % 2,
        )
        for index, row in enumerate(closed)
    ]
    said = "; ".join(f"{row.name} connections: {row.text}" for row in rows)
    return _plot(rows, top, "requests/s", f"Requests per second. {said}")


def place(value: float, top: float) -> float:
    """x of a value on an axis from 0 to `top`."""
    share = value / top if top > 0 else 0.0
    return round(LABEL + min(1.0, max(0.0, share)) * (WIDTH - LABEL - RIGHT), 1)


def axis_end(most: float) -> float:
    """The next of 1, 2, 2.5, 5 × 10ⁿ at or above `most`, so that five ticks come out even."""
    if most < LEAST:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(most))
    # 1e-9: a value that is a round number itself must not be pushed one step up by its last bit
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if step * unit >= most * (1 - 1e-9))


def _y(index: int) -> float:
    return TOP + index * ROW + ROW / 2


def _plot(rows: Sequence[Row], top: float, unit: str, title: str) -> Plot:
    height = TOP + len(rows) * ROW + BOTTOM
    ticks = tuple(Tick(place(top * k / TICKS, top), f"{top * k / TICKS:,.4g}") for k in range(TICKS + 1))
    return Plot(WIDTH, height, LABEL, ROW, unit, title, tuple(rows), ticks)

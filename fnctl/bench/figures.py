"""How figures are written: the same in the terminal's table and on the page. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from fnctl.bench.measure import Comparison, LoadRow, Measure, Result
from fnctl.bench.stats import Estimate

Table = tuple[Sequence[str], list[Sequence[str]]]  # headers, rows

MEASURE_HEADERS = ("MEASURE", "WHAT RAN", "UNIT", "P50", "P90", "P99", "N")
RATIO_HEADERS = ("MEASURE", "COMPARED", "FIGURE", "95 % INTERVAL", "VERDICT")
LOAD_HEADERS = ("TARGET", "CONN", "TOOL", "RPS", "P50 MS", "P90 MS", "P99 MS", "FAILED", "CPU µS/REQ", "FNCTL ÷ THIS")
NONE = "–"  # not known, or too few samples to tell


def number(value: float | None) -> str:
    """Three digits that count, and none that do not: 0.0421, 1.23, 45.6, 1,234."""
    if value is None:
        return NONE
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.3g}"


def compared(measure: Measure) -> str:
    """`0.42×`, or `+85.0 µs` for a difference; empty where nothing is compared."""
    found = measure.compared
    if found is None:
        return ""
    if measure.question.compare is Comparison.DIFFERENCE:
        return f"{'+' if found.value >= 0 else '−'}{number(abs(found.value))} {measure.question.unit}"
    return f"{number(found.value)}×"


def interval(found: Estimate | None) -> str:
    return f"{number(found.low)} … {number(found.high)}" if found else ""


def samples(count: int, discarded: int) -> str:
    """How many samples count, and how many were taken in vain: "20 (+1)"."""
    return f"{count} (+{discarded})" if discarded else str(count)


def measure_table(result: Result) -> Table:
    """A row a series; the measure's name on its first."""
    rows: list[Sequence[str]] = []
    for measure in result.measures:
        for index, series in enumerate(measure.series):
            found = series.summary
            figures = [number(value) for value in (found.p50, found.p90, found.p99)] if found else [NONE] * 3
            name = measure.question.id if index == 0 else ""
            rows.append(
                (name, series.name, measure.question.unit, *figures, samples(len(series.values), series.discarded))
            )
    return MEASURE_HEADERS, rows


def ratio_table(result: Result) -> Table:
    """A row a comparison; the last column only where figures were set to hold them against."""
    found = [measure for measure in result.measures if measure.compared is not None]
    judged = any(measure.verdict for measure in found)
    rows: list[Sequence[str]] = []
    for measure in found:
        verdict = (measure.verdict or "",) if judged else ()
        over = measure.question.over or ""
        rows.append((measure.question.id, over, compared(measure), interval(measure.compared), *verdict))
    return RATIO_HEADERS if judged else RATIO_HEADERS[:-1], rows


def load_table(result: Result) -> Table:
    return LOAD_HEADERS, [_load_row(row) for row in result.load]


def _load_row(row: LoadRow) -> Sequence[str]:
    target = f"{row.target}, open loop at {number(row.offered_rps)}/s" if row.offered_rps is not None else row.target
    return (
        target,
        str(row.connections),
        row.tool,
        number(row.rps),
        *(number(value) for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
        str(row.failed),
        cpu(row),
        f"{number(row.ratio.value)}×" if row.ratio else "",
    )


def cpu(row: LoadRow) -> str:
    """µs of CPU a request: the servers' and the load generator's, which share the cores."""
    server, client = (
        number(value * 1000) if value is not None else NONE for value in (row.server_cpu_ms, row.client_cpu_ms)
    )
    return f"{server} + {client}"


def left_out(result: Result) -> list[tuple[str, str]]:
    """What was not measured, and why."""
    return [(measure.question.what, measure.not_measured) for measure in result.measures if measure.not_measured]

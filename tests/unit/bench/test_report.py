"""The page: whole in itself, well-formed, with every figure, and no name in it becomes markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.bench import figures, plots, report
from fnctl.bench.measure import LoadRow, Measure, Question, Result, Series, as_json, skipped
from fnctl.bench.stats import Estimate

ASK = Question("start-runtime", "todos: first call, runtime", "one call", "ms", over="first call ÷ bare process")
VOID = {"meta", "line", "circle", "rect", "br"}


def result(name: str = "fnctl, runtime") -> Result:
    measures = (
        Measure(ASK, (Series(name, (21.5, 23.5, 25.5), 1), Series("bare process", (80.0, 90.0, 100.0)))),
        skipped(Question("edit", "an edit is saved", "…", "ms"), "no `fnctl run --watch`"),
    )
    load = (
        LoadRow("fnctl", 8, "wrk", 3, 9000, 0, 3000.0, 1.0, 2.0, 3.0, 0.05, 0.01),
        LoadRow(
            "bare process", 8, "wrk", 3, 12000, 2, 4000.0, 0.8, 1.0, 2.0, None, 0.01, None, Estimate(0.75, 0.7, 0.8)
        ),
        LoadRow("fnctl", 8, "own", 1, 900, 0, 299.0, 1.0, 2.0, 3.0, None, 0.02, 300.0),
    )
    return Result(
        "fnctl bench", "2026-01-01T00:00:00+00:00", 90, "0.1", (("CPUs", "2 × a <b>CPU</b>"),), measures, load
    )


class Page(HTMLParser):
    """Collects what the page holds; fails where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data += data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_one_picture_has_every_start_kind_on_one_scale() -> None:
    calls = [("cold", 150.0), ("runtime", 24.0), ("asleep", 2.0), ("warm", 0.5)]
    measures = [
        Measure(Question(f"start-{kind}-express", "…", "…", "ms"), (Series("fnctl", (ms,)), Series("bare", (900.0,))))
        for kind, ms in calls
    ]
    others = [skipped(Question("start-base-express", "…", "…", "ms"), "…"), Measure(ASK), *result().measures]
    plot = plots.kinds([*measures, *others])
    assert plot is not None
    assert [row.name for row in plot.rows] == [*(f"express, {kind}" for kind, _ in calls), "runtime"]
    lengths = [row.mark - plot.left for row in plot.rows]
    assert lengths[0] / lengths[1] == pytest.approx(150 / 24, rel=0.01)
    assert plots.kinds([Measure(Question("restart-cold", "…", "…", "ms"), (Series("fnctl", (1.0,)),))]) is None


def test_the_page_nests_and_needs_nothing_but_itself() -> None:
    page = Page(report.page(result()))
    assert page.open == []
    for tag, attributes in page.seen:
        assert tag not in {"link", "img", "iframe", "object"}
        assert not {"src", "href", "srcset"} & attributes.keys(), (tag, attributes)
        if tag == "script":
            assert attributes["type"] == "application/json"
    assert not re.search(r"url\(|@import|https?://", report.page(result()))


def test_the_page_says_every_figure_and_what_is_missing() -> None:
    text = Page(report.page(result())).text
    for word in (
        "0.26×",
        "23.5",
        "3 (+1)",
        "3,000",
        "0.75×",
        "an edit is saved: no fnctl run --watch",
        "2 × a <b>CPU</b>",
    ):
        assert word in text, word


def test_every_sample_is_a_dot_and_every_closed_loop_a_bar() -> None:
    tags = [tag for tag, _ in Page(report.page(result())).seen]
    assert tags.count("circle") == 6
    assert tags.count("rect") == 3  # two closed loops, and one start kind


def test_light_dark_and_print_are_styled() -> None:
    text = report.page(result())
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "{{ 7*7 }}", '"&<>']
)
def test_a_name_is_text_and_stays_text(name: str) -> None:
    page = Page(report.page(result(name)))
    assert name in page.text
    assert [tag for tag, _ in page.seen].count("script") == 1
    assert json.loads(page.data)["measures"][0]["series"][0]["name"] == name


def test_the_embedded_json_is_the_result() -> None:
    assert json.loads(Page(report.page(result())).data) == json.loads(json.dumps(as_json(result())))


def test_a_result_with_nothing_measured_is_a_page_too(tmp_path: Path) -> None:
    bare = Result("fnctl bench", "2026-01-01T00:00:00+00:00", 0, "0.1", (), (skipped(ASK, "no engine"),))
    report.write(bare, tmp_path / "bench.html")
    assert "no engine" in Page((tmp_path / "bench.html").read_text("utf-8")).text
    assert [file.name for file in tmp_path.iterdir()] == ["bench.html"]


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_an_axis_ends_at_a_round_number_that_is_not_far_off(most: float) -> None:
    end = plots.axis_end(most)
    assert most * (1 - 1e-9) <= end <= most * 2.5 * (1 + 1e-9)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=30))
def test_every_dot_lies_within_the_plot(values: list[float]) -> None:
    plot = plots.strip(Measure(ASK, (Series("a", tuple(values)),)))
    assert plot is not None
    (row,) = plot.rows
    assert all(plot.left <= x <= plots.WIDTH - plots.RIGHT for x in (*row.dots, row.mark))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.04213, "0.0421"), (0.5, "0.50"), (1.234, "1.23"), (45.67, "45.7"), (1234.5, "1,234")],
)
def test_figures_have_the_digits_that_count(value: float | None, text: str) -> None:
    assert figures.number(value) == text


def test_a_series_without_enough_samples_shows_no_p99() -> None:
    _, rows = figures.measure_table(result())
    assert rows[0] == ("start-runtime", "fnctl, runtime", "ms", "23.5", "–", "–", "3 (+1)")

"""Percentiles, ratios and their intervals, against known answers and as properties."""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.bench.stats import (
    difference_of_medians,
    enough_for,
    percentile,
    ratio_of_medians,
    summarize,
)

figures = st.floats(min_value=1e-3, max_value=1e6, allow_nan=False)
rows = st.lists(figures, min_size=1, max_size=60)


def test_a_percentile_interpolates_between_neighbours() -> None:
    assert percentile([10, 20, 30, 40], 0.5) == 25
    assert percentile([40, 10, 30, 20], 0.25) == pytest.approx(17.5)
    assert percentile([7], 0.99) == 7
    assert percentile([1, 2, 3], 0) == 1
    assert percentile([1, 2, 3], 1) == 3


@pytest.mark.parametrize(("samples", "q"), [([], 0.5), ([1.0], 1.01), ([1.0], -0.1)])
def test_a_percentile_of_nothing_or_outside_0_to_1_is_refused(samples: list[float], q: float) -> None:
    with pytest.raises(ValueError):
        percentile(samples, q)


@given(rows, st.floats(min_value=0, max_value=1))
def test_a_percentile_lies_within_the_samples(samples: list[float], q: float) -> None:
    assert min(samples) <= percentile(samples, q) <= max(samples)


@given(rows)
def test_percentiles_rise_with_q(samples: list[float]) -> None:
    found = [percentile(samples, q / 20) for q in range(21)]
    assert all(low <= high * (1 + 1e-12) for low, high in itertools.pairwise(found))


@given(st.lists(figures, min_size=2, max_size=200))
def test_quartiles_agree_with_the_standard_library(samples: list[float]) -> None:
    expected = statistics.quantiles(samples, n=4, method="inclusive")
    assert [percentile(samples, q) for q in (0.25, 0.5, 0.75)] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("q", "n", "enough"),
    [(0.5, 1, False), (0.5, 2, True), (0.9, 9, False), (0.9, 10, True), (0.99, 99, False), (0.99, 100, True)],
)
def test_a_percentile_needs_samples_beyond_it(q: float, n: int, enough: bool) -> None:
    assert enough_for(q, n) is enough


def test_a_summary_leaves_out_what_too_few_samples_tell() -> None:
    few = summarize([5.0, 1.0, 3.0])
    assert (few.n, few.p50, few.p90, few.p99) == (3, 3.0, None, None)
    assert (few.least, few.most) == (1.0, 5.0)
    many = summarize([float(value) for value in range(101)])
    assert (many.p90, many.p99) == (90.0, 99.0)


def test_one_wild_sample_does_not_move_the_spread() -> None:
    calm = [10.0, 10.1, 9.9, 10.2, 9.8]
    assert summarize([*calm, 10_000.0]).spread == pytest.approx(summarize(calm).spread, abs=0.15)


def test_the_ratio_of_a_series_to_itself_is_one_and_its_interval_holds_one() -> None:
    chance = random.Random(1)
    row = [chance.gauss(100, 10) for _ in range(30)]
    found = ratio_of_medians(row, row)
    assert found.value == 1
    assert found.low < 1 < found.high


def test_a_doubled_series_is_told_apart_from_noise() -> None:
    chance = random.Random(2)
    slow = [chance.gauss(200, 10) for _ in range(20)]
    fast = [chance.gauss(100, 10) for _ in range(20)]
    found = ratio_of_medians(slow, fast)
    assert 1.7 < found.low < found.value < found.high < 2.3


def test_more_samples_narrow_the_interval() -> None:
    chance = random.Random(3)

    def width(n: int) -> float:
        found = ratio_of_medians([chance.gauss(50, 10) for _ in range(n)], [chance.gauss(50, 10) for _ in range(n)])
        return found.high - found.low

    assert width(400) < width(10) / 2


def test_the_same_samples_give_the_same_interval() -> None:
    row, other = [1.0, 2.0, 4.0, 3.0], [2.0, 2.5, 1.0]
    assert ratio_of_medians(row, other) == ratio_of_medians(row, other)


@pytest.mark.parametrize(("above", "below"), [([], [1.0]), ([1.0], []), ([1.0], [0.0])])
def test_a_ratio_without_ground_is_refused(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError):
        ratio_of_medians(above, below)


def test_a_difference_may_be_negative_and_its_interval_orders_itself() -> None:
    found = difference_of_medians([1.0, 1.1, 0.9], [3.0, 3.1, 2.9])
    assert found.value == pytest.approx(-2.0)
    assert found.low <= found.value <= found.high < 0

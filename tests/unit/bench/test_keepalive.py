"""Keep-alive windows, as histories of idle times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.bench.keepalive import FixedKeepAlive, HybridHistogram, Window


def test_a_window_from_the_call_on_is_warm_to_its_last_minute() -> None:
    window = Window(0, 10)
    assert window.warm(0) and window.warm(10) and not window.warm(11)
    assert window.loaded_min(4) == 4
    assert window.loaded_min(400) == 10


def test_a_window_that_begins_later_holds_nothing_before_it() -> None:
    window = Window(20, 30)
    assert not window.warm(19) and window.warm(20) and window.warm(30) and not window.warm(31)
    assert window.loaded_min(5) == 0
    assert window.loaded_min(25) == 5
    assert window.loaded_min(300) == 10


def test_a_fixed_keep_alive_learns_nothing() -> None:
    policy = FixedKeepAlive(5)
    policy.seen(300, 50)
    assert policy.window() == Window(0, 5)


def histogram(*idle: int) -> HybridHistogram:
    policy = HybridHistogram()
    for minutes in idle:
        policy.seen(minutes)
    return policy


def test_the_histogram_keeps_for_its_whole_range_while_it_knows_nothing() -> None:
    assert HybridHistogram().window() == Window(0, 240)


def test_the_histogram_unloads_a_timer_and_loads_it_again_before_it_is_due() -> None:
    assert histogram(*[60] * 20).window() == Window(54, 68)  # 60 less 10 %; 61, the bin's end, and 10 % more


def test_the_histogram_cuts_the_ends_off() -> None:
    idle = [*[30] * 98, 3, 200]
    assert histogram(*idle).window() == Window(27, 35)  # the 5th to the 99th percentile hold neither outlier


def test_the_histogram_never_unloads_what_is_mostly_called_within_the_minute() -> None:
    assert histogram(*[0] * 50, *[12] * 2).window() == Window(0, 15)


def test_evenly_spread_idle_times_are_not_representative() -> None:
    assert histogram(*range(240)).window() == Window(0, 240)


@pytest.mark.parametrize(("counted", "representative"), [(47, True), (49, False)])
def test_representative_is_a_coefficient_of_variation_of_at_least_2(counted: int, representative: bool) -> None:
    # of k equal bins among 240 it is √(240/k − 1): 2 at k = 48
    window = histogram(*range(100, 100 + counted)).window()
    assert (window.load_at_min > 0) is representative


def test_idle_times_beyond_the_histogram_are_predicted_by_their_median() -> None:
    assert histogram(5, 1000, 1000, 1000).window() == Window(850, 1150)


def test_the_prediction_forgets_all_but_the_last_eight() -> None:
    assert histogram(*[2000] * 9, *[400] * 8).window() == Window(340, 460)


def test_as_many_within_as_beyond_is_for_the_histogram() -> None:
    assert histogram(60, 1000).window() == Window(54, 68)


@given(st.lists(st.integers(0, 239), min_size=1, max_size=40), st.integers(1, 5))
def test_many_idle_times_at_once_are_the_same_as_one_by_one(idle: list[int], times: int) -> None:
    together = HybridHistogram()
    for minutes in idle:
        together.seen(minutes, times)
    assert together.window() == histogram(*[minutes for minutes in idle for _ in range(times)]).window()


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_a_window_is_never_upside_down(idle: list[int]) -> None:
    window = histogram(*idle).window()
    assert 0 <= window.load_at_min < window.until_min

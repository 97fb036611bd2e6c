"""What counts as a sample, who goes first, what a measure says of itself, and what stands in the JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fnctl.bench.interleave import Mismatch, interleave
from fnctl.bench.measure import (
    Comparison,
    LoadRow,
    Measure,
    NotMeasured,
    Question,
    Result,
    Series,
    as_json,
    skipped,
)

ASK = Question("start", "a first call", "by calling", "ms", over="ours ÷ theirs")


def counted(log: list[str], name: str, bad: Callable[[int], bool] = lambda k: False) -> Callable[[], float]:
    def take() -> float:
        log.append(name)
        if bad(log.count(name)):
            raise Mismatch("started cold, not runtime")
        return float(log.count(name))

    return take


def test_arms_take_turns_and_the_first_rotates() -> None:
    log: list[str] = []
    interleave({"a": counted(log, "a"), "b": counted(log, "b")}, 4)
    assert "".join(log) == "abbaabba"


def test_a_mismatch_is_counted_told_and_taken_again() -> None:
    log: list[str] = []
    ours, theirs = interleave({"a": counted(log, "a", lambda k: k == 2), "b": counted(log, "b")}, 3)
    assert (len(ours.values), ours.discarded, ours.note) == (3, 1, "started cold, not runtime")
    assert (len(theirs.values), theirs.discarded, theirs.note) == (3, 0, "")


def test_an_arm_that_mostly_mismatches_ends_with_fewer_samples() -> None:
    (found,) = interleave({"a": counted([], "a", lambda k: k > 2)}, 5)
    assert (len(found.values), found.discarded) == (2, 8)


def test_an_arm_without_one_good_sample_is_not_measured_and_says_why() -> None:
    with pytest.raises(NotMeasured, match=r"a: none of 6 samples was of use: started cold, not runtime"):
        interleave({"a": counted([], "a", lambda k: True)}, 3)


def test_rounds_are_told_as_they_are_done() -> None:
    told: list[int] = []
    interleave({"a": counted([], "a"), "b": counted([], "b")}, 3, told.append)
    assert told == [1, 2, 3]


def test_a_ratio_is_of_the_first_series_over_the_second() -> None:
    measure = Measure(ASK, (Series("ours", (2.0, 4.0, 6.0)), Series("theirs", (8.0, 8.0, 8.0))))
    assert measure.compared is not None
    assert measure.compared.value == 0.5


def test_a_difference_keeps_its_unit() -> None:
    ask = Question("added", "added", "…", "µs", over="ours − theirs", compare=Comparison.DIFFERENCE)
    found = Measure(ask, (Series("ours", (150.0, 151.0)), Series("theirs", (50.0, 51.0)))).compared
    assert found is not None
    assert found.value == 100


def test_nothing_is_compared_where_one_series_is_missing_or_nothing_was_asked() -> None:
    one = (Series("ours", (1.0, 2.0)),)
    assert Measure(ASK, one).compared is None
    assert Measure(ASK, (*one, Series("theirs", ()))).compared is None
    assert Measure(Question("x", "x", "x", "ms"), (*one, *one)).compared is None
    assert skipped(ASK, "no nginx").compared is None


@pytest.mark.parametrize(
    ("better", "value", "verdict"),
    [(-1, 0.4, "aim"), (-1, 0.5, "aim"), (-1, 0.7, "reach"), (-1, 1.1, "short"), (1, 0.7, "short"), (1, 1.0, "aim")],
)
def test_the_verdict_holds_the_ratio_against_what_was_set(better: int, value: float, verdict: str) -> None:
    reach, aim = (1.0, 0.5) if better < 0 else (0.8, 0.9)
    ask = Question("x", "x", "x", "ms", better=better, over="a ÷ b", reach=reach, aim=aim)
    assert Measure(ask, (Series("a", (value,) * 3), Series("b", (1.0,) * 3))).verdict == verdict


def test_no_verdict_where_nothing_was_set() -> None:
    assert Measure(ASK, (Series("a", (1.0,)), Series("b", (1.0,)))).verdict is None


def test_the_json_has_the_samples_and_what_came_of_them() -> None:
    load = LoadRow("fnctl", 8, "wrk", 2, 100, 1, 50.0, 1.0, 2.0, 3.0, None, 0.01)
    measures = (Measure(ASK, (Series("a", (1.0, 3.0), 1, "why"), Series("b", (4.0, 4.0)))), skipped(ASK, "no nginx"))
    result = Result("t", "2026-01-01T00:00:00+00:00", 61.23, "0.1", (("CPUs", "2"),), measures, (load,), ("note",))
    said = json.loads(json.dumps(as_json(result)))
    first, second = said["measures"]
    assert first["series"][0] == {
        "name": "a",
        "n": 2,
        "discarded": 1,
        "summary": {"n": 2, "p50": 2.0, "p90": None, "p99": None, "least": 1.0, "most": 3.0, "spread": 1.4826},
        "samples": [1.0, 3.0],
        "note": "why",
    }
    assert first["compared"]["value"] == 0.5
    assert (second["not_measured"], second["compared"], second["series"]) == ("no nginx", None, [])
    assert (said["machine"], said["load"][0]["rps"], said["took_s"]) == ({"CPUs": "2"}, 50.0, 61.2)

"""Traces read and made up, and what each policy makes of stories small enough to work out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fnctl.bench import arrivals, synthetic
from fnctl.bench.arrivals import Arrivals, Trace
from fnctl.bench.replay import Outcome, as_json, replay, table, trace_of
from fnctl.bench.simpool import SimulatedPool
from fnctl.cli.main import main
from fnctl.errors import UsageError
from fnctl.model import StartKind
from fnctl.policy import PoolPolicy, PoolRules, Sizes

AZURE_HEAD = "HashOwner,HashApp,HashFunction,Trigger"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_the_azure_form(tmp_path: Path) -> None:
    rows = ["o,app1,f1,http,0,3,0,1", "o,app1,f2,timer,0,0,0,0", "o,app1,f1,queue,2,1,0,0"]
    trace = arrivals.read(written(tmp_path, "\n".join((f"{AZURE_HEAD},1,2,3,4", *rows, ""))))
    assert trace == Trace("trace.csv", 4, (Arrivals("app1/f1", ((0, 2), (1, 4), (3, 1))),))
    assert trace.calls == 7


def test_the_own_form_in_any_order(tmp_path: Path) -> None:
    trace = arrivals.read(written(tmp_path, "\ufefffunction, minute, count\nb,5,1\n\na,2,4\nb,0,1\na,2,1\na,9,0\n"))
    assert trace.minutes == 10
    assert trace.functions == (Arrivals("a", ((2, 5),)), Arrivals("b", ((0, 1), (5, 1))))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1: not the header of a trace: nothing"),
        ("name,calls\na,1\n", ":1: not the header of a trace: name,calls"),
        ("function,minute,count\na,1\n", ":2: 3 cells are expected"),
        ("function,minute,count\na,1,1\na,-1,1\n", ":3: minute: a whole number from 0 is expected, found '-1'"),
        ("function,minute,count\na,1,1.5\n", ":2: count: a whole number from 0 is expected, found '1.5'"),
        ("function,minute,count\na,1,٣\n", ":2: count: a whole number from 0 is expected"),
        ("function,minute,count\na,1753099200,1\n", ":2: minute: less than 527040 is expected, found 1753099200"),
        ("function,minute,count\n,1,1\n", ":2: the function has no name"),
        ("function,minute,count\na,1,0\n", ": contains no calls"),
        (f"{AZURE_HEAD}\n", ":1: not the header of a trace"),
        (f"{AZURE_HEAD},1,3\n", ":1: the columns after Trigger are not the minutes"),
        (f"{AZURE_HEAD},1,2\no,a,f,http,1\n", ":2: 6 cells are expected as in the header, found 5"),
        (f"{AZURE_HEAD},1,2\no,a,f,http,1,\n", ":2: minute 2: a whole number from 0 is expected, found ''"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        arrivals.read(path)
    assert refused.value.message.startswith(f"{path}{expected}")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        arrivals.read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"function,minute,count\n\xff\xfe,1,1\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        arrivals.read(tmp_path / "bytes.csv")


def test_the_synthetic_day_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert synthetic.day(7, functions=30) == synthetic.day(7, functions=30)
    assert synthetic.day(7, functions=30).functions != synthetic.day(8, functions=30).functions


@pytest.mark.parametrize("seed", [1, 2])
def test_the_synthetic_day_has_the_published_shape(seed: int) -> None:
    trace = synthetic.day(seed)
    calls = [function.calls for function in trace.functions]
    hourly = sum(count <= 24 for count in calls) / len(calls)
    minutely = sum(count <= 1440 for count in calls) / len(calls)
    heavy = sum(count for count in calls if count > 1440) / sum(calls)
    assert 0.35 < hourly < 0.55
    assert 0.74 < minutely < 0.88
    assert heavy > 0.98
    assert all(0 <= minute < trace.minutes for function in trace.functions for minute, _ in function.counts)


@pytest.mark.parametrize("given_text", ["synthetic:", "synthetic:x", "synthetic:-1"])
def test_a_seed_that_is_no_number_is_refused(given_text: str) -> None:
    with pytest.raises(UsageError, match="the seed is a whole number"):
        trace_of(given_text)


# -- what policies make of it ------------------------------------------------------------------------------------------


def outcomes(trace: Trace, floor: int = 3) -> dict[str, Outcome]:
    return {outcome.policy: outcome for outcome in replay(trace, floor=floor).outcomes}


def hourly_timer(hours: int) -> Trace:
    return Trace("timer", hours * 60, (Arrivals("tick", tuple((hour * 60, 1) for hour in range(hours))),))


def test_a_call_every_eight_minutes_is_warm_from_ten_minutes_on() -> None:
    trace = Trace("t", 80, (Arrivals("f", tuple((minute, 1) for minute in range(0, 80, 8))),))
    found = outcomes(trace)
    assert [found[f"fixed, {minutes} min"].cold for minutes in (1, 5, 10, 20)] == [10, 10, 1, 1]
    # loaded without a call: one minute of each eight, five of each eight, and always
    assert [found[f"fixed, {minutes} min"].idle_mb for minutes in (1, 5, 10)] == pytest.approx(
        [25 * 1 / 8, 25 * 5 / 8, 25]
    )


def test_further_calls_of_a_minute_are_warm() -> None:
    trace = Trace("t", 10, (Arrivals("f", ((0, 40), (5, 10))),))
    found = outcomes(trace)["fixed, 1 min"]
    assert (found.calls, found.cold, found.warm) == (50, 2, 48)


def test_the_histogram_serves_a_timer_warm_for_a_fraction_of_the_memory() -> None:
    found = outcomes(hourly_timer(24))
    hybrid = found["hybrid histogram"]
    assert hybrid.cold == 1
    # after its second call: loaded from minute 54 of each hour, and in the end for what is left of the window
    assert hybrid.idle_mb == pytest.approx(25 * (60 + 22 * 6 + 6) / (24 * 60))
    assert found["fixed, 20 min"].cold == 24


def test_our_pool_serves_rare_calls_without_making_a_container() -> None:
    trace = Trace("rare", 600, tuple(Arrivals(f"f{n}", ((60 * n, 1), (60 * n + 30, 1))) for n in range(5)))
    found = outcomes(trace)
    assert found["fixed, 20 min"].cold == 10
    assert (found["fnctl --warm 3"].cold, found["fnctl --warm 3"].pooled, found["fnctl --warm 3"].warm) == (0, 10, 0)


def test_a_pool_of_nothing_is_a_keep_alive_and_nothing_else() -> None:
    found = outcomes(hourly_timer(5), floor=0)
    assert found["fnctl --warm 0"].cold == found["fixed, 1 min"].cold == 5
    assert found["fnctl --warm 0"].idle_mb == found["fixed, 1 min"].idle_mb


def test_a_pool_that_learns_meets_the_second_crowd() -> None:
    crowd = tuple(Arrivals(f"f{n}", tuple((minute, 1) for minute in range(0, 50, 10))) for n in range(12))
    found = outcomes(Trace("crowd", 50, crowd))
    assert found["fnctl --warm auto, at once"].cold == 9  # of the first crowd, all but the floor
    assert found["fnctl --warm auto, at once"].runtime > 12
    assert found["fnctl --warm auto"].cold <= found["fnctl --warm 3"].cold


small = st.lists(
    st.dictionaries(st.integers(0, 299), st.integers(1, 5), min_size=1, max_size=12), min_size=1, max_size=6
).map(
    lambda functions: Trace(
        "drawn", 300, tuple(Arrivals(f"f{n}", tuple(sorted(of.items()))) for n, of in enumerate(functions))
    )
)


@settings(max_examples=30)
@given(small)
def test_every_call_is_one_kind_of_start_and_longer_is_never_colder(trace: Trace) -> None:
    found = outcomes(trace)
    for outcome in found.values():
        assert outcome.calls == trace.calls
        assert min(outcome.cold, outcome.base, outcome.runtime, outcome.warm) >= 0
        assert 0 <= outcome.cold_p75 <= 1
    fixed = [found[f"fixed, {minutes} min"] for minutes in (1, 5, 10, 20)]
    assert [of.cold for of in fixed] == sorted((of.cold for of in fixed), reverse=True)
    assert [of.idle_mb for of in fixed] == sorted(of.idle_mb for of in fixed)
    for name in ("fnctl --warm 3", "fnctl --warm auto", "fnctl --warm auto, at once"):
        # the pool changes what a first call costs, and not which calls are first
        assert found[name].warm == found["fixed, 1 min"].warm


# -- the simulated pool ------------------------------------------------------------------------------------------------


def simulated(floor: int, budget_mb: float = 256.0) -> SimulatedPool:
    return SimulatedPool(PoolPolicy(PoolRules(floor, ("node",), budget_mb, Sizes(2, 18, 25))))


def test_the_pool_gives_its_booted_container_then_bare_ones_then_none() -> None:
    pool = simulated(3)
    kinds = [pool.start(1.0, "node") for _ in range(4)]
    assert kinds == [StartKind.RUNTIME, StartKind.BASE, StartKind.BASE, StartKind.COLD]


def test_a_bare_container_is_taken_until_it_boots_something_else() -> None:
    early, late = simulated(2), simulated(2)
    for pool in (early, late):
        assert pool.start(0.0, "node") is StartKind.RUNTIME  # and the bare one is to boot node
    assert early.start(0.1, "python") is StartKind.BASE
    assert late.start(0.4, "python") is StartKind.COLD


def test_a_runtime_that_nobody_booted_starts_from_a_bare_container() -> None:
    assert simulated(2).start(0.0, "python") is StartKind.BASE


def test_what_was_taken_is_there_again_after_a_while_and_not_before() -> None:
    pool = simulated(1)
    assert pool.start(0.0, "node") is StartKind.RUNTIME
    assert pool.start(0.1, "node") is StartKind.COLD
    assert pool.start(3.0, "node") is StartKind.RUNTIME


def test_memory_is_held_by_what_waits() -> None:
    pool = simulated(3)
    pool.pass_to(600)
    assert pool.held_mb_s == pytest.approx(600 * (18 + 2 + 2))


def test_a_crowd_is_forgotten_and_its_memory_given_back() -> None:
    pool = simulated(1)
    for _ in range(10):
        pool.start(10.0, "node")
    pool.pass_to(600)
    before = pool.held_mb_s
    pool.pass_to(660)
    assert pool.held_mb_s - before == pytest.approx(60 * 10 * 18)
    pool.pass_to(2000)
    before = pool.held_mb_s
    pool.pass_to(2060)
    assert pool.held_mb_s - before == pytest.approx(60 * 18)


# -- asleep ------------------------------------------------------------------------------------------------------------


def test_a_call_every_eight_minutes_finds_its_instance_asleep() -> None:
    trace = Trace("t", 80, (Arrivals("f", tuple((minute, 1) for minute in range(0, 80, 8))),))
    found = outcomes(trace)
    slept, ours = found["fnctl --warm 3, keep 10 min"], found["fnctl --warm 3"]
    assert (slept.pooled, slept.asleep, slept.warm) == (1, 9, 0)
    assert slept.idle_mb == pytest.approx(ours.idle_mb + 25 * 7 / 8, abs=1)  # asleep for seven minutes of eight


def test_after_keep_minutes_of_sleep_it_is_gone() -> None:
    for gap, asleep in ((11, 9), (12, 0)):
        trace = Trace("t", gap * 10, (Arrivals("f", tuple((minute, 1) for minute in range(0, gap * 10, gap))),))
        assert outcomes(trace)["fnctl --warm 3, keep 10 min"].asleep == asleep


def test_in_the_memory_there_is_those_called_often_sleep_and_the_others_end() -> None:
    """Seven sleep where nine would. What is called once and never again does not push them out."""
    often = [Arrivals(f"often{n}", tuple((minute, 50) for minute in range(0, 90, 9))) for n in range(7)]
    once = [Arrivals(f"once{minute}{n}", ((minute, 1),)) for minute in range(1, 90, 9) for n in range(2)]
    trace = Trace("t", 90, (*often, *once))
    sizes = Sizes(base_mb=2.0, booted_mb=18.0, loaded_mb=28.0)
    found = {one.policy: one for one in replay(trace, sizes).outcomes}
    assert found["fnctl --warm 3, keep 10 min"].asleep == 7 * 9
    assert found["fnctl --warm 3, keep 10 min, least recently used"].asleep < 7 * 9


# -- as the user sees it -----------------------------------------------------------------------------------------------


def test_the_table_and_the_json_say_the_same() -> None:
    result = replay(hourly_timer(6))
    headers, rows = table(result)
    assert all(len(row) == len(headers) for row in rows)
    policies = json.loads(json.dumps(as_json(result)))["policies"]
    assert [of["policy"] for of in policies] == [row[0] for row in rows]
    for of, row in zip(policies, rows, strict=True):
        assert f"{of['cold_share']:.3%}" == row[1]
        assert of["cold"] + of["base"] + of["runtime"] + of["asleep"] + of["warm"] == 6


def test_the_command_prints_every_policy_and_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "function,minute,count\na,0,2\na,30,1\n")
    assert main(["bench", "--replay", str(path)]) == 0
    printed = capsys.readouterr().out
    for policy in ("fixed, 1 min", "fixed, 5 min", "fixed, 10 min", "fixed, 20 min", "hybrid", "--warm auto"):
        assert policy in printed
    assert "trace.csv: 3 calls" in printed
    assert "Simulated" in printed


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "function,minute,count\na,0,2\na,30,1\n")
    assert main(["bench", "--replay", str(path), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["calls"] == 3


def test_the_command_refuses_a_function_beside_a_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "todos", "--replay", "synthetic"]) == 2
    assert "--replay cannot be used with FUNCTION" in capsys.readouterr().err

"""Pool sizes, as histories of first calls with the clock as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnctl.errors import UsageError
from fnctl.policy import PoolPolicy, PoolRules, Sizes, Targets

RUNTIMES = ("node", "python")


def seen(policy: PoolPolicy, *calls: tuple[float, str]) -> PoolPolicy:
    for at_s, runtime in calls:
        policy.observe(at_s, runtime)
    return policy


def pool(floor: int = 3, budget_mb: float = 1000.0) -> PoolPolicy:
    return PoolPolicy(PoolRules(floor, RUNTIMES, budget_mb))


def test_a_pool_that_saw_nothing_is_its_floor_with_each_runtime_booted_once() -> None:
    assert pool(3).targets(0) == Targets(1, {"node": 1, "python": 1})
    assert pool(1).targets(0) == Targets(0, {"node": 1})
    assert pool(0).targets(0) == Targets(0, {})


def test_calls_far_apart_need_one_container_each_time() -> None:
    policy = seen(pool(0), *((at * 60.0, "node") for at in range(10)))
    assert policy.targets(600) == Targets(0, {"node": 1})


def test_a_burst_is_remembered_at_its_size() -> None:
    policy = seen(pool(), *((at * 0.01, "node") for at in range(12)))
    assert policy.targets(1).booted["node"] == 12


def test_a_rare_burst_is_left_to_base_containers() -> None:
    singles = [(at * 10.0, "node") for at in range(90)]
    policy = seen(pool(0), *singles, *((900.0, "node") for _ in range(4)))
    # the singles weigh 38 times one call of the burst, so that its last two are 2/42 of all: between 1 % and 5 %
    assert policy.targets(1200) == Targets(2, {"node": 2})


def test_calls_of_two_runtimes_at_once_are_counted_apart_and_together() -> None:
    policy = seen(pool(0), (0, "node"), (0, "python"), (0, "node"), (0, "python"))
    assert policy.targets(0) == Targets(0, {"node": 2, "python": 2})


def test_a_first_call_outside_of_the_refill_time_is_not_met_together() -> None:
    rules = PoolRules(0, RUNTIMES, refill_s=2.0)
    assert seen(PoolPolicy(rules), (0, "node"), (1.9, "node")).targets(2).booted == {"node": 2}
    assert seen(PoolPolicy(rules), (0, "node"), (2.0, "node")).targets(2).booted == {"node": 1}


def test_newer_calls_weigh_more() -> None:
    def story(*, burst_first: bool) -> PoolPolicy:
        burst = [(0.0 if burst_first else 1100.0, "node")] * 3
        single = [(100.0 + 10 * at, "node") for at in range(40)]
        return seen(pool(0), *sorted((*burst, *single)))

    assert story(burst_first=False).targets(1150).booted["node"] == 3
    assert story(burst_first=True).targets(1150).booted["node"] == 1


def test_a_budget_takes_bare_containers_before_boots_and_boots_of_the_most_first() -> None:
    burst = [(0.0, "node")] * 6 + [(0.0, "python")] * 2
    assert seen(pool(3, 1000), *burst).targets(0) == Targets(0, {"node": 6, "python": 2})
    assert seen(pool(3, 8 * 18 - 1), *burst).targets(0) == Targets(1, {"node": 5, "python": 2})
    assert seen(pool(3, 3 * 18), *burst).targets(0) == Targets(0, {"node": 2, "python": 1})
    assert seen(pool(3, 6), *burst).targets(0) == Targets(3, {})


def test_a_budget_without_room_for_the_floor_is_refused() -> None:
    with pytest.raises(UsageError, match="a pool of 4 needs at least 8 MB, and its memory budget is 7 MB"):
        PoolRules(4, RUNTIMES, 7)


def test_a_clock_that_goes_back_stands_still() -> None:
    policy = seen(pool(0), (100, "node"), (50, "node"))
    assert policy.targets(0).booted == {"node": 2}


calls = st.lists(
    st.tuples(st.floats(0, 4000, allow_nan=False), st.sampled_from(("node", "python", "own"))), max_size=80
).map(sorted)
rules = st.builds(
    PoolRules,
    floor=st.integers(0, 8),
    runtimes=st.sampled_from(((), ("node",), RUNTIMES)),
    budget_mb=st.floats(16, 400),
    sizes=st.just(Sizes(2.0, 18.0, 25.0)),
)


@given(rules, calls, st.floats(0, 6000))
def test_never_below_the_floor_and_never_above_the_budget(
    given_rules: PoolRules, history: list[tuple[float, str]], later_s: float
) -> None:
    policy = PoolPolicy(given_rules)
    for at_s, runtime in history:
        policy.observe(at_s, runtime)
        check(policy.targets(at_s), given_rules)
    check(policy.targets(later_s), given_rules)


def check(targets: Targets, given_rules: PoolRules) -> None:
    assert targets.base >= 0
    assert all(count > 0 for count in targets.booted.values())
    assert targets.total >= given_rules.floor
    assert targets.memory_mb(given_rules.sizes) <= given_rules.budget_mb


@given(rules, calls)
def test_without_calls_it_is_at_its_floor_again(given_rules: PoolRules, history: list[tuple[float, str]]) -> None:
    end_s = (history[-1][0] if history else 0.0) + given_rules.horizon_s + 0.001
    assert seen(PoolPolicy(given_rules), *history).targets(end_s) == PoolPolicy(given_rules).targets(0)


@given(rules, calls)
def test_the_same_story_gives_the_same_pool_however_often_it_is_asked(
    given_rules: PoolRules, history: list[tuple[float, str]]
) -> None:
    asked, unasked = PoolPolicy(given_rules), PoolPolicy(given_rules)
    for at_s, runtime in history:
        asked.observe(at_s, runtime)
        asked.targets(at_s)
        unasked.observe(at_s, runtime)
    assert asked.targets(5000) == unasked.targets(5000)


@given(calls)
def test_more_memory_never_means_fewer_containers(history: list[tuple[float, str]]) -> None:
    totals = [seen(pool(2, budget), *history).targets(4000).total for budget in (10, 50, 100, 400, 4000)]
    assert totals == sorted(totals)

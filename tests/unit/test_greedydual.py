"""Which sleeping instances end where there is no memory for all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fnctl.greedydual import GreedyDual, Sleeper


def test_what_is_worth_least_for_its_memory_ends_first() -> None:
    policy = GreedyDual()
    asleep = [
        Sleeper("slow to load", policy.value(1, 500.0, 25.0), 25.0),
        Sleeper("often called", policy.value(100, 20.0, 25.0), 25.0),
        Sleeper("large", policy.value(10, 20.0, 250.0), 250.0),
        Sleeper("plain", policy.value(1, 15.0, 25.0), 25.0),
    ]
    assert policy.evict(asleep, 325.0) == []
    assert policy.evict(asleep, 300.0) == ["plain"]
    assert policy.evict(asleep, 50.0) == ["plain", "large"]
    assert policy.evict(asleep, 0.0) == ["plain", "large", "slow to load", "often called"]


def test_what_was_worth_much_once_does_not_stay_for_that_alone() -> None:
    policy = GreedyDual()
    once = Sleeper("once", policy.value(50, 20.0, 20.0), 20.0)
    for number in range(60):
        new = Sleeper(f"new {number}", policy.value(1, 20.0, 20.0), 20.0)
        gone = policy.evict([once, new], 20.0)
        if gone == ["once"]:
            return
        assert gone == [f"new {number}"]
    raise AssertionError("it stays for ever")


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 5000), st.floats(0, 500)), max_size=30), st.floats(-10, 2000)
)
def test_what_is_left_fits_and_nothing_ends_in_vain(told: list[tuple[int, float, float]], budget_mb: float) -> None:
    policy = GreedyDual()
    asleep = [Sleeper(str(at), policy.value(*one), one[2]) for at, one in enumerate(told)]
    gone = policy.evict(asleep, budget_mb)
    left_mb = sum(one.memory_mb for one in asleep if one.key not in gone)
    assert left_mb <= budget_mb + 1e-6 or len(gone) == len(asleep)
    if gone:
        last = asleep[int(gone[-1])]
        assert left_mb + last.memory_mb > budget_mb - 1e-6
        assert policy.clock == max(asleep[int(key)].value for key in gone)

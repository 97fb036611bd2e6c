"""Takes samples of several things in turns, so that what drifts on the machine falls on all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fnctl.bench.measure import NotMeasured, Series
from fnctl.errors import FnctlError

# Beyond as many bad samples as good ones were asked for, something is wrong with the arm, not with the sample.
EXTRA_TRIES = 2

Sample = Callable[[], float]


class Mismatch(FnctlError):
    """A sample was taken and is not what was asked for, say another start kind. It is counted, and taken again."""

    code = "mismatch"


@dataclass(slots=True)
class Arm:
    """One thing measured, with what it gave so far."""

    name: str
    take: Sample
    note: str = ""
    values: list[float] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)

    def try_once(self) -> None:
        try:
            self.values.append(self.take())
        except Mismatch as found:
            self.discarded.append(found.message)

    def series(self) -> Series:
        why = sorted(set(self.discarded))
        return Series(self.name, tuple(self.values), len(self.discarded), "; ".join(filter(None, [self.note, *why])))


def interleave(arms: Mapping[str, Sample], n: int, on_round: Callable[[int], None] = lambda done: None) -> list[Series]:
    """`n` good samples of each arm, a sample of each in a round; who goes first rotates, so that no arm always follows
    the same neighbour. An arm that keeps giving mismatches ends with fewer; NotMeasured where one has none at all.
    """
    kept = [Arm(name, take) for name, take in arms.items()]
    for turn in range(n * EXTRA_TRIES):
        waiting = [arm for arm in kept if len(arm.values) < n]
        if not waiting:
            break
        first = turn % len(waiting)
        for arm in waiting[first:] + waiting[:first]:
            arm.try_once()
        on_round(min(len(arm.values) for arm in kept))
    for arm in kept:
        if not arm.values:
            raise NotMeasured(f"{arm.name}: none of {len(arm.discarded)} samples was of use: {arm.discarded[-1]}")
    return [arm.series() for arm in kept]

"""What a pool holds of each tier, and which of its instances fits a request best. Pure; the pool acts (pool.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fnctl.model import RuntimeSpec
from fnctl.policy import Targets
from fnctl.runtime.code import Code
from fnctl.runtime.instance import Instance
from fnctl.runtime.lifecycle import State

# No runtime is booted ahead until so long after the last first call. Such a boot costs two of what a known function
# needs; where each call takes an instance (isolation: container), it would be made for one call, and beside it.
CALM_S = 0.5
ANSWER_S = 0.05  # what a first invocation takes from being loaded to its answer
TMP_MB = 64  # of a sandbox's /tmp where no function of the run asks for more


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`warm`: first calls at once that the pool is ready for. So many instances have a runtime booted, shared out among
    `runtimes`, and as many base containers stand behind them; without runtimes, it is base containers alone."""

    warm: int
    image: str
    project: str
    run: str
    runtimes: tuple[RuntimeSpec, ...] = ()
    memory_mb: int = 256
    networked: frozenset[str] = frozenset()  # the functions of the project that are to be put on a network
    calm_s: float = CALM_S
    tmp_mb: int = TMP_MB  # cannot be changed any more when a sandbox gets its function


def shares(warm: int, runtimes: Sequence[RuntimeSpec]) -> Targets:
    """What a pool of this size holds that does not learn. The first runtimes get one more where it does not come out.

    The more general tier is never the smaller one: a base container costs a tenth of a booted one, and is where the
    next booted one comes from.
    """
    booted = {spec.tier: len(range(place, warm, len(runtimes))) for place, spec in enumerate(runtimes)}
    return Targets(warm, {name: count for name, count in booted.items() if count})


def has_booted(members: Iterable[Instance]) -> Counter[str]:
    """By runtime, the pooled instances that have it or are about to."""
    names = (member.booting.get_name() if member.booting else member.runtime for member in members)
    return Counter(name for name in names if name)


def lacking(
    members: Iterable[Instance], wanted: Mapping[str, int], runtimes: Sequence[RuntimeSpec]
) -> list[RuntimeSpec]:
    """What is still to be booted, one of each runtime before a second of any. `wanted`: how many of each, by tier."""
    has = has_booted(members)
    short = {spec.tier: wanted.get(spec.tier, 0) - has[spec.tier] for spec in runtimes}
    rounds = range(max(short.values(), default=0))
    return [spec for turn in rounds for spec in runtimes if turn < short[spec.tier]]


def surplus(members: Sequence[Instance], targets: Targets, runtimes: Sequence[RuntimeSpec]) -> Instance | None:
    """Who is to end next, the oldest first: of too many members, a boot past what is wanted of its runtime, then a bare
    container; else such a boot where it stands in the place of one that is wanted."""
    has = has_booted(members)
    past = [m for m in members if m.runtime and has[m.runtime] > targets.booted.get(m.runtime, 0)]
    if len(members) > targets.total:
        bare = (m for m in members if not m.runtime)
        return next(iter(past), None) or next(bare, members[0])
    if len(lacking(members, targets.booted, runtimes)) <= max(0, targets.total - has.total()):
        return None
    known = {spec.tier for spec in runtimes}
    # an agent that calls itself something else never counts as what was wanted: ending it would go on for ever
    return next((m for m in past if m.runtime in known), None)


UNFIT = 9


def rank(member: Instance, code: Code) -> int:
    """How far a pooled instance is from running this code: 0 its cache is read, 1 booted, 2 on its way, 3 base."""
    runtime = code.runtime.tier
    if member.ahead is not None and member.ahead != code.bundle.digest:
        return UNFIT
    if code.networked and not member.joinable:
        return UNFIT
    if member.booting is not None:
        return 2 if member.booting.get_name() == runtime else UNFIT
    if member.state is State.RUNTIME and member.runtime == runtime:
        return 0 if member.ahead is not None else 1
    return 3 if member.state is State.BASE else UNFIT

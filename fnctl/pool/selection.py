"""Which instances a pool is to boot, end and give away, by what it holds. Pure; the pool acts (pool.py)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fnctl.model import Reach, RuntimeSpec
from fnctl.policy import Targets
from fnctl.pool.settings import Kind
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.lifecycle import State
from fnctl.sandbox.loading import Code


def shares(warm: int, kinds: Sequence[Kind]) -> Targets:
    """What a pool of this size holds that does not learn. The first kinds get one more where it does not come out.

    The more general tier is never the smaller one: a base container costs a tenth of a booted one, and is where the
    next booted one comes from.
    """
    booted = {kind.name: len(range(place, warm, len(kinds))) for place, kind in enumerate(kinds)}
    return Targets(warm, {name: count for name, count in booted.items() if count})


def by_reach(targets: Targets, kinds: Iterable[Kind], reaches: Sequence[Reach]) -> dict[Reach, Targets]:
    """The same, for each reach by itself, its runtimes by tier. Base containers are shared out among `reaches`, the
    first getting one more where it does not come out, and each at least one where there are any: what has none of its
    own reach would have no pool at all."""
    of_reach: dict[Reach, Targets] = {}
    for place, reach in enumerate(reaches):
        base = len(range(place, targets.base, len(reaches)))
        booted = {
            kind.runtime.tier: count
            for kind in kinds
            if kind.reach == reach and (count := targets.booted.get(kind.name, 0))
        }
        of_reach[reach] = Targets(max(base, 1 if targets.base else 0), booted)
    return of_reach


def has_booted(members: Iterable[Instance]) -> Counter[str]:
    """By runtime, the pooled instances that have it or are about to."""
    return Counter(name for member in members if (name := member.preparation.runtime or member.agent.runtime))


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
    past = [m for m in members if (name := m.agent.runtime) and has[name] > targets.booted.get(name, 0)]
    if len(members) > targets.total:
        bare = (m for m in members if not m.agent.runtime)
        return next(iter(past), None) or next(bare, members[0])
    if len(lacking(members, targets.booted, runtimes)) <= max(0, targets.total - has.total()):
        return None
    known = {spec.tier for spec in runtimes}
    # an agent that calls itself something else never counts as what was wanted: ending it would go on for ever
    return next((m for m in past if m.agent.runtime in known), None)


UNFIT = 9


def rank(member: Instance, code: Code) -> int:
    """How far a pooled instance is from running this code: 0 its cache is read, 1 booted, 2 on its way, 3 base."""
    runtime = code.runtime.tier
    if member.reach != code.reach:  # more than it has a right to, or less than it needs
        return UNFIT
    prepared = member.preparation
    if prepared.cache_of is not None and prepared.cache_of != code.bundle.digest:
        return UNFIT
    if prepared.under_way:
        return 2 if prepared.runtime == runtime else UNFIT
    if member.state is State.RUNTIME and member.agent.runtime == runtime:
        return 0 if prepared.cache_of is not None else 1
    return 3 if member.state is State.BASE else UNFIT

"""What a pool holds of each tier, and which of its instances fits a request best. Pure; the pool acts (pool.py)."""

from __future__ import annotations

from collections.abc import Sequence
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

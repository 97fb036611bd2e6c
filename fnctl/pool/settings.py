"""What a run sets of its pool. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fnctl.model import ALONE, Reach, RuntimeSpec

# No runtime is booted ahead until so long after the last first call. Such a boot costs two of what a known function
# needs; where each call takes an instance (isolation: container), it would be made for one call, and beside it.
CALM_S = 0.5
TMP_MB = 64  # of a sandbox's /tmp where no function of the run asks for more


@dataclass(frozen=True, slots=True)
class Kind:
    """A runtime, and the reach of the sandbox that it is booted in: what pooled instances are kept by."""

    runtime: RuntimeSpec
    reach: Reach = ALONE

    @property
    def name(self) -> str:
        """As the pool's policy counts it."""
        return kind_name(self.runtime.tier, self.reach)


def kind_name(tier: str, reach: Reach) -> str:
    return tier if reach == ALONE else f"{tier} {reach}"


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`warm`: first calls at once that the pool is ready for. So many instances have a runtime booted, shared out among
    `kinds`, and as many base containers stand behind them, one at least of each reach; without kinds, it is base
    containers alone."""

    warm: int
    image: str
    project: str
    run: str
    kinds: tuple[Kind, ...] = ()
    reaches: tuple[Reach, ...] = ()  # that base containers are to have, the commonest first, where kinds do not say it
    memory_mb: int = 256
    owner: Mapping[str, str] = field(default_factory=dict)  # further labels of each sandbox
    calm_s: float = CALM_S
    tmp_mb: int = TMP_MB  # cannot be changed any more when a sandbox gets its function

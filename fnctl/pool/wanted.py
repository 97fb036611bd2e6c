"""What a pool is to hold: how many instances of which reach, which runtimes booted, which caches read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fnctl.model import ALONE, Bundle, Reach, RuntimeSpec, SiteKey
from fnctl.policy import PoolPolicy, Targets
from fnctl.pool.read_ahead import ReadAhead
from fnctl.pool.selection import by_reach, has_booted, lacking, shares, surplus
from fnctl.pool.settings import Kind, PoolSettings, kind_name
from fnctl.sandbox.instance import Instance
from fnctl.sandbox.loading import Code

NOTHING = Targets(0, {})


class Wanted:
    """Changes no instance. `policy` sizes the pool from the first calls it is told of; without one it stays as set.

    Instances of different reach share nothing but the pool's size: each reach is a pool of its own in here.
    """

    def __init__(self, settings: PoolSettings, policy: PoolPolicy | None, clock: Callable[[], float]) -> None:
        self._kinds = {kind.name: kind for kind in settings.kinds}
        self._boots = bool(settings.kinds)
        self._told = settings.reaches or tuple(dict.fromkeys(kind.reach for kind in settings.kinds))
        self._policy = policy
        self._clock = clock
        self._warm = settings.warm
        self._ended = False
        self._sites: dict[SiteKey, Kind] = {}  # of what is deployed
        self._reads: dict[Reach, ReadAhead] = {}
        self._targets: dict[Reach, Targets] = {}
        self._share()

    def _share(self) -> None:
        if self._ended:
            self._targets = {}
            return
        kinds = tuple(self._kinds.values())
        whole = shares(self._warm, kinds) if self._policy is None else self._policy.targets(self._clock())
        self._targets = by_reach(whole, kinds, self._reaches())

    def _reaches(self) -> tuple[Reach, ...]:
        """Of what is deployed, and of what the run was told that there will be, the commonest first."""
        counted = Counter(kind.reach for kind in self._sites.values())
        return tuple(dict.fromkeys((*(reach for reach, _ in counted.most_common()), *self._told))) or (ALONE,)

    @property
    def learns(self) -> bool:
        return self._policy is not None

    @property
    def total(self) -> int:
        """Pooled instances to keep."""
        return sum(targets.total for targets in self._targets.values())

    def missing(self, members: Sequence[Instance], making: Counter[Reach]) -> Reach | None:
        """The reach that the next container is to be made with: of which most are missing; None: there are enough."""
        there = Counter(member.reach for member in members) + making
        short = {reach: targets.total - there[reach] for reach, targets in self._targets.items()}
        most = max(short, key=lambda reach: short[reach], default=None)
        return most if most is not None and short[most] > 0 else None

    # -- what changes it -------------------------------------------------------------------------------------------

    def first_call(self, code: Code) -> None:
        self._read_ahead(code.reach).called(code)
        if self._policy is not None:
            self._policy.observe(self._clock(), kind_name(code.runtime.tier, code.reach))

    def deployed(self, code: Code) -> None:
        self._read_ahead(code.reach).deployed(code)
        kind = Kind(code.runtime, code.reach)
        self._drop_kind(self._sites.pop(code.site, kind), kind)
        self._sites[code.site] = kind
        self._told = tuple(reach for reach in self._told if reach != code.reach)
        if self._boots and not code.runtime.alone:
            self._kinds.setdefault(kind.name, kind)
        self._share()

    def withdrawn(self, code: Code) -> bool:
        """Whether the code's bundle is nobody's any more."""
        if (gone := self._sites.pop(code.site, None)) is not None:
            self._drop_kind(gone)
        self._share()
        return self._read_ahead(code.reach).withdrawn(code)

    def _drop_kind(self, gone: Kind, successor: Kind | None = None) -> None:
        """A function is not of this kind any more: nothing is booted for it, where it was the last."""
        used = {kind.name for kind in (*self._sites.values(), *([successor] if successor else []))}
        if gone.name not in used:
            self._kinds.pop(gone.name, None)

    def unreadable(self, digest: str) -> None:
        """A runtime broke on this bundle's cache: none reads it again."""
        for reads in self._reads.values():
            reads.unreadable(digest)

    def change(self, settings: PoolSettings, policy: PoolPolicy | None) -> None:
        """Other runtimes and reaches are in use, or others go first. A pool that learns begins anew where they are."""
        kinds = {kind.name: kind for kind in settings.kinds}
        if list(kinds) != list(self._kinds):
            self._kinds, self._policy = kinds, policy
        self._told = settings.reaches
        self._share()

    def resize(self) -> None:
        """Time has passed: what was learnt is forgotten in part."""
        if self._policy is not None:
            self._share()

    def nothing(self) -> None:
        """The run ends."""
        self._ended = True
        self._share()

    def _read_ahead(self, reach: Reach) -> ReadAhead:
        return self._reads.setdefault(reach, ReadAhead())

    # -- what these members lack, or have too much -----------------------------------------------------------------

    def met_by(self, members: Sequence[Instance]) -> bool:
        ready = [member for member in members if not member.preparation.under_way]
        met = self.missing(ready, Counter()) is None
        return met and not self.unbooted(members) and not self.unread(members)

    def unbooted(self, members: Sequence[Instance]) -> list[tuple[RuntimeSpec, Reach]]:
        """What is still to be booted of the wanted runtimes, and in a container of which reach."""
        return [
            (spec, reach)
            for reach, targets in self._targets.items()
            for spec in self._lacking(_of(members, reach), targets, reach)
        ]

    def _lacking(self, mine: Sequence[Instance], targets: Targets, reach: Reach) -> list[RuntimeSpec]:
        lack = lacking(mine, targets.booted, self._runtimes(reach))
        return lack[: max(0, targets.total - has_booted(mine).total())]

    def unread(self, members: Sequence[Instance]) -> list[tuple[Instance, Bundle]]:
        """Which bundles' caches are still to be read, and where."""
        pairs: list[tuple[Instance, Bundle]] = []
        for reach, targets in self._targets.items():
            for runtime, booted in targets.booted.items():
                mine = [member for member in _of(members, reach) if member.agent.runtime == runtime]
                read = {digest for member in mine if (digest := member.preparation.cache_of)}
                wanted = self._read_ahead(reach).wanted(runtime, booted, read)
                plain = [member for member in mine if _is_plain(member)]
                pairs += zip(plain, wanted, strict=False)
        return pairs

    def surplus(self, members: Sequence[Instance]) -> Instance | None:
        """Who is to end next."""
        for reach in dict.fromkeys(member.reach for member in members):
            one = surplus(_of(members, reach), self._targets.get(reach, NOTHING), self._runtimes(reach))
            if one is not None:
                return one
        return None

    def _runtimes(self, reach: Reach) -> list[RuntimeSpec]:
        return [kind.runtime for kind in self._kinds.values() if kind.reach == reach]


def _of(members: Sequence[Instance], reach: Reach) -> list[Instance]:
    return [member for member in members if member.reach == reach]


def _is_plain(member: Instance) -> bool:
    """It has read no cache, and nothing is done in it now."""
    return member.preparation.cache_of is None and not member.preparation.under_way

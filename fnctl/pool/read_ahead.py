"""Which bundles' caches are read ahead, in which pooled instances' runtimes. Pure: no instance, no engine."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

from fnctl.model import DERIVED, Bundle, SiteKey
from fnctl.sandbox.loading import Code


@dataclass(slots=True)
class _Known:
    """A bundle that is deployed: for whom, and whether a runtime can read its cache."""

    bundle: Bundle
    readable: bool
    sites: set[SiteKey] = field(default_factory=set)


class ReadAhead:
    """What is deployed, by runtime, the likeliest to be started first: what was called last, then as deployed.

    An instance that has read a bundle's cache is that bundle's from then on, though it holds no function yet: no other
    function may come into a process that holds this one's code. So that all others find a booted instance too, one of a
    runtime's stays unread, except where the bundle is the only one of its runtime.
    """

    def __init__(self) -> None:
        self._known: dict[str, dict[str, _Known]] = {}

    def deployed(self, code: Code) -> None:
        known = self._known.setdefault(code.runtime.tier, {})
        one = known.get(code.bundle.digest)
        if one is None:
            warm = code.runtime.warm
            readable = warm is not None and warm.ahead and not code.runtime.alone
            readable = readable and (code.bundle.root / DERIVED).is_dir()
            one = known[code.bundle.digest] = _Known(code.bundle, readable)
        one.sites.add(code.site)

    def withdrawn(self, code: Code) -> bool:
        """Whether its bundle is nobody's any more."""
        known = self._known.get(code.runtime.tier, {})
        one = known.get(code.bundle.digest)
        if one is None:
            return True
        one.sites.discard(code.site)
        if not one.sites:
            del known[code.bundle.digest]
        return not one.sites

    def called(self, code: Code) -> None:
        """A first call: the next start of this bundle is likelier than that of any other."""
        known = self._known.get(code.runtime.tier, {})
        if (one := known.pop(code.bundle.digest, None)) is not None:
            self._known[code.runtime.tier] = {code.bundle.digest: one, **known}

    def unreadable(self, digest: str) -> None:
        """A runtime broke on this bundle's cache: none reads it again."""
        for known in self._known.values():
            if digest in known:
                known[digest].readable = False

    def wanted(self, runtime: str, booted: int, read: Set[str]) -> list[Bundle]:
        """What to read in further instances, where `booted` are kept of the runtime and these digests are read."""
        known = self._known.get(runtime, {})
        room = booted - len(read) - (0 if len(known) == 1 else 1)
        unread = [one.bundle for digest, one in known.items() if one.readable and digest not in read]
        return unread[: max(0, room)]

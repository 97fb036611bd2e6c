"""Versions for what began in them and has not ended: calls that wait, runs of workflows. Not what loads a version.

A call belongs to the version that was current when it was accepted, by the clock that calls are made by; a run to the
bundles that it wrote down as it began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from fnctl.control.prepare import Prepared
from fnctl.control.versions import History
from fnctl.dispatch.pinned import Pinned
from fnctl.errors import FnctlError
from fnctl.model import Function


@dataclass(frozen=True, slots=True)
class Open:
    """What has not ended. `oldest`: when the first of the calls was accepted; `bundles`: (function, digest) of runs."""

    oldest: float | None = None
    bundles: frozenset[tuple[str, str]] = frozenset()


def busy(history: History, there: Open) -> frozenset[int]:
    """The versions, beside the current one, that something open began in. Of calls, only the oldest is known: all that
    served since then count."""
    found = set[int]()
    if there.oldest is not None:
        found |= history.serving_since(there.oldest)
    now = history.now()
    for function, digest in there.bundles:
        if now is None or now.bundles.get(function) != digest:
            found |= {number} if (number := history.having_bundle(function, digest)) is not None else set()
    return frozenset(found - {history.current})


class Begun:
    """Implements dispatch.pinned.Versions. On the event loop's thread."""

    def __init__(
        self,
        history: Callable[[], History],
        live: Callable[[], Mapping[int, Prepared]],
        load: Callable[[int], Awaitable[None]],
    ) -> None:
        """`live`: the versions that are loaded. `load`: one more; raises FnctlError where it does not."""
        self._history = history
        self._live = live
        self._load = load
        self.switched = history().switched  # when the current version took over; told on the very turn

    def is_current(self, at: float) -> bool:
        return at >= self.switched

    async def since(self, function: str, at: float) -> Pinned | None:
        return await self._in(function, self._history().serving_at(at))

    async def of(self, function: str, digest: str) -> Pinned | None:
        history = self._history()
        now = history.now()
        if not digest or now is None or now.bundles.get(function) == digest:
            return None
        return await self._in(function, history.having_bundle(function, digest))

    def left(self, function: str) -> Function | None:
        for _, prepared in sorted(self._live().items(), reverse=True):
            found = _functions(prepared).get(function)
            if found is not None:
                return found.function
        return None

    async def _in(self, function: str, number: int | None) -> Pinned | None:
        if number is None or number == self._history().current:
            return None
        if number not in self._live():
            try:
                await self._load(number)
            except FnctlError:
                return None  # its story says why
        prepared = self._live().get(number)
        return _functions(prepared).get(function) if prepared is not None else None


def _functions(prepared: Prepared) -> dict[str, Pinned]:
    codes: Iterable[Pinned] = (Pinned(code.function, code.site) for code in prepared.codes)
    return {each.function.name: each for each in codes}

"""Which events a step consumes, and when it has had enough: one, all, any, any until."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from fnctl.openworkflow.expression import inner, true
from fnctl.openworkflow.fault import Fault
from fnctl.openworkflow.frame import Frame, Place
from fnctl.openworkflow.strands import Waiter

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


class Consumption:
    """A run's Listener. `items`: what was consumed, as `read` asks for it. An event counts when `wants` says so; it is
    worked on after `take`, when it is on disk."""

    def __init__(self, run: Run, frame: Frame) -> None:
        said = frame.task["listen"]
        self._run = run
        self._frame = frame
        self._read = said.get("read", "data")
        self._wanted = Strategy(run, frame, said["to"])
        until = said["to"].get("until")
        self._until = until if isinstance(until, str) else None
        self._ender = Strategy(run, frame, until) if isinstance(until, Mapping) else None
        self._single = "any" in said["to"] and until is None
        self._counted: list[Any] = []
        self._full = False
        self._waiter: Waiter | None = None
        self.items: list[Any] = []
        self.done = False

    def wants(self, event: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self._full:
            return None
        said: dict[str, Any] = {}
        if self._wanted.takes(event):
            self._counted.append(self._shown(event))
            self._full = self._enough()
        elif self._ender is not None and self._ender.takes(event):
            said["ends"] = True
            self._full = self._ender.complete
        else:
            return None
        return {**said, "last": self._full or None}

    def _enough(self) -> bool:
        if self._until is not None:
            return true(self._run.evaluate(self._until, self._counted, self._frame.place, self._frame))
        if self._ender is not None:
            return False
        return self._single or self._wanted.complete

    def take(self, entry: Mapping[str, Any]) -> None:
        if not entry.get("ends"):
            self.items.append(self._shown(entry["event"]))
        self.done = self.done or bool(entry.get("last"))
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.wake()

    def replay(self, entry: Mapping[str, Any]) -> None:
        """An event that the log knows."""
        strategy = self._ender if entry.get("ends") and self._ender is not None else self._wanted
        strategy.takes(entry["event"])
        if not entry.get("ends"):
            self._counted.append(self._shown(entry["event"]))
        self._full = bool(entry.get("last"))
        self.take(entry)

    async def more(self) -> None:
        """Until something was taken."""
        self._waiter = self._run.waiter()
        await self._waiter.told()

    def _shown(self, event: Mapping[str, Any]) -> Any:
        return event if self._read == "envelope" else event.get("data")


class Asks(Protocol):
    """What a strategy needs of who listens."""

    def evaluate(self, text: str, data: Any, place: Place, frame: Frame | None = None) -> Any: ...

    def filled(self, value: Any, data: Any, place: Place, frame: Frame | None = None) -> Any: ...


class Strategy:
    """one, all or any of some filters; `any` of none is every event."""

    def __init__(self, run: Asks, frame: Frame, said: Mapping[str, Any]) -> None:
        self._run = run
        self._frame = frame
        self._each = "all" in said
        self._filters = said.get("all") or said.get("any") or ([said["one"]] if "one" in said else [])
        self._met: set[int] = set()
        self._expected: dict[str, Any] = {}

    @property
    def complete(self) -> bool:
        return len(self._met) >= (len(self._filters) if self._each else 1)

    def takes(self, event: Mapping[str, Any]) -> bool:
        """Whether it is one of these; it counts then."""
        if not self._filters:
            self._met.add(0)
            return True
        for index, each in enumerate(self._filters):
            if self._each and index in self._met:
                continue
            correlated = self._fits(each, event)
            if correlated is not None:
                self._expected |= correlated
                self._met.add(index)
                return True
        return False

    def _fits(self, said: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any] | None:
        """What the event is correlated by from now on; None where it does not fit."""
        try:
            if not all(self._same(key, value, event) for key, value in said["with"].items()):
                return None
            return self._correlated(said.get("correlate", {}), event)
        except Fault:
            return None  # an expression that cannot be asked of this event

    def _same(self, key: str, wanted: Any, event: Mapping[str, Any]) -> bool:
        found = event.get(key)
        if isinstance(wanted, str) and inner(wanted) is not None:
            said = self._run.evaluate(wanted, found, self._frame.place, self._frame)
            return said if isinstance(said, bool) else said == found
        filled = self._run.filled(wanted, self._frame.input, self._frame.place, self._frame)
        return bool(filled == found)

    def _correlated(self, said: Mapping[str, Any], event: Mapping[str, Any]) -> dict[str, Any] | None:
        run, frame, found = self._run, self._frame, {}
        for name, rule in said.items():
            value = run.evaluate(rule["from"], event, frame.place, frame)
            if "expect" in rule:
                expected = run.filled(rule["expect"], frame.input, frame.place, frame)
            else:
                expected = self._expected.get(name, value)
            if value is None or value != expected:
                return None
            found[name] = value
        return found

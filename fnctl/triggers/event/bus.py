"""The bus of a project: an event that is published becomes a deferred call of each function that asks for it.

An event is known by its source and id: published twice, it is delivered once to each function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from fnctl.cesql.expression import Expression
from fnctl.model import EventTrigger, Function
from fnctl.triggers.event.received import CloudEvent, received
from fnctl.triggers.http.call import CallRequest, When
from fnctl.triggers.http.deferral import Acceptor
from fnctl.triggers.http.permission import check

# Told of an event as JSON has it; who has taken it, each with an id, once that is on disk.
Subscriber = Callable[[Mapping[str, Any]], Awaitable[list[tuple[str, str]]]]


class Bus:
    """On the event loop's thread. `functions`: those of the project, as they are now. `subscribers`: told of every
    event, too."""

    def __init__(self, acceptor: Acceptor, functions: Callable[[], Iterable[Function]]) -> None:
        self.subscribers: list[Subscriber] = []
        self._acceptor = acceptor
        self._functions = functions
        self._filters: dict[str, Expression] = {}  # by their text

    async def publish(
        self, headers: Sequence[tuple[str, str]], body: bytes, caller: Function | None = None
    ) -> list[tuple[str, str]]:
        """(function, id of its call) for each that asks for the event, once all are on disk. `caller`: the function
        that publishes; None: somebody outside.

        Raises UsageError where it is no event, Forbidden where the caller may not publish one of them (then none is
        published), and what `accept` raises: who publishes again after that publishes once.
        """
        accepted = []
        events = received(headers, body)
        for event in events:
            check(caller, f"event/{event.attributes['type']}", "publish")
        for event in events:
            for function, trigger in self._asking(event):
                word = f"{event.source} {event.id} {trigger.path}"
                call = CallRequest(b"POST", trigger.path.encode(), _lines(function, event, caller), event.data)
                id = await self._acceptor.accept(function, call, When(dedup=word))
                accepted.append((function.name, id))
            for subscriber in self.subscribers:
                accepted += await subscriber(event.as_json())
        return accepted

    def _asking(self, event: CloudEvent) -> list[tuple[Function, EventTrigger]]:
        return [
            (function, trigger)
            for function in self._functions()
            for trigger in function.events
            if not trigger.filter or self._filter(trigger.filter).matches(event.attributes)
        ]

    def _filter(self, text: str) -> Expression:
        found = self._filters.get(text)
        if found is None:
            found = self._filters[text] = Expression(text)
        return found


def _lines(function: Function, event: CloudEvent, caller: Function | None) -> bytes:
    """What an event says of itself, its source too, is its publisher's word; who published is not."""
    who = f"X-Fnctl-Caller: function/{caller.name}\r\n" if caller is not None else ""
    return f"Host: {function.name}.localhost\r\n{who}".encode() + event.lines()

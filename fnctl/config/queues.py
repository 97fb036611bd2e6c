"""Named queues and destinations, checked over the whole project: whom they name, how long leases are, no circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fnctl.config.document import Document, Loc
from fnctl.config.problems import did_you_mean
from fnctl.config.queue_keys import AsyncEntry, DestinationEntry, NamedQueueEntry
from fnctl.model import AsyncRule, Destination, Function, Queue, QueueTrigger, Rate, Secret

DESTINATIONS = ("on_success", "on_failure")


def rule_of(entry: AsyncEntry, document: Document, loc: Loc, secrets: Mapping[str, Secret]) -> AsyncRule:
    return AsyncRule(
        entry.retries,
        entry.backoff,
        entry.max_age,
        entry.concurrency,
        entry.backlog,
        None if entry.rate is None else Rate(entry.rate, entry.burst or max(1, round(entry.rate))),
        _destination(entry.on_success, document, (*loc, "on_success"), secrets),
        _destination(entry.on_failure, document, (*loc, "on_failure"), secrets),
    )


def _destination(
    entry: DestinationEntry | None, document: Document, loc: Loc, secrets: Mapping[str, Secret]
) -> Destination | None:
    if entry is None:
        return None
    if entry.secret is not None and entry.secret not in secrets:
        hint = did_you_mean(entry.secret, secrets) if secrets else f"secrets: {{{entry.secret}: {{file: ./hook.txt}}}}"
        document.problem((*loc, "secret"), f"secret `{entry.secret}` is not declared", hint)
    return Destination(entry.function, entry.queue, entry.url, secrets.get(entry.secret or ""))


def queue_of(name: str, entry: NamedQueueEntry) -> Queue:
    return Queue(
        name=name,
        visibility_s=entry.visibility,
        receives=entry.receives,
        backoff_s=entry.backoff,
        dead_letters=entry.dead_letters,
        retention_s=entry.retention,
        delay_s=entry.delay,
        backlog=entry.backlog,
        content_dedup=entry.content_dedup,
    )


def with_triggers(declared: Mapping[str, Queue], functions: Mapping[str, Function]) -> dict[str, Queue]:
    """Those of the files, and those that triggers alone name."""
    named = {trigger.name: Queue(trigger.name) for each in functions.values() for trigger in each.queues}
    return {**named, **declared}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is declared."""

    document: Document
    loc: Loc

    def problem(self, keys: Loc, text: str, hint: str | None = None) -> None:
        self.document.problem((*self.loc, *keys), text, hint)


def check(
    functions: Mapping[str, Function], queues: Mapping[str, Queue], homes: Mapping[tuple[str, str], Place]
) -> None:
    """`homes`: where each (`functions`, NAME) and (`queues`, NAME) is declared."""
    for name, function in functions.items():
        home = homes["functions", name]
        _check_names(function, functions, queues, home)
        _check_leases(function, queues, home)
    for name, queue in queues.items():
        if queue.dead_letters is not None and queue.dead_letters not in queues:
            text = f"dead_letters of queue `{name}`: no queue `{queue.dead_letters}`"
            homes["queues", name].problem(("dead_letters",), text, did_you_mean(queue.dead_letters, queues))
        elif queue.dead_letters is not None and queue.fifo != queue.dead_letters.endswith(".fifo"):
            text = f"dead_letters of queue `{name}` is `{queue.dead_letters}`: only one of them keeps the order"
            homes["queues", name].problem(("dead_letters",), text, "let both names end in .fifo, or none")
    _check_circles(functions, queues, homes)


def _check_names(
    function: Function, functions: Mapping[str, Function], queues: Mapping[str, Queue], home: Place
) -> None:
    for key in DESTINATIONS:
        destination: Destination | None = getattr(function.deferred, key)
        if destination is None:
            continue
        for kind, name, known in (
            ("function", destination.function, functions),
            ("queue", destination.queue, queues),
        ):
            if name is not None and name not in known:
                text = f"{key} of function `{function.name}`: no {kind} `{name}`"
                hint = did_you_mean(name, known) if known else f"declare it: `queues: {{{name}: {{}}}}`"
                home.problem(("async", key, kind), text, hint)


def _check_leases(function: Function, queues: Mapping[str, Queue], home: Place) -> None:
    """A message must not be delivered again while its function still has time for it."""
    for index, trigger in enumerate(function.triggers):
        if not isinstance(trigger, QueueTrigger) or (visibility_s := queues[trigger.name].visibility_s) is None:
            continue
        needed = function.timeout_s + trigger.window_s
        if visibility_s <= needed:
            text = (
                f"queue `{trigger.name}` has a visibility of {visibility_s:g}s, which is not longer than timeout and "
                f"window of function `{function.name}` ({needed:g}s)"
            )
            home.problem(("triggers", index, "queue"), text, "raise `visibility` of the queue, or lower `timeout`")


def _check_circles(
    functions: Mapping[str, Function], queues: Mapping[str, Queue], homes: Mapping[tuple[str, str], Place]
) -> None:
    calls = {name: dict(_next_functions(each)) for name, each in functions.items()}
    moves = {name: {"dead_letters": each.dead_letters} for name, each in queues.items() if each.dead_letters}
    for kind, graph, below in (("functions", calls, ("async",)), ("queues", moves, ())):
        seen: set[str] = set()
        for name in graph:
            circle = _circle(name, graph)
            if circle and not seen & set(circle):
                seen |= set(circle)
                key = next(key for key, to in graph[name].items() if to == circle[1])
                text = f"{'destinations' if kind == 'functions' else 'dead_letters'} in a circle: {' → '.join(circle)}"
                homes[kind, name].problem((*below, key), text, "send one of them to another place")


def _next_functions(function: Function) -> Iterator[tuple[str, str]]:
    for key in DESTINATIONS:
        destination: Destination | None = getattr(function.deferred, key)
        if destination is not None and destination.function is not None:
            yield key, destination.function


def _circle(start: str, graph: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """A way from `start` back to it; empty where there is none."""
    waiting: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while waiting:
        way = waiting.pop(0)
        for name in graph.get(way[-1], {}).values():
            if name == start:
                return (*way, name)
            if name not in seen:
                seen.add(name)
                waiting.append((*way, name))
    return ()

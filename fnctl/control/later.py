"""What a run does later: its store, its clock, the calls that wait, the timers that make them. In order, both ways."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fnctl.clock import RealClock, VirtualClock
from fnctl.control.begun import Open
from fnctl.control.workflows import Workflows
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Versions
from fnctl.errors import ConfigError, NotFound, UsageError
from fnctl.model import Function, Project, Queue, Secret, Workflow
from fnctl.paths import ProjectPaths
from fnctl.sandbox import secrets
from fnctl.store.port import Counts, MessageState, Store, StoreUnavailable
from fnctl.store.sqlite import SqliteStore
from fnctl.triggers.broker.brokers import Brokers
from fnctl.triggers.queue.deferred import Deferred, shown
from fnctl.triggers.queue.hooks import shown_hook
from fnctl.triggers.queue.letter import named, shown_message, stored_as
from fnctl.triggers.queue.records import function_of, queue_of
from fnctl.triggers.timer.timers import Timers
from fnctl.workflow.durable.api import Api
from fnctl.workflow.durable.executions import Executions
from fnctl.workflow.durable.views import Views
from fnctl.workflow.ows.sandboxes import Sandboxes
from fnctl.workflow.runs import Kind, Runs, tidy

DAY_S = 86_400.0
KEEP_S = DAY_S  # what was done or cancelled, with its result
KEEP_DEAD_S = 14 * DAY_S
TIDY_S = 3600.0
MOST_SHOWN = 1000
NAME_CHARS = 57  # and `fnctl_` before them: Postgres cuts off what is longer


@dataclass(frozen=True, slots=True)
class SharedStore:
    """`url`: of its database, perhaps with a password. `name`: of the project, the same on all machines that run it."""

    url: str = field(repr=False)
    name: str


def shared_store(project: Project) -> SharedStore | None:
    """What the project's file says. A project without a name is that of this folder alone."""
    if project.store is None:
        return None
    name = project.name if project.name is not None and len(project.name) <= NAME_CHARS else project.id
    return SharedStore(project.store, name)


def opened(shared: SharedStore) -> Store:
    """Raises ConfigError where the URL cannot be read, or what speaks to such databases is not installed."""
    try:
        from fnctl.store.postgres import PostgresStore
    except ImportError as error:
        raise ConfigError(
            f"`store` in fnctl.yaml is in Postgres, but the client library is missing: {error}",
            hint="install the extra: pip install 'fnctl[postgres]'",
        ) from error
    return PostgresStore(shared.url, f"fnctl_{shared.name}")


class Later:
    """open → begin → refresh … → close. On the event loop's thread; the caller holds the project's lock."""

    def __init__(
        self,
        paths: ProjectPaths,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        queues: Callable[[], Iterable[Queue]],
        tell: Callable[[str, str], None],
        *,
        virtual: bool = False,
        shared: SharedStore | None = None,
        digest: Callable[[str], str] = lambda function: "",
        sandboxes: Sandboxes | None = None,
    ) -> None:
        """`functions`, `queues`: what the project has now. `virtual`: time moves by `advance` alone. `tell`: a line for
        a function's log. `sandboxes`: for processes of workflows. `shared`: in place of the project's own file.
        `digest`: of the bundle that a function runs.

        Raises ConfigError."""
        self._shared = shared is not None
        self.store: Store = SqliteStore(paths.store) if shared is None else opened(shared)
        self.clock: RealClock | VirtualClock = VirtualClock() if virtual else RealClock()
        self.calls = Deferred(
            self.store, self.clock, invocations, functions, declared=queues, read_secret=_secret_read_now
        )
        self.executions = Executions(self.store, self.clock, invocations, functions, digest)
        self.durable = Api(self.executions, functions, self.calls)
        self.calls.durable = self.durable
        self.views = Views(self.executions)
        self._timers = Timers(self.store.keys, self.clock, self.calls, tell)
        self.workflows = Workflows(self.store, self.clock, self.calls, invocations, functions, digest, sandboxes, tell)
        self.tidied: Callable[[], Awaitable[None]] | None = None  # comes every hour
        self._brokers = Brokers(self.calls.accept, functions, tell)
        if isinstance(self.clock, VirtualClock):
            self.clock.settled += [self._timers.rest, self.calls.rest, self.executions.rest, self.workflows.rest]

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self.store.open()
        await self._tidy()

    async def begin(self, functions: Iterable[Function], workflows: Iterable[Workflow] = ()) -> None:
        """Functions can be called from now on: take up what waits."""
        functions = list(functions)
        self._check(functions)
        await self.calls.open()
        if not self._shared:  # what is open there may be another gateway's
            await self.executions.open()
        await self._timers.refresh(functions)
        await self.workflows.begin(workflows)
        await self._brokers.refresh(functions)

    async def refresh(self, functions: Iterable[Function], workflows: Iterable[Workflow] = ()) -> None:
        """The functions or the workflows have changed."""
        functions = list(functions)
        self._check(functions)
        await self._timers.refresh(functions)
        await self._brokers.refresh(functions)
        self.calls.refresh()
        self.executions.refresh()
        await self.workflows.refresh(workflows)

    def _check(self, functions: Iterable[Function]) -> None:
        """An execution has one owner, who holds the project's lock: a shared store has none."""
        durable = [function.name for function in functions if function.durable is not None]
        if durable and self._shared:
            raise ConfigError(
                f"{durable[0]} is durable, and the project's store is shared",
                hint="durable functions need the project's own store: remove `store` from fnctl.yaml",
            )

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing more; let what runs end, for so long."""
        await self._brokers.close()
        await self._timers.close()
        await self.workflows.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self.calls.close(), self.executions.close()), timeout_s)

    async def close(self) -> None:
        """What still runs is cut off, and made again by the next run."""
        await self._brokers.close()
        await self._timers.close()
        await self.workflows.close()
        await self.calls.close(cut=True)
        await self.executions.close(cut=True)
        self.clock.close()
        await self.store.close()

    async def _tidy(self) -> None:
        """Forget what is too old, now and every hour: a store that does not answer is asked again in an hour."""
        now = self.clock.now()
        self.clock.call_at(now + TIDY_S, lambda: self.calls.spawn(self._tidy_again()))
        await self.store.queues.forget(now - KEEP_S)
        await self.store.queues.forget(now - KEEP_DEAD_S, dead=True)
        await tidy(self.store, now)

    async def _tidy_again(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._tidy()
        if self.tidied is not None:
            await self.tidied()

    # -- versions of a release -------------------------------------------------------------------------------------

    def pin(self, versions: Versions) -> None:
        """From now on, these serve what began before the current one. Before `begin`."""
        self.calls.versions = self.workflows.steps.versions = versions
        self.executions.pin(versions)

    async def open_work(self) -> Open:
        """What has not ended, and the versions that it began in. Raises StoreUnavailable."""
        queues, now = self.store.queues, self.clock.now()
        counts = (await queues.counts()).items()
        names = [name for name, each in counts if function_of(name) is not None and each.waiting + each.running]
        oldest = [at for name in names if (at := await queues.oldest(name)) is not None]
        rows = [row for kind in Kind for row in await Runs(self.store.keys).open_ones(kind, now)]
        pinned = frozenset(each for row in rows for each in (row.pinned or {}).items())
        return Open(min(oldest, default=None), pinned)

    # -- for the admin API -----------------------------------------------------------------------------------------

    async def queues(self) -> list[dict[str, Any]]:
        """One row a queue: of a function's calls, a named one, or of what goes to a function's webhooks."""
        counts = await self.store.queues.counts()
        empty = {stored_as(name): Counts() for name in self.calls.named.rules.all()}
        return [_row(queue, each) for queue, each in sorted({**empty, **counts}.items())]

    async def peek(self, name: str, state: str, limit: int) -> dict[str, Any]:
        """Calls or messages in this state, the oldest first, and the time that theirs are in."""
        queue = await self._queue(name)
        known = await self.store.queues.peek(queue, _state(state), min(limit, MOST_SHOWN))
        show = {"calls": shown, "queue": shown_message, "webhooks": shown_hook}[_kind(queue)]
        return {"now": self.clock.now(), "calls": [show(each) for each in known]}

    async def purge(self, name: str, state: str) -> int:
        return await self.store.queues.purge(await self._queue(name), _state(state), self.clock.now())

    async def redrive(self, name: str) -> int:
        """Give what is dead all its attempts again."""
        queue = await self._queue(name)
        if (message_queue := named(queue)) is not None:
            return await self.calls.named.redrive(message_queue)
        count = await self.store.queues.redrive(queue, self.clock.now())
        self.calls.kick(queue)
        return count

    async def _queue(self, name: str) -> str:
        """What the store calls it: a function's calls, a named queue; `queue/NAME` where both have the name."""
        known = await self.store.queues.counts()
        rules = self.calls.named.rules
        for stored in (queue_of(name), stored_as(name), stored_as(name.removeprefix("queue/")), name):
            if stored in known or rules.find(named(stored) or "") is not None:
                return stored
        names = sorted({*(_name(each) for each in known), *rules.all()})
        hint = f"there are: {', '.join(names) or 'none yet'}"
        raise NotFound(f"no asynchronous call of {name} was ever accepted, and no queue has that name", hint=hint)

    def times(self) -> dict[str, Any]:
        """The clock, and what timers wait for."""
        waiting = [{"function": name, "timer": what, "next": at} for name, what, at in self._timers.next_times()]
        waiting += [
            {"function": name, "timer": "workflow", "next": at} for name, at in self.workflows.schedules.next_times()
        ]
        return {"now": self.clock.now(), "virtual": isinstance(self.clock, VirtualClock), "timers": waiting}

    async def advance(self, seconds: float) -> dict[str, Any]:
        """Move a virtual clock on. Raises UsageError where time is real."""
        if not isinstance(self.clock, VirtualClock):
            raise UsageError("the clock of this run is real", hint="start it with `fnctl run --clock virtual`")
        await self.clock.advance(seconds)
        return self.times()


def _name(stored: str) -> str:
    return function_of(stored) or named(stored) or stored


def _kind(stored: str) -> str:
    return "calls" if function_of(stored) is not None else "queue" if named(stored) is not None else "webhooks"


def _secret_read_now(secret: Secret) -> str:
    return secrets.value(secret, os.environ).decode().strip()


def _row(stored: str, counts: Counts) -> dict[str, Any]:
    return {
        "name": _name(stored),
        "kind": _kind(stored),
        "function": function_of(stored),
        "waiting": counts.waiting,
        "running": counts.running,
        "done": counts.done,
        "dead": counts.dead,
        "cancelled": counts.cancelled,
        "accepted": counts.accepted,
        "dead_kept": counts.letters,
        "drift": counts.drift,
    }


def _state(word: str) -> MessageState:
    try:
        return MessageState(word)
    except ValueError as error:
        raise UsageError(f"`{word}` is not a state of a call", hint=f"states: {', '.join(MessageState)}") from error

"""Deferred calls of a run: accepted into the store, made by lanes, looked up and cancelled by id."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import math
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.dispatch.pinned import Versions
from fnctl.errors import ConflictError, FnctlError, NotFound
from fnctl.model import Function, Queue, Secret
from fnctl.store.port import ENDED, Known, Leased, Message, MessageState, Stale, Store, StoreUnavailable
from fnctl.tasks import Tasks
from fnctl.triggers.event.bus import Bus
from fnctl.triggers.http.call import NOW, CallRequest, When
from fnctl.triggers.http.deferral import Asking, Told, field_lines
from fnctl.triggers.http.found import Queued
from fnctl.triggers.http.head import RequestHead
from fnctl.triggers.http.workflow_routes import Flows
from fnctl.triggers.queue.api import QueueRequest
from fnctl.triggers.queue.destinations import Destinations
from fnctl.triggers.queue.hooks import PREFIX as HOOKS
from fnctl.triggers.queue.hooks import Hooks, ReadSecret
from fnctl.triggers.queue.lane import LEASE_MORE_S, Beginner, Lane
from fnctl.triggers.queue.named import NamedQueues
from fnctl.triggers.queue.rate import Allowance
from fnctl.triggers.queue.records import function_of, packed, queue_of, read_outcome
from fnctl.triggers.sqs.api import PATH as SQS
from fnctl.triggers.sqs.api import SqsRequest

_SECRET_KEY = "deferred/secret"


def no_secrets(secret: Secret) -> str:
    """Where nobody reads secrets."""
    raise FnctlError(f"secret {secret.name} cannot be read here")


class Deferred:
    """open → accept … → close. On the event loop's thread; the caller holds the project's lock."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        random: Random | None = None,
        lease_more_s: float = LEASE_MORE_S,
        declared: Callable[[], Iterable[Queue]] = tuple,
        read_secret: ReadSecret = no_secrets,
    ) -> None:
        """`functions`, `declared`: the functions of the project by name and its queues, as they are now.
        `lease_more_s`: see Lane. `read_secret`: what signs webhooks."""
        self.durable: Beginner | None = None  # begins executions of durable functions
        self.versions: Versions | None = None  # serve calls that were accepted before the current one
        self._store = store
        self._clock = clock
        self._invocations = invocations
        self._functions = functions
        self.bus = Bus(self, lambda: functions().values())
        self.flows: Flows | None = None
        self._random = random or Random()
        self._allowance = Allowance()
        self._read_secret = read_secret
        self.named = NamedQueues(store, clock, invocations, functions, declared, self._random, self._allowance)
        self._outcomes = Destinations(clock, invocations, functions, self.named, self.kick)
        self._lanes: dict[str, Lane] = {}
        self._hooks: dict[str, Hooks] = {}
        self._tasks = Tasks()
        self._secret = b""
        self._closed = False
        self._lease_more_s = lease_more_s
        store.listen(self._heard)

    async def open(self) -> None:
        """Takes up what an earlier run left: its leases are nobody's, unless others share the store."""
        await self.named.open()
        self._secret = await self._project_secret(self._clock.now())
        if self._store.shared:
            await self._take_over()
        else:
            await self._store.queues.reclaim(math.inf)
            await self._take_up()

    async def _take_over(self) -> None:
        """Calls whose lease is over, as their process has died. No lease ends sooner than `lease_more_s` after it was
        given, so that looking so often is soon enough."""
        if self._closed:
            return
        now = self._clock.now()
        self._clock.call_at(now + self._lease_more_s, lambda: self._tasks.spawn(self._take_over()))
        with contextlib.suppress(StoreUnavailable):
            await self._store.queues.reclaim(now)
            await self._take_up()

    def _heard(self, queue: str | None) -> None:
        """Another process has put something into this queue; None: perhaps into any."""
        if queue is None:
            self._tasks.spawn(self._take_up_anything())
        else:
            self.kick(queue)

    async def _take_up_anything(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # then this comes again
            await self._take_up()

    async def _take_up(self) -> None:
        queues = self._store.queues
        for queue, counts in (await queues.counts()).items():
            if counts.waiting:
                self.kick(queue)

    def kick(self, stored: str) -> None:
        """Something was put into what the store knows by this name."""
        if (function := function_of(stored)) is not None:
            self.lane(function).kick()
        elif stored.startswith(HOOKS):
            self._hooks_of(stored.removeprefix(HOOKS)).kick()
        else:
            self.named.kick(stored)

    async def _project_secret(self, now: float) -> bytes:
        keys = self._store.keys
        try:
            made = secrets.token_bytes(32)
            await keys.set(_SECRET_KEY, made, now, version=0)
            return made
        except Stale:
            found = await keys.get(_SECRET_KEY, now)
            assert found is not None
            return found.data

    def refresh(self) -> None:
        """The functions have changed: calls may wait for one that is there now."""
        for lane in self._lanes.values():
            lane.kick()
        self.named.refresh()

    async def close(self, cut: bool = False) -> None:
        """Begin nothing more; wait for what runs, or cut it off. What waits is there for the next run."""
        self._closed = True
        await asyncio.gather(*(each.close(cut) for each in self._sources()))
        await self._tasks.wait()

    def _sources(self) -> list[Lane | Hooks | NamedQueues]:
        return [*self._lanes.values(), self.named, *self._hooks.values()]

    async def rest(self) -> None:
        """Until no call is under way: what a virtual clock waits for."""
        while any(self._sources()) or self._tasks:
            await self._tasks.wait()
            for source in self._sources():
                await source.rest()

    def lane(self, function: str) -> Lane:
        lane = self._lanes.get(function)
        if lane is None:
            lane = Lane(
                function,
                lambda: self._function(function),
                self._store.queues,
                self._invocations,
                self._clock,
                self._random,
                self._allowance.of(function),
                self._outcomes,
                self._lease_more_s,
                self.durable,
                self.versions,
            )
            self._lanes[function] = lane
        return lane

    def _function(self, name: str) -> Function | None:
        """As it is now, else as the last version had it that calls still belong to."""
        found = self._functions().get(name)
        return self.versions.left(name) if found is None and self.versions is not None else found

    def _hooks_of(self, function: str) -> Hooks:
        hooks = self._hooks.get(function)
        if hooks is None:
            hooks = self._hooks[function] = Hooks(
                function,
                lambda: self._functions().get(function),
                self._store.queues,
                self._clock,
                self._random,
                self._read_secret,
            )
        return hooks

    # -- for who calls ---------------------------------------------------------------------------------------------

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Work on the store that this waits for at its end."""
        self._tasks.spawn(work)

    def now(self) -> float:
        return self._clock.now()

    async def accept(self, function: Function, request: CallRequest, when: When = NOW) -> str:
        """The call's id, once it is on disk: its own, or that of an earlier call with its `dedup`.

        Raises QueueFull and StoreUnavailable; then nothing was accepted.
        """
        accepted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def told(id: str | None, error: BaseException | None) -> None:
            if accepted.done():  # whoever asked was cancelled
                return
            if id is not None:
                accepted.set_result(id)
            elif error is not None:
                accepted.set_exception(error)

        self.accept_then(function, request, when, told)
        return await accepted

    def accept_then(self, function: Function, request: CallRequest, when: When, told: Told) -> None:
        """The same, told by a call back. Raises StoreUnavailable, or tells it."""
        now, rule = self._clock.now(), function.deferred
        due = now if when.due is None else when.due
        message = Message(
            id=self._invocations.next_id(now),
            queue=queue_of(function.name),
            body=packed(request),
            due=due,
            accepted=now,
            expires=max(now, due) + rule.max_age_s,
            group=when.group,
            dedup=when.dedup,
        )
        lane = self.lane(function.name)
        until = lane.hold() if due <= now else None
        if until is None:
            put = asyncio.ensure_future(self._store.queues.put([message], most=rule.backlog))
            put.add_done_callback(partial(_put, lane, due, told))
        else:
            both = asyncio.ensure_future(self._store.queues.put_and_lease([message], rule.backlog, now, until))
            both.add_done_callback(partial(_put_and_leased, lane, told))

    async def publish(
        self, headers: Sequence[tuple[str, str]], body: bytes, caller: Function | None = None
    ) -> list[tuple[str, str]]:
        """Accept a call for each function that asks for the event (or for one of a batch): its name, the call's id."""
        return await self.bus.publish(headers, body, caller)

    def asking(self, queued: Queued, head: RequestHead, raw: bytes) -> Asking:
        """A request to the named queues, by HTTP or by the API of SQS."""
        queues, caller = self._store.queues, queued.caller
        if queued.path.startswith(SQS):
            return SqsRequest(self.named, self._clock, queues, head.fields.host, field_lines(raw), caller)
        return QueueRequest(self.named, self._clock, queues, queued.path, head.method, raw, caller)

    def token(self, id: str) -> str:
        """What its caller shows to see the result: an id can be guessed, this cannot."""
        return hashlib.blake2b(id.encode(), digest_size=16, key=self._secret).hexdigest()

    def believes(self, id: str, token: str) -> bool:
        return hmac.compare_digest(self.token(id).encode(), token.encode())

    async def result(self, id: str) -> dict[str, Any]:
        """What is known of a call. Raises NotFound."""
        known = await self._store.queues.find(id)
        if known is None or function_of(known.queue) is None:
            raise _unknown(id)
        return shown(known)

    async def is_open(self, id: str) -> bool:
        """Whether a call waits or runs."""
        known = await self._store.queues.find(id)
        return known is not None and known.state not in ENDED

    async def stop(self, id: str) -> None:
        """End a call whether it waits or runs; nothing, where it has ended."""
        known = await self._store.queues.find(id)
        name = function_of(known.queue) if known is not None else None
        if name is None or await self._store.queues.cancel(id, self._clock.now()) is not MessageState.RUNNING:
            return
        self.lane(name).stop(id)

    async def cancel(self, id: str) -> dict[str, Any]:
        """End a call that waits. Raises NotFound, and ConflictError where it runs or has ended."""
        state = await self._store.queues.cancel(id, self._clock.now())
        if state is None:
            raise _unknown(id)
        if state is not MessageState.CANCELLED:
            raise ConflictError(f"the call {id} cannot be cancelled: it is {state}", code="not_waiting")
        return await self.result(id)


def _put(lane: Lane, due: float, told: Told, put: asyncio.Future[list[str]]) -> None:
    error = put.exception()
    if error is not None:
        told(None, error)
        return
    (id,) = put.result()
    lane.expect(due)
    told(id, None)


def _put_and_leased(lane: Lane, told: Told, both: asyncio.Future[tuple[list[str], list[Leased]]]) -> None:
    error = both.exception()
    if error is not None:
        lane.begin_held([])
        told(None, error)
        return
    (id,), leased = both.result()
    lane.begin_held(leased)
    if all(each.id != id for each in leased):  # an older one was first, or it stands behind one of its group
        lane.kick()
    told(id, None)


def shown(known: Known) -> dict[str, Any]:
    """A call as JSON: `result` is the last attempt's."""
    said: dict[str, Any] = {
        "id": known.id,
        "function": function_of(known.queue),
        "state": str(known.state),
        "attempts": known.attempts,
        "accepted": known.accepted,
    }
    if known.state in ENDED:
        said["ended"] = known.ended
    else:
        said["due"] = known.due
    if known.group is not None:
        said["group"] = known.group
    if (result := read_outcome(known.result)) is not None:
        said["result"] = result
    return said


def _unknown(id: str) -> NotFound:
    return NotFound(f"no asynchronous call has the id {id}", hint="results are kept for a day after the call has ended")

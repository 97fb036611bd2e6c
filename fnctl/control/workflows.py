"""The workflows of a run of fnctl: connects them to functions, queue, timers and event bus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from random import Random
from typing import Any

from fnctl.clock import Clock
from fnctl.dispatch.invocation import Invocations
from fnctl.errors import FnctlError, UsageError
from fnctl.model import Function, Workflow
from fnctl.openworkflow import drawing
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.graph import graph
from fnctl.store.port import Store
from fnctl.triggers.queue.deferred import Deferred
from fnctl.workflow.ows.addresses import Addresses
from fnctl.workflow.ows.calls import Calls
from fnctl.workflow.ows.runner import Flows
from fnctl.workflow.ows.sandboxes import Sandboxes
from fnctl.workflow.ows.schedules import Schedules
from fnctl.workflow.ows.shelf import Shelf
from fnctl.workflow.ows.views import steps_of, told
from fnctl.workflow.ows.world import Platform
from fnctl.workflow.runs import Row

_STRUCTURED = [("content-type", "application/cloudevents+json")]


class Workflows:
    """open → refresh … → drain → close. What the gateway and the admin API ask of workflows."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        calls: Deferred,
        invocations: Invocations,
        functions: Callable[[], Mapping[str, Function]],
        digest: Callable[[str], str],
        sandboxes: Sandboxes | None,
        tell: Callable[[str, str], None],
    ) -> None:
        self._keys = store.keys
        self.shelf = Shelf(store.keys)
        self._addresses = Addresses()
        self._calls = calls
        self.steps = Calls(
            invocations, lambda name: functions().get(name), clock.now, lambda *asked: self.flows.pinned(*asked)
        )
        world = Platform(
            clock,
            self.steps,
            self._addresses,
            sandboxes,
            self.shelf.secret,
            self._publish,
            lambda *said: self.flows.child(*said),
            Random(),
        )
        self.flows = Flows(
            store, clock, world, self.shelf, invocations.next_id, digest, tell, lambda row: self.schedules.ended(row)
        )
        self.schedules = Schedules(self.flows, store.keys, clock)
        calls.flows = self
        calls.bus.subscribers.append(self._delivered)

    async def begin(self, workflows: Iterable[Workflow]) -> None:
        """Functions can be called from now on: take up what is open."""
        self.shelf.replace(workflows)
        await self.flows.begin()
        await self.schedules.refresh()

    async def refresh(self, workflows: Iterable[Workflow]) -> None:
        """They have changed. Runs go on with the definition that they began with."""
        self.shelf.replace(workflows)
        await self.schedules.refresh()

    async def rest(self) -> None:
        await self.schedules.rest()
        await self.flows.rest()

    async def close(self) -> None:
        await self.schedules.close()
        await self.flows.close()
        self._addresses.close()

    async def _publish(self, event: Mapping[str, Any]) -> None:
        """From a step. Raises Fault where it is no event, or a function's queue is full."""
        try:
            await self._calls.publish(_STRUCTURED, json.dumps(event).encode())
        except UsageError as error:
            raise standard("validation", error.message) from None
        except FnctlError as error:
            if error.http_status != 429:
                raise
            raise standard("communication", error.message, status=429) from None

    async def _delivered(self, event: Mapping[str, Any]) -> list[tuple[str, str]]:
        taken = await self.flows.deliver(event)
        return [*taken, *await self.schedules.deliver(event)]

    # -- for the gateway -------------------------------------------------------------------------------------------

    async def start(self, name: str, input: Any, *, flush: bool = True) -> str:
        return await self.flows.start(name, input, flush=flush)

    def waits(self, id: str) -> Any:
        return self.flows.waits(id)

    async def state(self, id: str) -> Mapping[str, Any]:
        row, history, _ = await self.flows.known(id)
        said: dict[str, Any] = {"id": id, "workflow": row.of, "state": history.state(), "started": row.started}
        if (end := history.ended) is not None:
            said["ended"] = end["at"]
            said |= {key: end[key] for key in ("output", "error", "not_undone") if key in end}
        return said

    # -- for `fnctl workflow` --------------------------------------------------------------------------------------

    async def show(self, id: str) -> dict[str, Any]:
        row, history, shelved = await self.flows.known(id)
        return {
            **await self.state(id),
            "definition": shelved.definition.digest,
            "functions": dict(row.pinned or {}),
            "steps": steps_of(history),
        }

    async def history(self, id: str, *, io: bool) -> list[dict[str, Any]]:
        _, history, _ = await self.flows.known(id)
        return [told(number, entry, io=io) for number, entry in enumerate(history.entries, 1)]

    async def cancel(self, id: str) -> None:
        await self.flows.cancel(id)

    async def graph(self, id: str) -> dict[str, str]:
        """The picture of a run: `text` for the terminal, and `svg`."""
        row, history, shelved = await self.flows.known(id)
        boxes, now = graph(shelved.definition.data, history), self.flows.clock.now()
        title = f"{row.of} {id}: {history.state()}"
        return {"text": f"{title}\n{drawing.text(boxes, now)}", "svg": drawing.svg(boxes, title, now)}

    async def row(self, id: str) -> Row:
        """Of a run of whatever kind. Raises NotFound."""
        return await self.flows.rows.find(id, self.flows.clock.now())

    async def rows(self) -> list[dict[str, Any]]:
        """Every run that is known, of whatever kind, the newest first."""
        return [asdict(row) for row in await self.flows.rows.all(self.flows.clock.now())]

    def names(self) -> list[dict[str, Any]]:
        """The workflows of the project."""
        return [
            {
                "name": each.name,
                "definition": str(each.definition.identity),
                "digest": each.definition.digest,
                "schedule": dict(each.definition.schedule),
            }
            for each in self.shelf.all()
        ]

    async def against_running(self, workflows: Iterable[Workflow], functions: Iterable[str]) -> list[dict[str, Any]]:
        """What open runs would meet in these definitions."""
        shelf = Shelf(self._keys)
        shelf.replace(workflows)
        return await self.flows.against_running(shelf, frozenset(functions))

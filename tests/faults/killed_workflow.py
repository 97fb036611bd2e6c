"""One run of a workflow, in processes that are killed where they are told to be: the real engine and store; functions,
addresses and sandboxes are played here.

`python -m tests.faults.killed_workflow FOLDER NAME` reads one `Life` a line, lives it in a process of its own, and
writes how that ended. What was done outside stands in FOLDER/journal, line by line, whatever became of the process.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from fnctl.clock import VirtualClock
from fnctl.dispatch.ids import InvocationIds
from fnctl.model import Workflow
from fnctl.openworkflow.definition import Identity
from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.reading import read
from fnctl.openworkflow.world import Awaited, HttpResponse, ProcessResult, Step
from fnctl.store.sqlite import SqliteConnection, SqliteStore
from fnctl.workflow.ows.runner import Flows
from fnctl.workflow.ows.shelf import Shelf
from fnctl.workflow.runs import Row
from tests.faults.killable_connection import connection
from tests.support.every_task import ALL, EVENTS, UNDONE
from tests.support.workflow_world import FakeWorld

START = 1_800_000_000.0
TEXTS = {"all": ALL, "undone": UNDONE}
OTHER = "do: [{inner: {call: add, with: {n: 3}}}, {nap: {wait: {seconds: 2}}}, {told: {set: {type: other}}}]"
INPUT = {"n": 1}


@dataclasses.dataclass(frozen=True)
class Life:
    """`point`: where to be killed, after so many `passes` of it; none: it ends by itself."""

    point: str = ""
    passes: int = 0


def workflow(name: str, text: str) -> Workflow:
    head = f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '1.0.0'}}\n"
    return Workflow(name, read(head + text, name).data)


class World(FakeWorld):
    """What it does outside is in the journal before it is done. A child is a run of its own."""

    process_of: Process
    flows: Flows

    async def child(self, step: Step, identity: Identity, input: Any, waits: Awaited | None) -> None:
        self.crash(f"before {step.key}")
        await self.flows.child(step, identity, input, waits)
        self.crash(f"after {step.key}")

    async def _act(self, step: Step, act: Any) -> Any:
        self.process_of.at("before an act")
        self.process_of.note("act", f"{step.run} {step.key} {step.attempt}")
        result = await super()._act(step, act)
        self.process_of.at("after an act")
        return result


class Process:
    def __init__(self, folder: Path, name: str, life: Life) -> None:
        self._folder = folder
        self._name = name
        self._life = life
        self._left = life.passes
        self._passed: Counter[str] = Counter()
        self._journal = os.open(folder / "journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, what: str, said: str) -> None:
        os.write(self._journal, f"{what} {said}\n".encode())

    def at(self, point: str) -> None:
        self._passed[point] += 1
        if point == self._life.point:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def connect(self, path: str) -> SqliteConnection:
        return connection(path, self.at)

    @property
    def _clock_file(self) -> Path:
        return self._folder / "now"

    async def live(self) -> None:
        """Until the run has ended. The last line of the journal tells how, and how often each point was passed."""
        store = SqliteStore(self._folder / "store.db", self.connect)
        await store.open()
        now = float(self._clock_file.read_text()) if self._clock_file.is_file() else START
        clock = VirtualClock(now)
        world = World(self._functions(), lambda _: HttpResponse(200, {}, b"{}"), lambda _: ProcessResult(0, "hi", ""))
        world.clock, world.process_of = clock, self
        shelf = Shelf(store.keys)
        shelf.replace([workflow(self._name, TEXTS[self._name]), workflow("other", OTHER)])
        told: list[str] = []
        flows = world.flows = Flows(
            store, clock, world, shelf, InvocationIds(), lambda _: "", lambda _, line: told.append(line)
        )
        clock.settled = [flows.rest]
        await self._completed(flows, now)
        await flows.begin()
        row = await self._begun(flows, now)
        end = await self._ended(flows, clock, row)
        assert not told, told
        self.note("ended", json.dumps({"end": end, "passed": self._passed}))
        await flows.close()
        await store.close()

    def _functions(self) -> Mapping[str, Any]:
        def shaky(given: Any) -> Any:
            """It fails the first time, whoever asks: the journal knows."""
            asked = sum("/may " in line for line in (self._folder / "journal").read_text().splitlines())
            if asked < 2:
                raise standard("communication", "not yet", status=503)
            return "at last"

        return {"add": lambda given: given["n"] + 1, "undo": lambda given: None, "shaky": shaky}

    async def _completed(self, flows: Flows, now: float) -> None:
        """What must not be done again from here on."""
        for row in await flows.rows.all(now):
            _, history, _ = await flows.known(row.id)
            for key in history.completed:
                self.note("completed", f"{row.id} {key}")

    async def _begun(self, flows: Flows, now: float) -> Row:
        known = [row for row in await flows.rows.all(now) if row.of == self._name]
        id = known[-1].id if known else await flows.start(self._name, INPUT)
        return await flows.rows.find(id, now)

    async def _ended(self, flows: Flows, clock: VirtualClock, row: Row) -> Mapping[str, Any]:
        """Events come where the run listens; else time goes on by a second."""
        while True:
            await flows.rest()
            _, history, _ = await flows.known(row.id)
            if history.ended is not None:
                return {key: history.ended.get(key) for key in ("state", "output", "not_undone")}
            consumed = sum(len(entries) for entries in history.events.values())
            if consumed < len(EVENTS) and await flows.deliver(EVENTS[consumed]):
                continue
            self._clock_file.write_text(str(clock.now() + 1))
            await clock.advance(1)


def lived(folder: Path, name: str, life: Life) -> int:
    """How the process ended that lived it: as `subprocess` says it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            uvloop.run(Process(folder, name, life).live())
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    folder, name = Path(sys.argv[1]), sys.argv[2]
    for line in sys.stdin:
        sys.stdout.write(f"{lived(folder, name, Life(**json.loads(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Runs of a project's workflows in a test: begun, waited for, told events, looked at. The engine is the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from fnctl.clock import VirtualClock
from fnctl.config.units import duration_s
from fnctl.dispatch.ids import InvocationIds
from fnctl.errors import UsageError
from fnctl.model import Project
from fnctl.openworkflow.history import History
from fnctl.store.sqlite import SqliteStore
from fnctl.testing.mocks import Mock, MockWorld
from fnctl.workflow.ows.runner import Flows
from fnctl.workflow.ows.schedules import Schedules
from fnctl.workflow.ows.shelf import Shelf
from fnctl.workflow.ows.views import steps_of

T = TypeVar("T")
START = datetime(2030, 1, 1, tzinfo=UTC).timestamp()  # of the clock, where a test says nothing else


class TestRun:
    """One run, as it stands when it is asked."""

    __test__ = False  # pytest would collect it

    def __init__(self, kit: Kit, id: str) -> None:
        self.id = id
        self._kit = kit

    @property
    def _history(self) -> History:
        return self._kit.history(self.id)

    @property
    def state(self) -> str:
        """pending, running, unwinding; completed, faulted, cancelled."""
        return self._history.state()

    @property
    def output(self) -> Any:
        """Raises AssertionError where the run is not completed, with its error or with what it waits for."""
        history = self._history
        if history.state() != "completed":
            what = (history.ended or {}).get("error") or [
                f"{step['name']}: {step['state']}" for step in self.steps if step["state"] != "completed"
            ]
            raise AssertionError(f"the run is {history.state()}, and not completed: {what}")
        return (history.ended or {}).get("output")

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Of a run that is faulted, as problem details (RFC 9457)."""
        return (self._history.ended or {}).get("error")

    @property
    def steps(self) -> list[dict[str, Any]]:
        """In the order of their beginning: `name`, `kind`, `state`, `attempts`, `began` …"""
        return steps_of(self._history)

    def cancel(self) -> None:
        """End it; what it did is undone."""
        self._kit.cancel(self.id)


class Kit:
    """open → mock, start, advance, publish … → close. Each returns when nothing is left to do at this moment."""

    def __init__(self, project: Project, start: float = START) -> None:
        """`start`: what the clock shows first, in seconds since the epoch."""
        self.project = project
        self._runner = asyncio.Runner()
        self._store = SqliteStore()
        self._clock = VirtualClock(start)
        self._world = MockWorld(self._clock, lambda *said: self._flows.child(*said), self._deliver)
        self._shelf = Shelf(self._store.keys)
        self._shelf.replace(project.workflows)
        self._flows = Flows(
            self._store,
            self._clock,
            self._world,
            self._shelf,
            InvocationIds(),
            lambda function: "",
            lambda workflow, line: self._world.wrong.append(AssertionError(line)),
            lambda row: self._schedules.ended(row),
        )
        self._schedules = Schedules(self._flows, self._store.keys, self._clock)
        self._clock.settled += [self._schedules.rest, self._flows.rest]

    def open(self) -> None:
        """Schedules count from here."""
        self._done(self._begin())

    async def _begin(self) -> None:
        await self._store.open()
        await self._flows.begin()
        await self._schedules.refresh()

    def close(self) -> None:
        """Nothing of it is left. Raises what a stand-in raised and nobody has seen yet."""
        try:
            self._runner.run(self._end())
        finally:
            self._runner.close()
        self._tell()

    async def _end(self) -> None:
        await self._schedules.close()
        await self._flows.close()
        self._clock.close()
        await self._store.close()

    # -- stand-ins -------------------------------------------------------------------------------------------------

    def mock(self, function: str, *answers: Any) -> Mock:
        """In place of a function of the project. Raises UsageError where it has none of this name."""
        names = {each.name for each in self.project.functions}
        if function not in names:
            raise UsageError(f"the project has no function `{function}`", hint=f"functions: {', '.join(sorted(names))}")
        mock = self._world.functions[function] = Mock(f"the function {function}", answers)
        return mock

    def mock_http(self, url: str, *answers: Any) -> Mock:
        """In place of all addresses that begin so; of several that fit, the longest. Asked is an `HttpRequest`."""
        mock = self._world.addresses[url] = Mock(url, answers)
        return mock

    def mock_process(self, *answers: Any) -> Mock:
        """In place of all containers, scripts and shell commands: its output. Asked is a `Process`."""
        mock = self._world.processes = Mock("processes", answers)
        return mock

    def secret(self, name: str, value: Any) -> None:
        self._world.secrets[name] = value

    # -- runs ------------------------------------------------------------------------------------------------------

    def start(self, workflow: str, input: Any = None) -> TestRun:
        """Begin a run, and let it go on until it waits. Raises what `fnctl workflow run` says of bad input."""
        return TestRun(self, self._done(self._flows.start(workflow, {} if input is None else input)))

    def runs(self, workflow: str) -> list[TestRun]:
        """All of this workflow, also those that a schedule or an event began; the newest first."""
        rows = self._done(self._flows.rows.all(self._clock.now()))
        return [TestRun(self, row.id) for row in rows if row.of == workflow]

    def cancel(self, id: str) -> None:
        self._done(self._flows.cancel(id))

    def history(self, id: str) -> History:
        return self._done(self._flows.known(id))[1]

    # -- time and events -------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def advance(self, by: str | float) -> None:
        """Move the clock on: "90s", "12h", "30d", or seconds. What is due on the way is done at its own time."""
        try:
            seconds = float(by) if isinstance(by, int | float) else duration_s(by)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._done(self._nothing(), seconds)

    def publish(self, type: str, data: Any = None, *, source: str = "/test", **more: Any) -> Mapping[str, Any]:
        """A CloudEvent on the project's bus; returns it."""
        event = {"specversion": "1.0", "id": f"test-{len(self._world.published) + 1}", "source": source, "type": type}
        event |= {"time": self.now.isoformat(), **({} if data is None else {"data": data}), **more}
        self._world.published.append(event)
        self._done(self._deliver(event))
        return event

    @property
    def published(self) -> list[Mapping[str, Any]]:
        """All events so far, the test's and the workflows'."""
        return self._world.published

    async def _deliver(self, event: Mapping[str, Any]) -> None:
        await self._flows.deliver(event)
        await self._schedules.deliver(event)

    # -- the loop --------------------------------------------------------------------------------------------------

    def _done(self, work: Coroutine[Any, Any, T], seconds: float = 0.0) -> T:
        """The work's result, once all has come to rest so much later."""

        async def whole() -> T:
            result = await work
            await self._clock.advance(seconds)
            return result

        result = self._runner.run(whole())
        self._tell()
        return result

    async def _nothing(self) -> None:
        pass

    def _tell(self) -> None:
        if self._world.wrong:
            raise self._world.wrong.pop(0)

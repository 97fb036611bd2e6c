"""Runs of workflows in the store: begun, parked, taken up by the next service, cancelled, retried, scheduled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fnctl.clock import VirtualClock
from fnctl.dispatch.ids import InvocationIds
from fnctl.errors import ConflictError, FnctlError, NotFound, TooLarge, UsageError
from fnctl.model import Workflow
from fnctl.openworkflow.reading import read
from fnctl.store.sqlite import SqliteStore
from fnctl.workflow.log import read as read_log
from fnctl.workflow.ows.runner import Flows
from fnctl.workflow.ows.schedules import Schedules
from fnctl.workflow.ows.shelf import Shelf
from fnctl.workflow.runs import tidy
from tests.support.openworkflow import event
from tests.support.turning import until
from tests.support.workflow_world import FakeWorld

START = 1_800_000_000.0


def workflow(name: str, text: str, version: str = "1.0.0") -> Workflow:
    head = f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: {version}}}\n"
    data = read(head + text, name).data
    data["document"]["version"] = version
    return Workflow(name, data)


class Service:
    """What one `fnctl run` has of workflows. The store's file outlives it."""

    def __init__(self, path: Path, *workflows: Workflow, now: float = START, functions: Any = None) -> None:
        self.store = SqliteStore(path)
        self.clock = VirtualClock(now)
        self.calls: list[Any] = []
        self.world = FakeWorld({"add": self._add, **(functions or {})}, clock=self.clock)
        self.lines: list[str] = []
        self.bundles = {"add": "digest-1"}
        shelf = Shelf(self.store.keys)
        shelf.replace(workflows)
        self.flows = Flows(
            self.store,
            self.clock,
            self.world,
            shelf,
            InvocationIds(),
            lambda name: self.bundles.get(name, ""),
            lambda name, line: self.lines.append(line),
            lambda row: self.schedules.ended(row),
        )
        self.schedules = Schedules(self.flows, self.store.keys, self.clock)
        self.world.children = None
        self.clock.settled = [self.schedules.rest, self.flows.rest]

    def _add(self, given: Any) -> Any:
        self.calls.append(given["n"])
        return given["n"] + 1

    async def __aenter__(self) -> Service:
        await self.store.open()
        await self.flows.begin()
        await self.schedules.refresh()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.schedules.close()
        await self.flows.close()
        self.clock.close()
        await self.store.close()

    async def end(self, id: str) -> Mapping[str, Any]:
        await self.clock.advance(0)
        return await asyncio.wait_for(self.flows.wait(id), 30)


def played(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


ADD = "do:\n- one: {call: add, with: {n: '${ .n }'}}\n- two: {call: add, with: {n: '${ . }'}}\n"
LONG = "do:\n- one: {call: add, with: {n: 1}}\n- nap: {wait: {days: 30}}\n- two: {call: add, with: {n: 2}}\n"


def test_a_run_ends_with_its_output(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("sum", ADD)) as service:
            id = await service.flows.start("sum", {"n": 1})
            assert (await service.end(id))["output"] == 3
            assert service.calls == [1, 2]
            await until(lambda: service.flows.in_memory == 0)

    played(work)


def test_a_run_costs_one_commit_a_step_and_one_for_its_end(tmp_path: Path) -> None:
    """Its row is written in the step of the first entry, and of the last."""

    async def work() -> None:
        async with Service(tmp_path / "store", workflow("sum", ADD)) as service:
            await service.end(await service.flows.start("sum", {"n": 1}))  # keeps the definition
            before = service.store.commits
            id = await service.flows.start("sum", {"n": 1}, flush=False)
            await service.flows.waits(id)
            assert service.store.commits - before == 3
            row = await service.flows.rows.find(id, service.clock.now())
            assert (row.state, await service.flows.rows.open_ones(row.kind, service.clock.now())) == ("completed", [])

    played(work)


def test_a_run_that_was_kept_for_long_enough_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("sum", ADD), workflow("long", LONG)) as service:
            over = await service.flows.start("sum", {"n": 1})
            await service.end(over)
            waits = await service.flows.start("long", None)
            await service.clock.advance(13 * 86_400)
            await tidy(service.store, service.clock.now())
            assert (await service.flows.rows.find(over, service.clock.now())).state == "completed"
            await service.clock.advance(2 * 86_400)
            await tidy(service.store, service.clock.now())
            with pytest.raises(NotFound):
                await service.flows.rows.find(over, service.clock.now())
            assert await read_log(service.store.logs, over) == []
            assert await service.store.keys.expired(service.clock.now()) == []
            assert await read_log(service.store.logs, waits) != []

    played(work)


def test_what_is_refused_before_anything_runs(tmp_path: Path) -> None:
    checked = "input: {schema: {document: {type: object, required: [n]}}}\n" + ADD

    async def work() -> None:
        async with Service(tmp_path / "store", workflow("sum", checked)) as service:
            for name, given, error, words in (
                ("sun", {"n": 1}, NotFound, "sun"),
                ("sum", {}, UsageError, "'n' is a required property"),
                ("sum", {"n": 1, "x": "y" * (1 << 20)}, TooLarge, "larger than"),
            ):
                with pytest.raises(error, match=words):
                    await service.flows.start(name, given)
            assert service.calls == []
            assert await service.flows.rows.all(START) == []

    played(work)


def test_a_long_wait_leaves_the_memory_and_outlives_the_service(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("long", LONG)) as service:
            id = await service.flows.start("long", None)
            await service.clock.advance(1)
            await until(lambda: service.flows.in_memory == 0)
            assert service.calls == [1]
        async with Service(tmp_path / "store", workflow("long", LONG), now=START + 86_400) as service:
            await service.clock.advance(1)
            assert service.flows.in_memory == 0  # nothing is loaded before its time
            await service.clock.advance(29 * 86_400)
            assert (await service.end(id))["output"] == 3
            assert service.calls == [2]

    played(work)


def test_a_run_goes_on_with_the_definition_that_it_began_with(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("long", LONG)) as service:
            id = await service.flows.start("long", None)
            await service.clock.advance(1)
        another = workflow("long", LONG.replace("two:", "three:").replace("n: 2", "n: 20").replace("one:", "first:"))
        async with Service(tmp_path / "store", another, now=START + 40 * 86_400) as service:
            told = await service.flows.against_running(service.flows.shelf, frozenset({"add"}))
            assert [each["wrong"] for each in told] == [["step /do/0 was `one`, is `first`"]]
            assert (await service.end(id))["output"] == 3

    played(work)


def test_functions_that_have_changed_are_named_by_the_check(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("long", LONG)) as service:
            await service.flows.start("long", None)
            await service.clock.advance(1)
            assert await service.flows.against_running(service.flows.shelf, frozenset({"add"})) == []
            service.bundles["add"] = "digest-2"
            (told,) = await service.flows.against_running(service.flows.shelf, frozenset({"add"}))
            assert told["functions"] == ["add is another version"] and told["wrong"] == []
            (told,) = await service.flows.against_running(service.flows.shelf, frozenset())
            assert told["functions"] == ["add is there no more"]

    played(work)


UNDONE = """
do:
- one: {call: add, with: {n: 1}, compensate: [{back: {call: undo, with: {what: one, was: '${ . }'}}}]}
- two: {call: add, with: {n: 2}, compensate: [{back: {call: undo, with: {what: two, was: '${ . }'}}}]}
- nap: {wait: {days: 3}}
- three: {call: add, with: {n: 3}}
"""


def test_cancel_undoes_what_was_done_in_reverse_also_of_a_parked_run(tmp_path: Path) -> None:
    undone: list[Any] = []

    async def work() -> None:
        functions = {"undo": lambda given: undone.append((given["what"], given["was"]))}
        async with Service(tmp_path / "store", workflow("saga", UNDONE), functions=functions) as service:
            id = await service.flows.start("saga", None)
            await service.clock.advance(1)
            await until(lambda: service.flows.in_memory == 0)
            await service.flows.cancel(id)
            end = await service.end(id)
            assert end["state"] == "cancelled"
            assert undone == [("two", 3), ("one", 2)]
            with pytest.raises(ConflictError, match="has ended"):
                await service.flows.cancel(id)

    played(work)


def test_retry_goes_on_from_the_step_that_failed(tmp_path: Path) -> None:
    broken = [True]

    def shaky(given: Any) -> Any:
        if broken[0]:
            raise_communication()
        return given

    text = "do:\n- one: {call: add, with: {n: 1}}\n- two: {call: shaky, with: {x: '${ . }'}}\n"
    text += "- three: {set: {got: '${ . }'}}\n"

    async def work() -> None:
        async with Service(tmp_path / "store", workflow("w", text), functions={"shaky": shaky}) as service:
            id = await service.flows.start("w", None)
            assert (await service.end(id))["error"]["instance"] == "/do/1/two"
            await until(lambda: not service.flows._tasks)
            with pytest.raises(UsageError, match="no step `four`"):
                await service.flows.retry(id, "four")
            broken[0] = False
            assert await service.flows.retry(id, None) == "/do/1/two"
            assert (await service.end(id))["output"] == {"got": {"x": 2}}
            assert service.calls == [1]  # the first step was not done again
            attempts = [step.attempt for step in service.world.acts if step.key == "/do/1/two"]
            assert attempts == [1, 2]

    played(work)


def test_retry_with_the_definition_of_now_only_where_it_fits(tmp_path: Path) -> None:
    text = (
        "do:\n- one: {call: add, with: {n: 1}}\n- two: {raise: {error: {type: 'https://x.example/e', status: 500}}}\n"
    )

    async def work() -> None:
        async with Service(tmp_path / "store", workflow("w", text)) as service:
            id = await service.flows.start("w", None)
            await service.end(id)
            await until(lambda: not service.flows._tasks)
            service.flows.shelf.replace([workflow("w", text.replace("- one", "- uno"))])
            with pytest.raises(ConflictError, match="step /do/0 was `one`, is `uno`"):
                await service.flows.retry(id, None, latest=True)
            service.flows.shelf.replace([workflow("w", text.split("- two")[0] + "- two: {set: {fixed: '${ . }'}}\n")])
            await service.flows.retry(id, None, latest=True)
            assert (await service.end(id))["output"] == {"fixed": 2}

    played(work)


def test_a_child_is_begun_once_and_its_end_told(tmp_path: Path) -> None:
    parent = "do:\n- kid: {run: {workflow: {namespace: test, name: long, version: latest}}}\n"

    async def work() -> None:
        workflows = (workflow("long", LONG), workflow("parent", parent))
        async with Service(tmp_path / "store", *workflows) as service:
            service.world.child = service.flows.child  # type: ignore[method-assign]
            id = await service.flows.start("parent", None)
            await service.clock.advance(1)
        async with Service(tmp_path / "store", *workflows, now=START + 60) as service:
            service.world.child = service.flows.child  # type: ignore[method-assign]
            await service.clock.advance(31 * 86_400)
            assert (await service.end(id))["output"] == 3
            assert len(await service.flows.rows.all(service.clock.now())) == 2
            keys = service.store.keys
            assert len(await keys.scan("workflow/child/", service.clock.now())) == 1
            await service.clock.advance(15 * 86_400)
            await tidy(service.store, service.clock.now())
            left = [key for key, _ in await keys.scan("workflow/", service.clock.now())]
            assert [key for key in left if not key.startswith("workflow/definition/")] == []

    played(work)


def test_schedules_by_time_begin_each_run_once(tmp_path: Path) -> None:
    hourly = workflow("hourly", "schedule: {every: {hours: 1}}\ndo:\n- one: {call: add, with: {n: 1}}\n")
    after = workflow("after", "schedule: {after: {hours: 10}}\ndo:\n- two: {call: add, with: {n: 2}}\n")

    async def work() -> None:
        async with Service(tmp_path / "store", hourly, after) as service:
            await service.clock.advance(24 * 3600)
            assert service.calls.count(1) == 24
            assert service.calls.count(2) == 3  # at once, and ten hours after each end
        async with Service(tmp_path / "store", hourly, after, now=START + 30 * 3600) as service:
            await service.clock.advance(0)
            assert service.calls.count(1) == 1  # one for all that were missed

    played(work)


def test_events_begin_runs_and_reach_steps_that_listen(tmp_path: Path) -> None:
    on = workflow(
        "on", "schedule: {on: {one: {with: {type: paid}}}}\ndo:\n- one: {call: add, with: {n: '${ .[0].data }'}}\n"
    )
    both = workflow(
        "both",
        "schedule: {on: {all: [{with: {type: a}}, {with: {type: b}}]}}\n"
        "do:\n- x: {call: add, with: {n: '${ length }'}}\n",
    )
    hears = workflow("hears", "do:\n- h: {listen: {to: {one: {with: {type: news, data: '${ . > 3 }'}}}}}\n")

    async def work() -> None:
        async with Service(tmp_path / "store", on, both, hears) as service:
            id = await service.flows.start("hears", None)
            await service.clock.advance(0)
            for each in (event("paid", 7), event("paid", 7), event("a", 1), event("news", 1), event("b", 2)):
                await service.schedules.deliver(each)
                assert await service.flows.deliver(each) == []
            await service.clock.advance(0)
            assert sorted(service.calls) == [2, 7]  # the same event twice is one
            assert await service.flows.deliver(event("news", 5)) == [("hears", id)]
            assert (await service.end(id))["output"] == [5]

    played(work)


def test_a_run_is_taken_up_again_when_the_store_has_failed(tmp_path: Path) -> None:
    async def work() -> None:
        async with Service(tmp_path / "store", workflow("sum", ADD)) as service:
            fails = [True]
            add = service.world.functions["add"]

            def once(given: Any) -> Any:
                if fails.pop() if fails else False:
                    raise FnctlError("the store is gone")
                return add(given)

            service.world.functions = {"add": once}
            id = await service.flows.start("sum", {"n": 1})
            await service.clock.advance(2)
            assert (await service.end(id))["output"] == 3
            assert "is taken up again" in service.lines[0]

    played(work)


def raise_communication() -> None:
    from fnctl.openworkflow.fault import standard

    raise standard("communication", "down", status=503)

"""A process that is killed at any point of any kind of step: another one takes its executions up, and none of what was
completed is done again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fnctl.errors import FnctlError
from fnctl.store.port import Entry, StoreUnavailable, Value, Write
from fnctl.store.sqlite import SqliteStore
from fnctl.workflow.durable.execution import Execution, apply
from fnctl.workflow.log import read
from tests.contract.durable_calls import Context, durable, running
from tests.contract.gateway_stage import Stage, stage

T = TypeVar("T")
POINTS = 100  # more than there are


class Killed:
    """A store whose process ends at its `at`-th write: before it, or when it is on disk and nobody knows. After that
    nothing is heard of it. It is the logs and keys of another one, which lives on."""

    def __init__(self, store: SqliteStore, at: int, *, written: bool) -> None:
        self._store, self._at, self._written = store, at, written
        self.queues = store.queues
        self.logs = self.keys = self
        self.writes = 0
        self.begun = False  # writes count

    @property
    def dead(self) -> bool:
        return self.writes >= self._at

    async def _write(self, work: Callable[[], Awaitable[T]]) -> T:
        if self.dead:
            raise StoreUnavailable("the process is dead")
        self.writes += self.begun
        if not self.dead:
            return await work()
        if self._written:
            await work()
        raise StoreUnavailable("the process is dead")

    async def append(self, log: str, after: int, data: Sequence[bytes], at: float, keys: Sequence[Write] = ()) -> int:
        return await self._write(lambda: self._store.logs.append(log, after, data, at, keys))

    async def read(self, log: str, after: int = 0, limit: int = 1000) -> list[Entry]:
        return await self._store.logs.read(log, after, limit)

    async def get(self, key: str, now: float) -> Value | None:
        return await self._store.keys.get(key, now)

    async def set(self, key: str, data: bytes, now: float, **more: Any) -> int:
        return await self._write(lambda: self._store.keys.set(key, data, now, **more))

    async def delete(self, key: str, now: float, **more: Any) -> bool:
        return await self._write(lambda: self._store.keys.delete(key, now, **more))

    async def scan(self, prefix: str, now: float, limit: int = 1000) -> list[tuple[str, Value]]:
        return await self._store.keys.scan(prefix, now, limit)

    shared = False

    def listen(self, *_: object) -> None: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Ran(list[str]):
    """The steps that ran, which may not be those that were done."""

    def __init__(self) -> None:
        super().__init__()
        self.done: set[str] = set()

    def append(self, name: str) -> None:
        assert name not in self.done, f"{name} was completed, and ran again"
        super().append(name)


async def everything(context: Context) -> list[Any]:
    first = await context.step("first", 1)
    await context.wait(10)
    child = await context.invoke("child", first)
    asked = await context.callback()
    return [first, child, asked, await context.step("last", 2)]


async def child(context: Context) -> int:
    found = await context.step("inside", 10 + int(context.input))
    await context.wait(5)
    return int(found)


async def a_process(folder: Path, store: Any, ran: Ran, now: float) -> tuple[Execution | None, float]:
    """Begin the execution, or take it up, and serve it until it has ended or this process has. What is known then."""
    async with stage(folder, store=store, now=now) as made:
        await made.add(durable("child"), running(made, child, ran))
        await made.add(durable(), running(made, everything, ran))
        made.executions.refresh()
        if isinstance(store, Killed):
            store.begun = True
        with contextlib.suppress(FnctlError if isinstance(store, Killed) else KeyError):
            arn = await made.executions.start(made.functions()["app"], "{}", name="the-one")
            for _ in range(10):
                await made.executions.rest()
                state = await made.executions.find(arn)
                if state.ended:
                    return state, made.clock.now()
                await call_back(made, state)
                await made.clock.advance(11)
        return None, made.clock.now()


async def call_back(made: Stage, state: Execution) -> None:
    for operation in state.operations.values():
        if operation["Type"] == "CALLBACK" and operation["Status"] == "STARTED":
            await made.executions.call_back(operation["CallbackDetails"]["CallbackId"], "SUCCEEDED", result='"yes"')


async def look(store: SqliteStore, ran: Ran) -> None:
    """What is completed on disk, in any execution."""
    for prefix in ("run/open/", "run/ended/"):
        for key, _ in await store.keys.scan(prefix, 0.0):
            state = Execution(key.removeprefix(prefix))
            for event in await read(store.logs, state.id):
                apply(state, event)
            names = (
                each["Name"] for each in state.operations.values() if each["Status"] == "SUCCEEDED" and "Name" in each
            )
            ran.done.update(name for name in names if name in ("first", "inside", "last"))


def sound(events: list[dict[str, Any]]) -> None:
    """No attempt is opened twice, and none while another is open."""
    requests = [event["request"] for event in events if event["e"] == "invoked"]
    assert len(set(requests)) == len(requests)
    open_one = False
    for event in events:
        if event["e"] == "invoked":
            assert not open_one
            open_one = True
        elif event["e"] == "returned":
            open_one = False


@pytest.mark.parametrize("written", [False, True], ids=["before it is on disk", "when it is on disk"])
def test_killed_at_any_write_an_execution_goes_on_and_nothing_completed_is_done_again(
    tmp_path: Path, written: bool
) -> None:
    def made_folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    async def at(point: int) -> bool:
        """Whether there was such a point."""
        ran, store = Ran(), SqliteStore()
        await store.open()
        killed = Killed(store, point, written=written)
        _, now = await a_process(made_folder(f"{point}a"), killed, ran, 1e9)
        await look(store, ran)
        state, _ = await a_process(made_folder(f"{point}b"), _Shared(store), ran, now)
        assert state is not None
        assert (state.status, state.result) == ("SUCCEEDED", '[1, 11, "yes", 2]'), f"killed at write {point}"
        sound(await read(store.logs, state.id))
        await store.close()
        return killed.dead

    async def every() -> int:
        for point in range(1, POINTS):
            if not await at(point):
                return point
        raise AssertionError("there are more points")

    assert asyncio.run(every()) > 15


class _Shared:
    """A store that outlives who uses it."""

    def __init__(self, store: SqliteStore) -> None:
        self.queues, self.logs, self.keys = store.queues, store.logs, store.keys

    shared = False

    def listen(self, *_: object) -> None: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...

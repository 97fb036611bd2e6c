"""The services of a project: up when they have said that they answer, made anew when they ended, and what is told."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fnctl import catalog
from fnctl.engine.fake import FakeEngine
from fnctl.engine.port import LABEL_HOME, LABEL_PROJECT, LABEL_ROLE
from fnctl.errors import DeadlineExceeded, EngineError, FunctionError, LoadError, ServiceDown
from fnctl.model import Function, LivenessRule, Network, SandboxSpec, Service
from fnctl.services.networks import Networks
from fnctl.services.node import LINES_A_SECOND, Bounded
from fnctl.services.plan import Owner, Planned
from fnctl.services.ready import READY
from fnctl.services.services import Services
from fnctl.services.supervisor import Supervisor, process_ended
from tests.support.turning import past, until

STORE = Planned(Service("store", "data"), catalog.service_types()["data"], "image")
SHOP = Function("shop", Path("/shop"), "node24", "shop.buy", network=Network.SERVICES)
REFUSED = FunctionError("shop threw: connect ECONNREFUSED 10.0.0.9:80")


class Stage:
    """Services over the fake engine, and what they print."""

    def __init__(
        self, folder: Path, home: str = "h1", run: str = "run", ready_s: float = 0.0, planned: Planned = STORE
    ) -> None:
        self.planned = planned
        self.engine = FakeEngine()
        self.engine.add_image("image")
        self.folder = folder
        self.printed: list[tuple[str, str]] = []
        self.services = self.of(home, run, ready_s)

    def of(self, home: str, run: str, ready_s: float = 0.0) -> Services:
        owner = Owner("p", run, {LABEL_HOME: home, LABEL_PROJECT: "p"})
        networks = Networks(self.engine, owner)
        folder = self.folder / f"{home}-{run}"
        folder.mkdir()

        def line(service: str, sandbox: str, text: str) -> None:
            self.printed.append((service, text))

        return Services(self.engine, owner, networks, [self.planned], folder, line, ready_s)

    def sandbox(self) -> str:
        (sandbox,) = self.engine.sandboxes
        return sandbox

    def dial(self) -> socket.socket:
        """As the service does when it can be used."""
        mounts = self.engine.sandboxes[self.sandbox()].spec.mounts
        folder = next(source for source, inside, read_only in mounts if inside == "/fn" and read_only)
        client = socket.socket(socket.AF_UNIX)
        client.connect(f"{folder}/{READY}")
        return client


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    stage.services.start()
    yield stage
    stage.services.stop()
    assert stage.engine.list({}) == []
    assert list((tmp_path / "h1-run").iterdir()) == []


def test_one_that_has_dialled_is_up_and_has_an_address(stage: Stage) -> None:
    assert stage.services.addresses() == {"store": None}
    with stage.dial():
        stage.services.check()
    (row,) = stage.services.rows()
    assert (row["name"], row["type"], row["state"], row["restarts"], row["found"]) == ("store", "data", "up", 0, "")
    assert stage.services.addresses() == {"store": row["address"]}
    assert row["address"]


def test_one_that_runs_and_says_nothing_is_not(stage: Stage) -> None:
    with pytest.raises(EngineError, match="service store did not answer within 0 s") as caught:
        stage.services.check()
    assert "fnctl logs store" in (caught.value.hint or "")


def test_one_that_has_ended_is_told_as_such(stage: Stage) -> None:
    stage.engine.ends(stage.sandbox(), exit_code=1)
    with pytest.raises(EngineError, match=r"exited right after its start \(exit code 1\)"):
        stage.services.check()


def test_what_it_prints_is_passed_on_and_bounded(stage: Stage) -> None:
    stage.engine.prints(stage.sandbox(), "hello")
    assert stage.printed == [("store", "hello")]
    now = 0.0
    said: list[str] = []
    bounded = Bounded(said.append, lambda: now)
    for number in range(LINES_A_SECOND + 5):
        bounded.line(str(number))
    assert len(said) == LINES_A_SECOND
    now = 1.0
    bounded.line("later")
    assert said[LINES_A_SECOND:] == [f"… 5 lines dropped: more than {LINES_A_SECOND} a second", "later"]


# -- two homes in one folder -------------------------------------------------------------------------------------------


def test_two_homes_have_nothing_in_common(stage: Stage) -> None:
    theirs = stage.of("h2", "other")
    theirs.start()
    names = [box.name for box in stage.engine.list({})]
    volumes = [source for box in stage.engine.sandboxes.values() for source, *_ in box.spec.mounts if source[0] != "/"]
    networks = [tuple(box.networks) for box in stage.engine.sandboxes.values()]
    assert len(set(names)) == len(set(volumes)) == len(set(networks)) == 2
    theirs.stop()


def test_a_volume_from_before_homes_had_a_name_is_used_on_and_told(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.engine.ensure_volume("fnctl-p-store", {LABEL_PROJECT: "p"})
    stage.services.start()
    assert "fnctl-p-store" in {source for source, *_ in stage.engine.sandboxes[stage.sandbox()].spec.mounts}
    assert stage.services.notes == ["service store keeps using the volume fnctl-p-store, made by an earlier fnctl"]
    stage.services.stop()


def test_but_not_while_another_home_may_be_using_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.engine.ensure_volume("fnctl-p-store", {LABEL_PROJECT: "p"})
    labels = ((LABEL_PROJECT, "p"), (LABEL_ROLE, "service"), (LABEL_HOME, "h2"))
    stage.engine.create(SandboxSpec("theirs", "image", (), labels, 0, (("fnctl-p-store", "/data", False),)))
    stage.services.start()
    mounts = [box.spec.mounts for box in stage.engine.sandboxes.values() if box.spec.name != "theirs"]
    assert "fnctl-h1-p-store" in {source for source, *_ in mounts[0]}
    stage.services.stop()


# -- supervised --------------------------------------------------------------------------------------------------------

History = Callable[[Stage, "Watched"], Awaitable[None]]


class Watched:
    """A supervisor, and what it changed."""

    def __init__(self, stage: Stage) -> None:
        self.over = asyncio.Event()
        self.seen: list[dict[str, Any]] = []
        self.called: list[str] = []
        self.supervisor = Supervisor(
            stage.services, self.call, lambda: self.seen.extend(stage.services.rows()), (0.0,), self.ended
        )

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        self.called.append(function.__name__)
        return await asyncio.get_running_loop().run_in_executor(None, lambda: function(*args))

    async def ended(self, pid: int) -> None:
        assert pid
        await self.over.wait()
        self.over.clear()


def supervised(folder: Path, history: History, planned: Planned = STORE) -> None:
    async def story() -> None:
        stage = Stage(folder, ready_s=5.0, planned=planned)
        stage.services.start()
        with stage.dial():
            await asyncio.to_thread(stage.services.check)
        watched = Watched(stage)
        task = asyncio.create_task(watched.supervisor.run())
        try:
            await history(stage, watched)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(stage.services.stop)
        assert stage.engine.list({}) == []

    uvloop.run(story())


async def back(stage: Stage, old: str) -> None:
    await until(lambda: bool(stage.engine.sandboxes) and stage.sandbox() != old)
    with stage.dial():
        await until(lambda: stage.services.rows()[0]["state"] == "up")


def test_one_that_ends_is_made_anew(tmp_path: Path) -> None:
    async def history(stage: Stage, watched: Watched) -> None:
        old, address = stage.sandbox(), stage.services.addresses()["store"]
        stage.engine.prints(old, "last words")
        stage.engine.ends(old, exit_code=137)
        watched.over.set()
        await back(stage, old)
        assert [(row["state"], row["address"] != address) for row in watched.seen] == [("down", False), ("up", True)]
        (row,) = stage.services.rows()
        assert row["restarts"] == 1
        stage.engine.prints(stage.sandbox(), "first words")
        assert stage.printed == [("store", "last words"), ("store", "first words")]

    supervised(tmp_path, history)


def test_an_engine_that_is_down_is_waited_for(tmp_path: Path) -> None:
    async def history(stage: Stage, watched: Watched) -> None:
        old = stage.sandbox()
        stage.engine.fail("inspect", EngineError("no answer"))
        stage.engine.fail("destroy", EngineError("no answer"), times=3)
        stage.engine.ends(old)
        watched.over.set()
        await until(lambda: stage.services.rows()[0]["found"] == "no answer")
        assert stage.services.addresses() == {"store": None}
        await back(stage, old)

    supervised(tmp_path, history)


def test_the_end_of_a_process_that_is_no_child_is_seen() -> None:
    async def story(process: subprocess.Popen[bytes]) -> None:
        waiting = asyncio.create_task(process_ended(process.pid))
        process.kill()
        await asyncio.wait_for(waiting, 10)
        process.wait()
        await asyncio.wait_for(process_ended(process.pid), 10)

    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        uvloop.run(story(process))


# -- what a call is told -----------------------------------------------------------------------------------------------


def test_a_failed_connection_is_told_as_the_services_fault_while_it_is_down(stage: Stage) -> None:
    with stage.dial():
        stage.services.check()
    (node,) = stage.services.nodes
    began = node.since + 1.0
    assert stage.services.explained(SHOP, REFUSED, began) is REFUSED
    node.is_down("it exited with code 137")
    for error in (
        REFUSED,
        FunctionError("shop threw", detail="urllib.error.URLError: [Errno 111] Connection refused"),
        LoadError("shop did not load: fetch failed"),
        DeadlineExceeded("shop did not answer within 30 s"),
    ):
        told = stage.services.explained(SHOP, error, began)
        assert isinstance(told, ServiceDown)
        assert told.message.startswith("shop failed while the service store was down: it exited with code 137")
        assert error.message in told.message
        assert (told.http_status, told.code, told.retry_after_s) == (503, "service_down", 1)
        assert "fnctl logs store" in (told.hint or "")


def test_what_has_another_reason_is_told_as_it_is(stage: Stage) -> None:
    (node,) = stage.services.nodes
    node.is_down("it exited with code 1")
    own = FunctionError("shop threw: TypeError: x is not a function")
    assert stage.services.explained(SHOP, own, 0.0) is own
    queue = DeadlineExceeded("no instance was free", code="queue_timeout")
    assert stage.services.explained(SHOP, queue, 0.0) is queue
    alone = Function("alone", Path("/alone"), "node24", "alone.run")
    assert stage.services.explained(alone, REFUSED, 0.0) is REFUSED


def test_services_stand_still_all_or_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.services.start()
    with pytest.raises(EngineError, match="cannot be held"):
        stage.services.hold()
    assert stage.engine.paused == set(), "one that is only starting could write"
    stage.services.nodes[0].is_up()
    stage.services.hold()
    assert stage.engine.paused == {stage.sandbox()}
    stage.services.release()
    stage.services.release()
    assert stage.engine.paused == set()
    stage.engine.fail("pause", EngineError("the engine is busy"))
    with pytest.raises(EngineError, match="busy"):
        stage.services.hold()
    assert not stage.services.nodes[0].held
    stage.services.stop()


def test_one_that_is_held_is_not_asked_whether_it_hangs(tmp_path: Path) -> None:
    looks = LivenessRule(interval_s=0.005, failures=3)

    async def history(stage: Stage, watched: Watched) -> None:
        await until(lambda: watched.called.count("look") > 3)
        await watched.call(stage.services.hold)
        await until(lambda: watched.called[-1] == "hold")
        await past(10 * looks.interval_s)  # one look may have begun before
        held = watched.called[watched.called.index("hold") :]
        assert held.count("look") <= 1
        await watched.call(stage.services.release)
        await until(lambda: watched.called[-1] == "look")

    supervised(tmp_path, history, replace(STORE, kind=replace(STORE.kind, liveness=looks)))

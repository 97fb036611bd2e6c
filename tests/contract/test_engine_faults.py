"""Docker behind a line that fails: answers lost, calls that hang, streams cut. Nothing may be left behind."""

from __future__ import annotations

import os
import queue
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fnctl.engine.connection import endpoint
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_ROLE
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec
from tests.faults.line import Fault, Line

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
WAIT_S = 20.0
SHORT_S = 5.0  # the calls that are no fault have to be done in it, on a busy machine too


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path / "e.sock", endpoint(os.environ).host.removeprefix("unix://"))
    yield line
    line.close()


@pytest.fixture
def engine(line: Line, tmp_path: Path) -> Iterator[DockerEngine]:
    engine = DockerEngine({"DOCKER_HOST": f"unix://{tmp_path}/e.sock"}, timeout_s=SHORT_S)
    yield engine
    engine.close()


@pytest.fixture
def direct() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def spec(direct: DockerEngine) -> Iterator[SandboxSpec]:
    spec = SandboxSpec(
        name=f"fnctl-test-{secrets.token_hex(4)}",
        image=IMAGE,
        command=("/bin/sleep", "300"),
        labels=((LABEL, "1"), (LABEL_ROLE, "test")),
        uid=61005,
        mounts=(),
    )
    yield spec
    direct.destroy(spec.name)


@pytest.mark.parametrize(("call", "kind"), [("/containers/create", "drop"), ("/start", "drop"), ("/start", "hang")])
def test_a_sandbox_whose_answer_is_lost_is_removed(
    engine: DockerEngine, direct: DockerEngine, line: Line, spec: SandboxSpec, call: str, kind: str
) -> None:
    fault = Fault(call.encode(), kind)
    line.faults.append(fault)
    with pytest.raises(EngineError):
        engine.create(spec)

    assert fault.met.is_set()
    assert direct.inspect(spec.name) is None


def test_a_hanging_call_harms_no_later_one(engine: DockerEngine, line: Line, spec: SandboxSpec) -> None:
    line.faults.append(Fault(b"/containers/create", "hang"))
    with pytest.raises(EngineError, match=f"within {SHORT_S:g} s"):
        engine.create(spec)

    info = engine.inspect(engine.create(spec))
    assert info is not None and info.running


def test_a_cut_event_stream_says_so_and_goes_on(
    engine: DockerEngine, direct: DockerEngine, line: Line, spec: SandboxSpec
) -> None:
    heard: queue.Queue[str] = queue.Queue()
    with closing(engine.events(lambda event: heard.put(event.sandbox), lambda: heard.put("gap"))):
        assert heard.get(timeout=WAIT_S) == "gap"
        line.cut()
        while heard.get(timeout=WAIT_S) != "gap":
            pass

        sandbox = direct.create(spec)
        direct.destroy(sandbox)
        while heard.get(timeout=WAIT_S) != sandbox:
            pass

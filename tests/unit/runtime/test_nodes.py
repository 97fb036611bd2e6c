"""The services of a project: up when they have said that they answer, and what is told of those that do not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl.engine.fake import FakeEngine
from fnctl.errors import EngineError
from fnctl.model import Project, Service
from fnctl.runtime.nodes import READY, Nodes


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.add_image("image")
    return engine


@pytest.fixture
def nodes(engine: FakeEngine, tmp_path: Path) -> Iterator[Nodes]:
    project = Project(tmp_path, "p", (), (Service("store", "data"),))
    nodes = Nodes(engine, project, "image", "run", tmp_path, ready_s=0.0)
    nodes.start()
    yield nodes
    nodes.stop()
    assert engine.list({}) == []
    assert list(tmp_path.iterdir()) == []


def test_one_that_has_dialled_is_up(nodes: Nodes, engine: FakeEngine) -> None:
    (sandbox,) = engine.sandboxes.values()
    folder = next(source for source, inside, read_only in sandbox.spec.mounts if inside == "/fn" and read_only)
    with socket.socket(socket.AF_UNIX) as service:
        service.connect(f"{folder}/{READY}")
        nodes.check()


def test_one_that_runs_and_says_nothing_is_not(nodes: Nodes) -> None:
    with pytest.raises(EngineError, match="the service store does not answer within 0 s") as caught:
        nodes.check()
    assert "docker logs" in (caught.value.hint or "")


def test_one_that_has_ended_is_told_as_such(nodes: Nodes, engine: FakeEngine) -> None:
    (sandbox,) = engine.sandboxes
    engine.ends(sandbox, exit_code=1)
    with pytest.raises(EngineError, match="ended right after it was started"):
        nodes.check()

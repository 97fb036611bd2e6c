"""A sandbox's own cgroup and events, on a real engine: what the kernel says of memory, CPU and kills."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from fnctl.engine.base import LABEL, LABEL_ROLE, Event
from fnctl.engine.cgroup import Cgroup
from fnctl.engine.docker import DockerEngine
from fnctl.model import SandboxSpec

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
WAIT_S = 20.0
# PID 1 outlives its child, as the supervisor does.
EATER = """
my $pid = fork; if (!$pid) { my @a; push @a, 'x' x 1048576 while 1 } waitpid($pid, 0); sleep 300;
"""


@pytest.fixture
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    yield engine
    engine.close()


@pytest.fixture
def spec(engine: DockerEngine) -> Iterator[SandboxSpec]:
    spec = SandboxSpec(
        name=f"fnctl-test-{secrets.token_hex(4)}",
        image=IMAGE,
        command=("/usr/bin/perl", "-e", EATER),
        labels=((LABEL, "1"), (LABEL_ROLE, "test")),
        uid=61003,
        mounts=(),
        memory_mb=32,
    )
    yield spec
    engine.destroy(spec.name)


def test_a_child_killed_for_memory_shows_in_the_cgroup_and_as_an_event(engine: DockerEngine, spec: SandboxSpec) -> None:
    heard: queue.Queue[Event] = queue.Queue()
    opened = threading.Event()
    with closing(engine.events(heard.put, opened.set)):
        assert opened.wait(WAIT_S)
        sandbox = engine.create(spec)
        while (event := heard.get(timeout=WAIT_S)).action != "oom" or event.sandbox != sandbox:
            pass

    info = engine.inspect(sandbox)
    assert info is not None and info.running  # PID 1 is alive: only the cgroup and the event tell
    cgroup = Cgroup.of(info.pid)
    assert cgroup is not None
    assert cgroup.oom_kills() == 1
    assert 0 < cgroup.memory_mb() <= 32
    peak = cgroup.peak_memory_mb()
    assert peak is None or 30 <= peak <= 32
    cpu_ms = cgroup.cpu_ms()
    assert cpu_ms > 0

    engine.destroy(sandbox)
    assert cgroup.oom_kills() == 1  # the last reading stands
    assert cgroup.cpu_ms() >= cpu_ms
    cgroup.close()
    cgroup.close()


def test_a_process_outside_any_container_has_none(engine: DockerEngine) -> None:
    assert Cgroup.of(1) is None
    assert Cgroup.of(2**22 + 1) is None

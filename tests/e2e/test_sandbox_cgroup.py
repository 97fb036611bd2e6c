"""A sandbox's own cgroup and events, on a real engine: what the kernel says of memory, CPU and kills."""

from __future__ import annotations

import contextlib
import queue
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.engine.cgroup import Cgroup, locate, placed
from fnctl.engine.docker import DockerEngine
from fnctl.engine.limits import set_limits
from fnctl.engine.port import LABEL, LABEL_ROLE, Event
from fnctl.model import SandboxSpec
from tests.support.waiting import until

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
WAIT_S = 20.0
TRIES = 3  # a busy engine drops such an event now and then
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


def ran_out(heard: queue.Queue[Event], sandbox: str) -> bool:
    """Whether the engine says so in time."""
    until_s = time.monotonic() + WAIT_S
    with contextlib.suppress(queue.Empty):
        while True:
            event = heard.get(timeout=max(0.0, until_s - time.monotonic()))
            if (event.action, event.sandbox) == ("oom", sandbox):
                return True
    return False


def test_a_child_killed_for_memory_shows_in_the_cgroup_and_as_an_event(engine: DockerEngine, spec: SandboxSpec) -> None:
    heard: queue.Queue[Event] = queue.Queue()
    opened = threading.Event()
    with closing(engine.events(heard.put, opened.set)):
        assert opened.wait(WAIT_S)
        for _ in range(TRIES):
            sandbox = engine.create(spec)
            if ran_out(heard, sandbox):
                break
            engine.destroy(sandbox)
        else:
            raise AssertionError("the engine told of no sandbox whose memory ran out")

    info = engine.inspect(sandbox)
    assert info is not None and info.running  # PID 1 is alive: only the cgroup and the event tell
    cgroup = Cgroup.of(info.pid)
    assert cgroup is not None
    # cgroup v1 tells that memory ran out before it has chosen whom to kill
    until(lambda: cgroup.oom_kills() == 1, "the kill")
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


def test_limits_are_set_in_the_cgroup_itself_in_both_directions(engine: DockerEngine, spec: SandboxSpec) -> None:
    sandbox = engine.create(replace(spec, command=("/bin/sleep", "300")))
    info = engine.inspect(sandbox)
    assert info is not None
    for memory_mb in (96, 48):
        assert set_limits(info.pid, memory_mb=memory_mb, cpus=0.5)
        groups, mounts = Path(f"/proc/{info.pid}/cgroup").read_text(), Path("/proc/self/mountinfo").read_text()
        found = locate(groups, mounts)
        assert found is not None
        memory, _, version = found
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        assert int((memory / name).read_text()) == memory_mb * 2**20
        limited = memory if version == 2 else placed(groups, mounts, "cpu")
        assert limited is not None
        quota = (limited / ("cpu.max" if version == 2 else "cpu.cfs_quota_us")).read_text().split()[0]
        assert quota == "50000"
    engine.update(sandbox, memory_mb=64)  # the engine still can, too
    assert int((memory / name).read_text()) == 64 * 2**20

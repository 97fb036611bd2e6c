"""How `fnctl run` ends: asked to, under load, killed, twice on one project, or before it began."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Desk, Running
from tests.support.command import docker
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
functions:
  quick: {path: node, runtime: node24, handler: harmless.handler, idle_timeout: 1s, keep: 0s}
  other: {path: python, runtime: python3.13, handler: harmless.handler, idle_timeout: 1s, keep: 0s}
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Desk]:
    with rig.desk(apart=True) as made:
        yield made


@pytest.fixture
def desk(place: Desk) -> Desk:
    """The same for all tests, so that one of them alone waits for the builds. Nothing runs when it is given out."""
    (place.project / "fnctl.yaml").write_text(PROJECT)
    assert place.containers() == {}
    return place


def test_idle_instances_go_and_the_pool_is_full_again(desk: Desk) -> None:
    with rig.running(desk, warm=2) as running:
        for function in ("quick", "other"):
            assert running.call(function).headers["Server-Timing"].startswith("start;desc=")
        until(lambda: len(desk.containers()) >= 5, "the pool to be refilled beside what was taken")
        until(lambda: all(row["function"] is None for row in running.status()["instances"]), "zero instances")
        running.audit()
        assert len(desk.containers()) == 4  # two booted, two behind them
        running.stop()


def test_sigterm_under_load_drains(desk: Desk) -> None:
    """What was accepted is answered; what comes later finds nobody, or is told to go elsewhere."""
    with rig.running(desk, warm=1) as running:
        running.call("quick")
        verdicts: Counter[object] = Counter()
        threads = [threading.Thread(target=ask_on, args=(running, verdicts)) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: verdicts[200] > 100, "some load")
        running.signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert set(verdicts) == {200, "refused"}, verdicts
        assert running.process.wait(30) == 0, running.said.read_text()
    desk.nothing_left()


def ask_on(running: Running, verdicts: Counter[object]) -> None:
    """Call until nobody listens. A connection that was never accepted is no failed request."""
    while True:
        try:
            verdicts[running.call("quick", "/?ms=20").status] += 1
        except ConnectionRefusedError:
            verdicts["refused"] += 1
            return
        except OSError as error:
            verdicts[f"{type(error).__name__}"] += 1
            return


def test_a_second_signal_cuts_short_what_runs(desk: Desk) -> None:
    with rig.running(desk, warm=1) as running, socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /quick/?ms=25000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: running.status()["in_flight"] == 1, "a long call")
        running.signal(signal.SIGINT)
        until(lambda: running.status()["draining"], "the drain")
        running.signal(signal.SIGINT)
        assert running.process.wait(15) == 0
    desk.nothing_left()


def test_killed_and_never_started_again_its_containers_go(desk: Desk) -> None:
    (desk.project / "fnctl.yaml").write_text(PROJECT.replace("idle_timeout: 1s", "idle_timeout: 1h"))
    with rig.running(desk, warm=2) as running:
        running.call("quick")
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(b"GET /other/?ms=25000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: any(row["in_flight"] for row in running.status()["instances"]), "a busy instance")
            until(lambda: running.pool_full(running.status()), "the pool to be full again")
            assert len(desk.containers()) == 6
            outside = (desk.state / "slots").resolve()
            assert list(outside.iterdir())
            running.signal(signal.SIGKILL)
            running.process.wait(5)
        until(lambda: not desk.containers(), "the containers to go", 30)
        until(lambda: not outside.exists(), "the folder of its slots to go", 30)


def test_killed_while_it_makes_containers_none_is_left(desk: Desk) -> None:
    """Nor one that was made and not started yet, and so has nothing in it that could end it; nor a service."""
    (desk.project / "fnctl.yaml").write_text(PROJECT + "services:\n  data: {type: data}\n")
    for wanted in (1, 2, 3):
        with rig.starting(desk, warm=8) as started:
            until(partial(made, desk, started, wanted), f"{wanted} containers", 120)
            started.signal(signal.SIGKILL)
            started.process.wait(5)
        until(lambda: not desk.containers(), "the containers to go", 30)
    home = (desk.home / "id").read_text()
    with rig.running(desk, warm=1) as again:
        again.audit()
        again.stop()
    assert docker("network", "ls", "-q", "--filter", f"label=dev.fnctl.home={home}") == ""
    docker("volume", "rm", f"fnctl-{home}-{desk.state.name}-data")


def made(desk: Desk, started: Running, count: int) -> bool:
    assert started.process.poll() is None, started.said.read_text()
    return sum(role in ("sandbox", "service") for role in desk.containers().values()) >= count


def test_killed_and_started_again_it_starts_clean(desk: Desk) -> None:
    with rig.running(desk, warm=2) as running:
        running.call("quick")
        running.signal(signal.SIGKILL)
        running.process.wait(5)
    old = set(desk.containers())
    with rig.running(desk, warm=2) as again:
        assert again.call("quick").status == 200
        assert not old & set(desk.containers())
        again.audit()
        again.stop()


def test_a_second_run_of_one_project_names_the_first(desk: Desk) -> None:
    with rig.running(desk, warm=1) as running:
        before = desk.containers()
        second = desk.fnctl("run", "--port", "0", timeout_s=20)
        assert second.returncode == 1
        assert f"pid {running.process.pid}" in second.stderr
        assert "hint:" in second.stderr
        same_port = desk.fnctl("run", "--port", str(running.port), timeout_s=20)
        assert f"this project is already running (pid {running.process.pid})" in same_port.stderr
        with rig.desk() as other:
            elsewhere = other.fnctl("run", "--port", str(running.port), timeout_s=20)
            assert f"in use by `fnctl run` of {desk.project} (pid {running.process.pid})" in elsewhere.stderr
            assert f"hint: `fnctl stop -f {desk.project}`" in elsewhere.stderr
            stranger = replace(desk, home=other.home)
            for verb in ("ps", "stop", "logs", "reload"):
                told = stranger.fnctl(verb, timeout_s=20)
                assert told.returncode in (1, 2)
                assert f"FNCTL_HOME={desk.home} (pid {running.process.pid})" in told.stderr, told.stderr
        assert desk.containers() == before
        running.stop()


def test_a_port_in_use_is_told_before_anything_is_made(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = desk.fnctl("run", "--port", f"{port}", timeout_s=20)
    assert ended.returncode == 1
    assert f"{port}" in ended.stderr
    assert "hint:" in ended.stderr
    assert desk.containers() == {}


def test_too_few_file_descriptors_are_told_before_anything_is_made(desk: Desk) -> None:
    command = desk.command("run", "--port", "0")
    command["args"] = ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *command["args"]]
    ended = subprocess.run(**command, capture_output=True, timeout=20)
    assert ended.returncode == 1
    assert "open file limit is 100" in ended.stderr
    assert "hint:" in ended.stderr
    assert desk.containers() == {}


def test_an_interrupt_while_it_starts_leaves_nothing(desk: Desk) -> None:
    """Again and again, ever later in the start."""
    for after in ("start", "container"):
        with rig.starting(desk, warm=3) as process:
            until(partial(reached, desk, after), f"the first {after}", 60)
            process.process.send_signal(signal.SIGINT)
            assert process.process.wait(30) == 130, process.said.read_text()
        desk.nothing_left()


def reached(desk: Desk, stage: str) -> bool:
    if stage == "start":
        return "pre-warmed" in (desk.project.parent / "said").read_text()
    return bool(desk.containers())


def test_running_without_a_project_file_serves_what_the_code_says(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text(
        "require('http').createServer((q, r) => r.end('plain')).listen(process.env.PORT || 3000)\n"
    )
    (tmp_path / "package.json").write_text('{"name": "plain", "main": "index.js"}\n')
    with rig.desk(tmp_path) as desk, rig.running(desk, warm=1) as running:
        (function,) = running.status()["functions"]
        assert running.call(function["name"]).body == b"plain"
        running.stop()


def test_containers_carry_labels_that_prune_knows(desk: Desk) -> None:
    with rig.running(desk, warm=1) as running:
        name, *_ = desk.containers()
        labels = docker("inspect", "--format", "{{json .Config.Labels}}", name)
        assert '"dev.fnctl' in labels
        assert desk.state.name in labels
        running.stop()

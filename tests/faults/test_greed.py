"""Functions that take all there is of one thing: it runs out for them alone, and the next call works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fnctl.records.journal import FILES, MAX_BYTES
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


@pytest.mark.parametrize("function", ["oom", "oom-node", "oom-once"])
def test_memory(fnctl: Running, function: str) -> None:
    for _ in range(2):
        answer = fnctl.call(function)
        assert (answer.status, answer.error["code"]) == (502, "oom"), answer.body
        assert "MB" in answer.error["message"]
        assert "memory" in answer.error["hint"]
    fnctl.audit()
    assert any(row["kind"] == "line" and row["text"] == "taking memory" for row in fnctl.desk.lines(function))
    verdicts = [row["verdict"] for row in fnctl.desk.lines(function) if row["kind"] == "receipt"]
    assert verdicts == ["oom", "oom"]


@pytest.mark.parametrize("function", ["fork-bomb", "fork-bomb-once"])
def test_processes(fnctl: Running, function: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        bomb = pool.submit(fnctl.call, function)
        until(lambda: fnctl.status()["in_flight"] == 1, "the bomb to go off")
        assert fnctl.call("harmless").status == 200
        assert fnctl.call("harmless-python").status == 200
        answer = bomb.result()
    assert answer.status in (502, 504), answer.body
    fnctl.audit()
    assert fnctl.instances(function) == []


def test_file_descriptors(fnctl: Running) -> None:
    for _ in range(2):
        answer = fnctl.call("descriptors")
        assert answer.json["refused"] == "EMFILE"
        assert answer.json["had"] <= 1024


def test_what_the_kernel_counts_by_user(fnctl: Running) -> None:
    """The first takes its whole share of inotify instances, and keeps it. Another user has a share of its own."""
    first = fnctl.call("watchers").json
    second = fnctl.call("watchers-too").json
    assert first["refused"] == second["refused"] == "EMFILE"
    assert first["had"] > 0
    assert second["had"] == first["had"]


def test_temporary_files_and_shared_memory(fnctl: Running) -> None:
    full = {"bytes": "ENOSPC", "files": "ENOSPC"}
    assert fnctl.call("disk").json == {"/tmp": full, "/dev/shm": full}
    assert fnctl.call("harmless-python").status == 200


def test_logs_are_bounded_on_the_host(fnctl: Running) -> None:
    answer = fnctl.call("flood", "/?lines=30000", timeout_s=120)
    assert (answer.status, answer.body) == (200, b"said it all")
    fnctl.audit()
    texts = [row["text"] for row in fnctl.desk.lines("flood") if row["kind"] == "line"]
    files = list((fnctl.desk.state / "logs").glob("flood.jsonl*"))
    assert sum(path.stat().st_size for path in files) <= FILES * MAX_BYTES + (1 << 20)
    assert max(len(text) for text in texts) < 20_000


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def test_connections_to_the_host(fnctl: Running) -> None:
    """Some thousand of them were held once: those of a few functions took all descriptors that the gateway had."""
    pid = fnctl.process.pid
    before = descriptors(pid)
    with ThreadPoolExecutor(1) as pool:
        crowd = pool.submit(fnctl.call, "crowd")
        most = 0
        while not crowd.done():
            assert fnctl.call("harmless").status == 200
            most = max(most, descriptors(pid))
        answer = crowd.result()
    assert (answer.status, answer.error["code"]) == (502, "protocol"), answer.body
    assert most - before < 150  # an instance's own, pooled ones to come, and the bound of one sandbox


def test_empty_lines_without_end_cost_the_host_no_memory(fnctl: Running) -> None:
    """What they cost its neighbours in time is `noisy-neighbour` in `make bench`."""
    pid = fnctl.process.pid
    before = memory_mb(pid)
    with ThreadPoolExecutor(1) as pool:
        flood = pool.submit(fnctl.call, "empty-lines")
        most = 0.0
        while not flood.done():
            assert fnctl.call("harmless").status == 200
            most = max(most, memory_mb(pid))
        answer = flood.result()
    assert (answer.status, answer.error["code"]) == (504, "timeout"), answer.body
    assert most - before < 48, "what waits for the disk, and little more"


def test_a_line_of_10_mb_is_cut_with_a_marker(fnctl: Running) -> None:
    fnctl.call("flood", "/?lines=1")
    fnctl.audit()
    lines = [row["text"] for row in fnctl.desk.lines("flood") if row["kind"] == "line"]
    cut = [text for text in lines if text.startswith("xxxx")]
    assert "cut" in cut[-1]
    assert len(cut[-1]) < 20_000

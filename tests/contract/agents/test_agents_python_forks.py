"""An ephemeral Python function as a fork of its agent: what is not forked, and what a child cannot do."""

from __future__ import annotations

import pytest

from tests.contract.agents.conftest import Start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "python3.13"

OBSTACLES = {
    "a thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
    "a process": "import subprocess\nkept = subprocess.Popen(['sleep', '1000'])\n",
    "a socket": "import socket\nkept = socket.socket(socket.AF_UNIX)\n",
    "a file": "kept = open(__file__)\n",
    "shared memory": "import mmap\nkept = mmap.mmap(-1, 4096)\n",
    "a file in /tmp": "open('/tmp/cache', 'w').close()\n",
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_children_would_share_is_not_forked(start: Start, what: str) -> None:
    code = OBSTACLES[what] + "n = 0\ndef handler(event):\n    global n\n    n += 1\n    return {'n': n}\n"
    host = start(RUNTIME, {"f.py": code})
    for _ in range(2):
        assert host.load("f.handler", model="ephemeral")["fork"] is False
        assert host.request().json == {"n": 1}
        assert host.supervisor.expect("exited")["code"] == 0
        host.boot()


def test_a_child_cannot_reach_into_the_template(start: Start) -> None:
    code = """
import os, random, uuid

def handler(event):
    parent = os.getppid()
    refused = []
    for name in ("mem", "fd", "environ", "maps", "root"):
        try:
            path = f"/proc/{parent}/{name}"
            os.listdir(path) if name in ("fd", "root") else open(path, "r+b" if name == "mem" else "rb").read(1)
        except OSError:
            refused.append(name)
    return {"refused": refused, "own": len(os.listdir("/proc/self/fd")) > 0, "random": random.random(),
            "uuid": str(uuid.uuid4()), "fds": sorted(map(int, os.listdir("/proc/self/fd")))}
"""
    host = start(RUNTIME, {"f.py": code})
    assert host.load("f.handler", model="ephemeral")["fork"] is True
    seen = []
    for _ in range(3):
        seen.append(host.request().json)
        host.next_connection()
        host.agent.expect("done")
    for one in seen:
        assert one["refused"] == ["mem", "fd", "environ", "maps", "root"]
        assert one["own"] is True
        assert len(one["fds"]) <= 5, "0, 1, 2, the connection, and the one that lists"
    assert len({one["random"] for one in seen}) == 3
    assert len({one["uuid"] for one in seen}) == 3


def test_a_child_that_forks_without_end_is_cleaned(start: Start) -> None:
    code = """
import os

def handler(event):
    if os.fork() == 0:
        while True:
            try:
                os.fork()
            except OSError:
                pass
    return "bomb"
"""
    host = start(RUNTIME, {"f.py": code})
    host.load("f.handler", model="ephemeral")
    for _ in range(2):
        assert host.request().body == b"bomb"
        host.next_connection()
        host.agent.expect("done")


def test_what_serves_once_is_no_template(start: Start) -> None:
    host = start(RUNTIME, {"f.py": "def handler(event, context):\n    return repr(context)"})
    assert host.load("f.handler", model="ephemeral", once=True)["fork"] is False
    assert host.request().body.decode().startswith("Context(id='")
    assert host.supervisor.expect("exited")["code"] == 0

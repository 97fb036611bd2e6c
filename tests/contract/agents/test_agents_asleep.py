"""What an agent does when no request has come for long: its process is collected, and serves as before."""

from __future__ import annotations

import pytest

from tests.contract.agents.conftest import Start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PYTHON_EVENT = """import gc, weakref

class Node: pass

def dropped():
    node = Node()
    node.itself = node
    return weakref.ref(node)

{before}
ref, calls = dropped(), 0

def handler(event, context):
    global calls
    calls += 1
    return {{"collected": ref() is None, "calls": calls}}
"""
PYTHON_ASGI = """import gc, json, weakref

class Node: pass

def dropped():
    node = Node()
    node.itself = node
    return weakref.ref(node)

ref, calls = dropped(), 0

async def app(scope, receive, send):
    global calls
    if scope["type"] != "http":
        return
    calls += 1
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = json.dumps({"collected": ref() is None, "calls": calls}).encode()
    await send({"type": "http.response.body", "body": body})
"""
NODE = """
const ref = new WeakRef({ large: new Array(1000).fill(0) });
let calls = 0;
exports.handler = async () => ({ collected: ref.deref() === undefined, calls: ++calls, gc: typeof globalThis.gc });
"""
PROGRAMS = {
    "node": ("node24", "f.js", NODE, "f.handler"),
    "python": ("python3.13", "f.py", PYTHON_EVENT.format(before=""), "f.handler"),
    "python asgi": ("python3.13", "f.py", PYTHON_ASGI, "f.app"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_asleep_it_is_collected_and_serves_as_before(start: Start, name: str) -> None:
    runtime, file, code, handler = PROGRAMS[name]
    host = start(runtime, {file: code})
    host.load(handler)
    assert host.request().json["calls"] == 1
    host.agent.send({"op": "sleep"})
    seen = [host.request().json]
    while not seen[-1]["collected"] and len(seen) < 1000:
        seen.append(host.request().json)
    assert seen[-1]["collected"]
    assert [one["calls"] for one in seen] == list(range(2, len(seen) + 2))
    assert seen[-1].get("gc", "undefined") == "undefined"  # the collector is not the user's
    second = host.dial(1)[0]  # the agent hears what the host says afterwards
    assert host.request(on=second).status == 200


def test_who_has_turned_pythons_collector_off_keeps_what_it_would_collect(start: Start) -> None:
    host = start("python3.13", {"f.py": PYTHON_EVENT.format(before="gc.disable()")})
    host.load("f.handler")
    host.agent.send({"op": "sleep"})
    second = host.dial(1)[0]  # said after it, and so heard after it
    assert host.request(on=second).json == {"collected": False, "calls": 1}


@pytest.mark.parametrize("runtime", ["node24", "python3.13"])
def test_an_agent_that_forks_goes_on_forking(start: Start, runtime: str) -> None:
    code = {"f.js": "exports.handler = async () => 'a'", "f.py": "def handler(event, context):\n    return 'a'\n"}
    host = start(runtime, code, template=True)
    assert host.load("f.handler", model="ephemeral")["fork"]
    for _ in range(3):
        host.agent.send({"op": "sleep"})
        assert host.request().status == 200
        host.agent.expect("done")
        host.next_connection()

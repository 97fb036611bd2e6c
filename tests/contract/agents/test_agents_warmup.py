"""`warmup`: a request that the function answers before it has loaded, in each process model and kind of program."""

from __future__ import annotations

import json

import pytest

from tests.contract.agents.conftest import Start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

NODE_EVENT = """
const seen = [];
exports.handler = async (event, context) => {
  seen.push(`${event.method} ${event.path}?${event.query.x} ${context.id.length > 0}`);
  return { statusCode: event.path === '/bad' ? 503 : 200, body: JSON.stringify(seen) };
};
"""
NODE_APP = """
const seen = [];
require('http').createServer((request, response) => {
  seen.push(`${request.method} ${request.url.replace('x=', '')} true`);
  response.end(JSON.stringify(seen));
}).listen(process.env.PORT);
"""
PYTHON_EVENT = """import json
seen = []

def handler(event, context):
    seen.append(f"{event['method']} {event['path']}?{event['query'].get('x')} {bool(context.id)}")
    return {"statusCode": 503 if event["path"] == "/bad" else 200, "body": json.dumps(seen)}

async def later(event, context):
    return handler(event, context)

def wsgi(environ, start_response):
    seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING'][2:]} True")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(seen).encode()]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    seen.append(f"{scope['method']} {scope['path']}?{scope['query_string'].decode()[2:]} True")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""
PROGRAMS = {
    "node event": ("node24", {"f.js": NODE_EVENT}, "f.handler"),
    "node app": ("node24", {"f.js": NODE_APP}, "f.js"),
    "python event": ("python3.13", {"f.py": PYTHON_EVENT}, "f.handler"),
    "python coroutine": ("python3.13", {"f.py": PYTHON_EVENT}, "f.later"),
    "python wsgi": ("python3.13", {"f.py": PYTHON_EVENT}, "f.wsgi"),
    "python asgi": ("python3.13", {"f.py": PYTHON_EVENT}, "f.asgi"),
}
WARM, OWN = "GET /ready?1 true", "GET /own?2 true"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_resident_program_has_answered_it_before_it_is_loaded(start: Start, name: str) -> None:
    runtime, files, handler = PROGRAMS[name]
    host = start(runtime, files)
    host.load(handler, warmup="/ready?x=1")
    answer = host.request(path="/own?x=2")
    assert [line.lower() for line in json.loads(answer.body)] == [WARM.lower(), OWN.lower()]
    assert host.request(path="/own?x=2").status == 200  # the connection is one as any


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "node app"])
def test_every_process_that_is_forked_has_it_and_nothing_of_another(start: Start, name: str) -> None:
    runtime, files, handler = PROGRAMS[name]
    host = start(runtime, files, template=True)
    assert host.load(handler, warmup="/ready?x=1", model="ephemeral")["fork"] is True
    for _ in range(2):
        answer = host.request(path="/own?x=2")
        assert [line.lower() for line in json.loads(answer.body)] == [WARM.lower(), OWN.lower()]
        host.agent.expect("done")
        host.next_connection()


@pytest.mark.parametrize("name", ["node event", "python event"])
def test_one_that_fails_is_in_the_log_and_the_function_loads(start: Start, name: str) -> None:
    runtime, files, handler = PROGRAMS[name]
    host = start(runtime, files)
    host.load(handler, warmup="/bad")
    host.logs.wait_for("warmup: GET /bad: status 503")
    assert host.request(path="/own?x=2").status == 200

"""The Node agent with functions of the Functions Framework, OpenFaaS, OpenWhisk, and for CloudEvents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fnctl.engine.docker import DockerEngine
from tests.contract.agents.conftest import Start
from tests.contract.agents.contract_bench import ID, Bench, bench

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


# --- Google's Functions Framework ---

FRAMEWORK = """
const functions = require('@google-cloud/functions-framework');
functions.http('registered', (req, res) => {
  res.status(202).json({ body: req.body, raw: req.rawBody?.toString(), query: req.query, path: req.path, ip: req.ip });
});
functions.http('failing', async () => { throw new RangeError('no luck'); });
functions.cloudEvent('event', (event) => {
  console.log(`event ${event.id} ${event.type} ${JSON.stringify(event.data)}`);
});
functions.cloudEvent('failingEvent', (event, callback) => callback(new Error('not done')));
exports.exported = (req, res) => res.send(`Hello ${req.query.name || req.body.name || 'World'}!`);
exports.exportedEvent = async (event) => { console.log(`exported ${event.source}`); };
"""

CE = {"ce_id": "7", "ce_source": "/here", "ce_type": "made.up", "ce_specversion": "1.0"}
EVENT = {"specversion": "1.0", "id": "7", "source": "/here", "type": "made.up"}
STRUCTURED = "application/cloudevents+json"


def test_functions_framework_http(functions: Bench) -> None:
    functions.load("framework/index.registered", "functions-framework-http")
    answer = functions.call("/p?a=1", {"k": 1})
    assert (answer.status, answer.json["body"], answer.json["raw"]) == (202, {"k": 1}, '{"k": 1}')
    assert (answer.json["query"], answer.json["path"]) == ({"a": "1"}, "/p")
    functions.load("framework/index.exported", "functions-framework-http")
    assert functions.call("/?name=Ada").body == b"Hello Ada!"
    assert functions.call(body={"name": "Bob"}).body == b"Hello Bob!"
    functions.load("framework/index.failing", "functions-framework-http")
    functions.crash("no luck")
    failed = functions.failure("framework/index.nosuch", "functions-framework-http")
    assert "no function is registered by that name" in failed["message"]


def test_functions_framework_cloudevent(functions: Bench) -> None:
    functions.load("framework/index.event", "functions-framework-cloudevent")
    assert functions.call(body={"a": 1}, **CE).status == 204
    functions.host.logs.wait_for('event 7 made.up {"a":1}')
    answer = functions.call(body={**EVENT, "id": "8", "data": {"b": 2}}, Content_Type=STRUCTURED)
    assert answer.status == 204
    functions.host.logs.wait_for('event 8 made.up {"b":2}')
    functions.load("framework/index.exportedEvent", "functions-framework-cloudevent")
    assert functions.call(body={}, **CE).status == 204
    functions.host.logs.wait_for("exported /here")
    functions.load("framework/index.failingEvent", "functions-framework-cloudevent")
    functions.crash("not done", body={}, **CE)


def test_functions_framework_that_is_not_installed(start: Start) -> None:
    functions = Bench(start("node24", {"index.js": "exports.hello = (req, res) => res.send('hello');\n"}))
    failed = functions.failure("index.hello", "functions-framework-http")
    assert "npm install @google-cloud/functions-framework" in failed["message"]


# --- OpenFaaS ---

OPENFAAS = {
    "openfaas/handler.js": """
'use strict'
module.exports = async (event, context) => {
  return context.status(201).headers({ 'X-A': 'b' }).succeed({
    body: event.body, method: event.method, query: event.query, path: event.path, type: event.headers['content-type'],
  });
}
""",
    "openfaas/returns.js": "module.exports = async (event, context) => `got ${event.body}`;\n",
    "openfaas/fails.js": "module.exports = async (event, context) => context.fail('not today');\n",
    "openfaas/throws.js": "module.exports = async (event, context) => { throw new Error('broken'); };\n",
    "openfaas/calls.js": "module.exports = (event, context, done) => setTimeout(() => done(null, [1, 2]), 1);\n",
    "openfaas/classic.js": "module.exports = (context, callback) => callback(null, { status: 'done', context });\n",
    "openfaas/wrong.js": "exports.handler = () => 'x';\n",
    "openfaas/module.mjs": "export default async (event, context) => ({ esm: event.path });\n",
}


def test_openfaas(functions: Bench) -> None:
    functions.load("openfaas/handler.js", "openfaas")
    answer = functions.call("/p?a=1&a=2", {"k": 1})
    assert (answer.status, answer.headers["x-a"]) == (201, "b")
    assert answer.json == {
        "body": {"k": 1}, "method": "POST", "query": {"a": ["1", "2"]}, "path": "/p", "type": "application/json",
    }  # fmt: skip
    assert functions.call(body="a=1&b=2", Content_Type="application/x-www-form-urlencoded").json["body"] == {
        "a": "1",
        "b": "2",
    }
    assert functions.call(body="plain").json["body"] == "plain"
    assert functions.call(body="{", Content_Type="application/json").status == 400
    functions.load("openfaas/returns.js", "openfaas")
    answer = functions.call(body="text")
    assert (answer.body, answer.headers["content-type"]) == (b"got text", "text/html; charset=utf-8")
    functions.load("openfaas/fails.js", "openfaas")
    answer = functions.call()
    assert (answer.status, answer.body) == (500, b"not today")
    assert "x-fnctl-error" not in answer.headers
    functions.load("openfaas/calls.js", "openfaas")
    assert functions.call().json == [1, 2]
    functions.load("openfaas/classic.js", "openfaas")
    assert functions.call(body="in").json == {"status": "done", "context": "in"}
    functions.load("openfaas/module.mjs", "openfaas")
    assert functions.call("/x").json == {"esm": "/x"}


def test_openfaas_errors(functions: Bench) -> None:
    functions.load("openfaas/throws.js", "openfaas")
    functions.crash("broken")
    assert (
        functions.failure("openfaas/wrong.js", "openfaas")["message"]
        == "openfaas/wrong.js is an object, not a function"
    )
    assert "there is no openfaas/nosuch.js" in functions.failure("openfaas/nosuch.js", "openfaas")["message"]


# --- OpenWhisk ---

OPENWHISK = {
    "openwhisk/hello.js": """
function main(params) {
  const name = params.name || 'stranger';
  const { __OW_ACTION_NAME: action, __OW_ACTIVATION_ID: id } = process.env;
  return { greeting: `Hello ${name}`, params, action, id };
}
""",
    "openwhisk/page.js": """
function main({ name }) { return { body: `<h3>hello ${name}</h3>` }; }
function redirect() { return { headers: { location: 'http://openwhisk.org' }, statusCode: 302 }; }
async function image() { return { headers: { 'Content-Type': 'image/png' }, statusCode: 200, body: '/wA=' }; }
function json() { return { statusCode: 201, body: { a: 1 } }; }
function refused() { return Promise.reject({ statusCode: 404, body: 'no such thing' }); }
function failing() { return { error: 'broken' }; }
function throwing() { throw new Error('thrown'); }
function text() { return 'not an object'; }
function nothing() {}
const arrow = ({ n }) => new Promise((resolve) => setTimeout(() => resolve({ n: n + 1 }), 1));
""",
    "openwhisk/zip/index.js": "exports.main = (params) => ({ exported: true });\n",
}


def test_openwhisk_parameters(functions: Bench) -> None:
    functions.load("openwhisk/hello.main", "openwhisk")
    answer = functions.call("/a/b?name=Query&x=1", {"name": "Body"})
    assert answer.json["greeting"] == "Hello Body"
    assert (answer.json["action"], answer.json["id"]) == ("/guest/tested", ID)
    params = answer.json["params"]
    assert (params["x"], params["__ow_method"], params["__ow_path"]) == ("1", "post", "/a/b")
    assert params["__ow_headers"]["content-type"] == "application/json"
    assert "__ow_body" not in params
    assert (
        functions.call(body="name=Form", Content_Type="application/x-www-form-urlencoded").json["greeting"]
        == "Hello Form"
    )
    assert functions.call(body="Jane", Content_Type="text/plain").json["params"]["__ow_body"] == "Jane"
    assert functions.call(body=b"\xff", Content_Type="image/png").json["params"]["__ow_body"] == "/w=="
    assert functions.call("/?__ow_method=put").status == 400
    assert functions.call(body="{", Content_Type="application/json").status == 400


def test_openwhisk_results(functions: Bench) -> None:
    functions.load("openwhisk/page.main", "openwhisk")
    answer = functions.call("/?name=Ada")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (
        200, b"<h3>hello Ada</h3>", "text/html; charset=utf-8",
    )  # fmt: skip
    functions.load("openwhisk/page.redirect", "openwhisk")
    assert (functions.call().status, functions.call().headers["location"]) == (302, "http://openwhisk.org")
    functions.load("openwhisk/page.image", "openwhisk")
    assert functions.call().body == b"\xff\x00"
    functions.load("openwhisk/page.json", "openwhisk")
    assert (functions.call().status, functions.call().json) == (201, {"a": 1})
    functions.load("openwhisk/page.refused", "openwhisk")
    assert (functions.call().status, functions.call().body) == (404, b"no such thing")
    functions.load("openwhisk/page.failing", "openwhisk")
    assert (functions.call().status, functions.call().json) == (502, {"error": "broken"})
    functions.load("openwhisk/page.nothing", "openwhisk")
    assert (functions.call().status, functions.call().json) == (200, {})
    functions.load("openwhisk/page.arrow", "openwhisk")
    assert functions.call(body={"n": 1}).json == {"n": 2}
    functions.load("openwhisk/zip.main", "openwhisk")
    assert functions.call().json == {"exported": True}
    functions.load("openwhisk/page.throwing", "openwhisk")
    functions.crash("thrown")
    functions.load("openwhisk/page.text", "openwhisk")
    functions.bad_response("the action returned a string, not an object")
    assert 'exports no "nosuch"' in functions.failure("openwhisk/page.nosuch", "openwhisk")["message"]


# --- CloudEvents ---

CLOUDEVENTS = """
exports.echo = (event, context) => ({
  ...event, id: 'answer', source: '/there', kind: 'quoted "ü"',
  data: { got: event, bytes: Buffer.isBuffer(event.data), by: context.id },
});
exports.quiet = async (event) => {};
exports.text = () => 'not an event';
exports.partial = () => ({ type: 'x' });
exports.failing = () => { throw new Error('broken'); };
exports.sdk = (event) => {
  const { CloudEvent } = require('cloudevents');
  return new CloudEvent({ ...event, source: '/sdk', data: { seen: event.data } });
};
"""


def test_cloudevents(functions: Bench) -> None:
    functions.load("cloudevents/index.echo", "cloudevents")
    answer = functions.call(body={"a": 1}, **CE, ce_subject="a%20%C3%BC%25")
    assert (answer.status, answer.headers["ce-id"], answer.headers["ce-source"]) == (200, "answer", "/there")
    assert answer.headers["ce-kind"] == "quoted%20%22%C3%BC%22"
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["got"] == {
        **EVENT, "subject": "a ü%", "datacontenttype": "application/json", "data": {"a": 1},
    }  # fmt: skip
    assert answer.json["by"] == ID
    answer = functions.call(body={**EVENT, "data_base64": "/wA="}, Content_Type=STRUCTURED)
    assert answer.headers["content-type"].startswith(STRUCTURED)
    assert (answer.json["id"], answer.json["data"]["bytes"]) == ("answer", True)
    answer = functions.call(body="text", **CE, Content_Type="text/plain", Accept=STRUCTURED)
    assert answer.json["data"]["got"]["data"] == "text"
    functions.load("cloudevents/index.quiet", "cloudevents")
    assert (functions.call(body={}, **CE).status, functions.call(**CE).status) == (204, 204)
    functions.load("cloudevents/index.sdk", "cloudevents")
    answer = functions.call(body={"a": 1}, **CE)
    assert (answer.headers["ce-source"], answer.json) == ("/sdk", {"seen": {"a": 1}})


MALFORMED: list[tuple[dict[str, Any], int, str]] = [
    ({"body": {"a": 1}}, 400, "the request is no CloudEvent"),
    ({"body": {}, **CE, "ce_id": ""}, 400, "the event lacks id"),
    ({"body": {}, **CE, "ce_specversion": "0.3"}, 400, "specversion 0.3 is not known"),
    ({"body": {}, **CE, "ce_time": "yesterday"}, 400, "time yesterday"),
    ({"body": {}, **CE, "ce_subject": "%FF"}, 400, "the header ce-subject"),
    ({"body": "{", **CE, "Content_Type": "application/json"}, 400, "data is not application/json"),
    ({"body": "{", "Content_Type": STRUCTURED}, 400, "the event is not JSON"),
    ({"body": [EVENT], "Content_Type": STRUCTURED}, 400, "the event is a JSON array"),
    ({"body": {**EVENT, "id": 7}, "Content_Type": STRUCTURED}, 400, "the attribute id is a number"),
    ({"body": {**EVENT, "Bad-Name": "x"}, "Content_Type": STRUCTURED}, 400, "is no name of an attribute"),
    ({"body": [EVENT], "Content_Type": "application/cloudevents-batch+json"}, 415, "batches of events"),
    ({"body": "x", "Content_Type": "application/cloudevents+avro"}, 415, "the event format"),
]


def test_cloudevents_errors(functions: Bench) -> None:
    functions.load("cloudevents/index.quiet", "cloudevents")
    for call, status, said in MALFORMED:
        answer = functions.call(**call)
        assert answer.status == status, (call, answer)
        assert said in answer.json["error"]["message"]
    functions.load("cloudevents/index.text", "cloudevents")
    functions.bad_response("the handler returned a string, not a CloudEvent", body={}, **CE)
    functions.load("cloudevents/index.partial", "cloudevents")
    functions.bad_response("the event lacks source", body={}, **CE)
    functions.load("cloudevents/index.failing", "cloudevents")
    functions.crash("broken", body={}, **CE)


# --- all of them ---

EPHEMERAL: list[tuple[str, str, dict[str, str]]] = [
    ("lambda", "counting.lambda", {}),
    ("fc-event", "counting.event", {}),
    ("fc-http", "counting.express", {}),
    ("fc3-http", "counting.event", {}),
    ("functions-framework-http", "counting.http", {}),
    ("functions-framework-cloudevent", "counting.cloudevent", CE),
    ("openfaas", "counting.openfaas", {}),
    ("openwhisk", "counting.openwhisk", {}),
    ("cloudevents", "counting.cloudevents", CE),
]

COUNTING = """
let calls = 0;
const count = () => { calls += 1; console.log(`call ${calls}`); return { calls }; };
exports.lambda = async () => count();
exports.event = (event, context, callback) => callback(null, count());
const { Server } = require('@webserverless/fc-express');
const server = new Server(require('express')().use((req, res) => res.json(count())));
exports.express = (req, resp, context) => server.httpProxy(req, resp, context);
exports.http = (req, res) => res.json(count());
exports.cloudevent = () => { count(); };
exports.openfaas = async (event, context) => context.succeed(count());
exports.openwhisk = () => count();
exports.cloudevents = (event) => ({ ...event, data: count() });
"""


FILES = {
    "framework/index.js": FRAMEWORK,
    **OPENFAAS,
    **OPENWHISK,
    "cloudevents/index.js": CLOUDEVENTS,
    "counting.js": COUNTING,
}


@pytest.fixture(scope="module")
def functions(engine: DockerEngine, sandbox_image: str, node_platforms: Path) -> Iterator[Bench]:
    with bench(engine, sandbox_image, "node24", FILES, node_platforms) as made:
        yield made


def test_each_contract_in_the_ephemeral_model(functions: Bench) -> None:
    for contract, handler, headers in EPHEMERAL:
        functions.load(handler, contract, model="ephemeral")
        answer = functions.call(body={}, **headers)
        assert answer.status in (200, 204), (contract, answer)
        assert answer.body in (b'{"calls":1}', b""), contract
        assert functions.ended() == 0, contract


def test_each_contract_forks_from_a_template(functions: Bench) -> None:
    for contract, handler, headers in EPHEMERAL:
        functions.boot_template()
        functions.load(handler, contract, model="ephemeral")
        for _ in range(2):
            answer = functions.call(body={}, **headers)
            assert answer.status in (200, 204), (contract, answer)
            assert answer.body in (b'{"calls":1}', b""), contract
            functions.host.next_connection()
            assert functions.host.agent.expect("done")["code"] == 0, contract

"""The Node agent's contracts: handlers as the users of each platform write them, called as that platform calls them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Start
from sandbox_host import Answer, SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

RUNTIME = "node24"
JSON = {"Content-Type": "application/json"}
ID = "01JCONTRACTTEST00000000000"


class Bench:
    """One sandbox for many functions, one after the other: each is loaded into a fresh agent."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self._fresh = True

    def boot(self) -> None:
        """A new agent, if the last one was used."""
        if not self._fresh:
            self.host.supervisor.send("kill")
            self.host.supervisor.expect("exited")
            self.host.boot()
        self._fresh = False

    def load(self, handler: str, contract: str, **fields: Any) -> None:
        self.boot()
        loaded = self.host.load(handler, contract=contract, **fields)
        assert loaded["kind"] == "event"

    def failure(self, handler: str, contract: str, **fields: Any) -> dict[str, Any]:
        """The load fails; what is said of it."""
        self.boot()
        self.host.send_load(handler, contract=contract, **fields)
        failed = self.host.agent.expect("load_failed")
        self.host.supervisor.expect("exited")
        self.host.boot()
        self._fresh = True
        return failed

    def call(self, path: str = "/", body: Any = None, method: str | None = None, **headers: str) -> Answer:
        """Header names with `_` for `-`; a body that is no text or bytes is JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, str | bytes):
            body, named = json.dumps(body), {**JSON, **named}
        return self.host.request(method or ("GET" if body is None else "POST"), path, body, named, invocation=ID)

    def crash(self, said: str, **call: Any) -> None:
        answer = self.call(**call)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (500, "crash"), answer
        assert answer.json["error"]["message"] == said

    def bad_response(self, said: str, **call: Any) -> None:
        answer = self.call(**call)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response"), answer
        assert said in answer.json["error"]["message"]


def bench(start: Start, files: Mapping[str, str], extra: Path | None = None) -> Bench:
    return Bench(start(RUNTIME, files, extra=extra))


# --- AWS Lambda ---

LAMBDA = """
exports.handler = async (event, context) => ({
  statusCode: 201,
  headers: { 'X-From': 'lambda', 'Content-Type': 'application/json' },
  cookies: ['a=1; Path=/', 'b=2'],
  body: JSON.stringify({ event, context, left: context.getRemainingTimeInMillis() > 0, env: process.env }),
});
exports.callback = (event, context, callback) => setTimeout(() => callback(null, { greeting: event.rawPath }), 1);
exports.failing = (event, context, callback) => callback(new RangeError('no luck'));
exports.rejecting = () => Promise.reject('a string');
exports.throwing = () => { throw new TypeError('at once'); };
exports.done = (event, context) => { context.succeed({ done: true }); };
exports.text = async () => 'Hello from Lambda!';
exports.nothing = async () => {};
exports.bytes = async () => ({ statusCode: 200, isBase64Encoded: true, headers: { 'content-type': 'image/png' }, body: '/wA=' });
exports.object = async () => ({ statusCode: 200, body: { not: 'a string' } });
exports.status = async () => ({ statusCode: 99 });
exports.value = 7;
exports.stream = awslambda.streamifyResponse(async (event, responseStream, context) => {
  const stream = awslambda.HttpResponseStream.from(responseStream, { statusCode: 206, headers: { 'Content-Type': 'text/plain' } });
  stream.write('part one, ');
  stream.end(event.rawPath);
});
"""


def test_lambda_event_context_and_environment(start: Start) -> None:
    functions = bench(start, {"src/index.js": LAMBDA})
    functions.load("src/index.handler", "lambda", env={"AWS_REGION": "eu-west-1"})
    answer = functions.call(
        "/a%20b/c?x=1&x=2&y=%26",
        {"k": "ü"},
        Cookie="one=1; two=2",
        X_Forwarded_For="203.0.113.7, 10.0.0.1",
        User_Agent="test",
        X_Fnctl_Params="id=7",
    )
    assert (answer.status, answer.headers["x-from"]) == (201, "lambda")
    assert answer.headers["set-cookie"] in ("a=1; Path=/", "b=2")
    event, context, env = (answer.json[name] for name in ("event", "context", "env"))
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/a%20b/c", "x=1&x=2&y=%26")
    assert event["queryStringParameters"] == {"x": "1,2", "y": "&"}
    assert event["pathParameters"] == {"id": "7"}
    assert event["cookies"] == ["one=1", "two=2"]
    assert not {"cookie", "x-fnctl-invocation-id"} & event["headers"].keys()
    assert (event["body"], event["isBase64Encoded"]) == (json.dumps({"k": "ü"}), False)
    http = event["requestContext"]["http"]
    assert http == {
        "method": "POST", "path": "/a%20b/c", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test",
    }  # fmt: skip
    assert event["requestContext"]["requestId"] == context["awsRequestId"] == ID
    assert (context["functionName"], context["functionVersion"], context["memoryLimitInMB"]) == (
        "tested", "$LATEST", "256",
    )  # fmt: skip
    assert context["invokedFunctionArn"] == "arn:aws:lambda:eu-west-1:000000000000:function:tested"
    assert context["logGroupName"] == "/aws/lambda/tested"
    assert answer.json["left"] is True
    assert (env["_HANDLER"], env["LAMBDA_TASK_ROOT"]) == ("src/index.handler", "/fn/app")
    assert (env["AWS_LAMBDA_FUNCTION_NAME"], env["AWS_REGION"]) == ("tested", "eu-west-1")
    assert functions.call(body=b"\xff\x00", Content_Type="image/png").json["event"]["body"] == "/wA="


def test_lambda_answers(start: Start) -> None:
    functions = bench(start, {"index.js": LAMBDA, "esm.mjs": "export const handler = async (e) => ({ at: e.rawPath });\n"})
    functions.load("index.callback", "lambda")
    answer = functions.call("/there")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"greeting": "/there"}
    functions.load("index.text", "lambda")
    assert (functions.call().status, functions.call().body) == (200, b"Hello from Lambda!")
    functions.load("index.nothing", "lambda")
    assert (functions.call().status, functions.call().json) == (200, None)
    functions.load("index.done", "lambda")
    assert functions.call().json == {"done": True}
    functions.load("index.bytes", "lambda")
    assert functions.call().body == b"\xff\x00"
    functions.load("index.stream", "lambda")
    assert (functions.call("/two").status, functions.call("/two").body) == (206, b"part one, /two")
    functions.load("esm.handler", "lambda")
    assert functions.call("/esm").json == {"at": "/esm"}


def test_lambda_errors(start: Start) -> None:
    functions = bench(start, {"index.js": LAMBDA})
    functions.load("index.failing", "lambda")
    functions.crash("no luck")
    functions.load("index.rejecting", "lambda")
    functions.crash("a string")
    functions.load("index.throwing", "lambda")
    functions.crash("at once")
    functions.load("index.object", "lambda")
    functions.bad_response("body is a object, not a string: JSON.stringify it")
    functions.load("index.status", "lambda")
    functions.bad_response("statusCode 99 is outside 200-599")
    assert functions.failure("index.value", "lambda")["message"] == "index.value is a number, not a function"
    assert 'index.js exports no "nosuch"' in functions.failure("index.nosuch", "lambda")["message"]
    assert "has no initializer" in functions.failure("index.text", "lambda", initializer="index.done")["message"]


# --- Alibaba Cloud Function Compute ---

FC = """
let ready = 'no';
exports.initialize = (context, callback) => { setTimeout(() => { ready = context.function.name; callback(null, ''); }, 1); };
exports.initializeFailing = (context, callback) => callback(new Error('no database'));
exports.handler = (event, context, callback) => {
  context.logger.info('invoked');
  callback(null, { buffer: Buffer.isBuffer(event), text: event.toString(), context, ready });
};
exports.text = async (event) => `got ${event}`;
exports.buffer = (event, context, callback) => callback(null, Buffer.from([255, 0]));
exports.response = async () => ({ statusCode: 418, headers: { 'X-A': 'b' }, body: 'teapot' });
exports.nothing = async () => {};
exports.failing = (event, context, callback) => callback('refused');
exports.throwing = async () => { throw new Error('thrown'); };
exports.circular = async () => { const a = {}; a.a = a; return a; };
"""


def test_fc_event(start: Start) -> None:
    functions = bench(start, {"index.js": FC})
    functions.load("index.handler", "fc-event", initializer="index.initialize", env={"FC_REGION": "cn-shanghai"})
    answer = functions.call(body='{"k":1}')
    assert (answer.json["buffer"], answer.json["text"], answer.json["ready"]) == (True, '{"k":1}', "tested")
    context = answer.json["context"]
    assert (context["requestId"], context["region"], context["accountId"]) == (ID, "cn-shanghai", "")
    function = {"name": "tested", "handler": "index.handler", "memory": 256, "timeout": 30}
    assert context["function"] == {**function, "initializer": "index.initialize"}
    assert context["service"]["qualifier"] == "LATEST"
    assert context["credentials"] == {"accessKeyId": "", "accessKeySecret": "", "securityToken": ""}
    assert f"{ID} [info] invoked" in functions.host.logs.wait_for("invoked")[1]
    functions.load("index.text", "fc-event")
    assert functions.call(body=b"bytes").body == b"got bytes"
    functions.load("index.buffer", "fc-event")
    assert functions.call().body == b"\xff\x00"
    functions.load("index.response", "fc-event")
    assert (functions.call().status, functions.call().headers["x-a"], functions.call().body) == (418, "b", b"teapot")
    functions.load("index.nothing", "fc-event")
    assert (functions.call().status, functions.call().body) == (200, b"")


def test_fc_event_errors(start: Start) -> None:
    functions = bench(start, {"index.js": FC})
    functions.load("index.failing", "fc-event")
    functions.crash("refused")
    functions.load("index.throwing", "fc-event")
    functions.crash("thrown")
    functions.load("index.circular", "fc-event")
    functions.bad_response("JSON cannot carry the result")
    failed = functions.failure("index.handler", "fc-event", initializer="index.initializeFailing")
    assert (failed["message"], failed["file"], failed["line"]) == ("no database", "index.js", 4)
    failed = functions.failure("index.handler", "fc-event", initializer="index.nosuch")
    assert 'exports no "nosuch"' in failed["message"]


FC_HTTP = """
const { Readable } = require('stream');
exports.handler = (req, resp, context) => {
  const parts = [];
  req.on('data', (part) => parts.push(part));
  req.on('end', () => {
    resp.setStatusCode(202);
    resp.setHeader('X-A', 'b');
    resp.setHeader('X-Gone', '1');
    resp.deleteHeader('x-gone');
    resp.setHeader('Content-Length', '1');
    resp.send(JSON.stringify({
      path: req.path, queries: req.queries, method: req.method, url: req.url, ip: req.clientIP, type: req.headers['content-type'],
      body: Buffer.concat(parts).toString(), again: req.body.toString(), id: context.requestId,
    }));
  });
};
exports.stream = async (req, resp) => { resp.send(Readable.from([Buffer.from('a'), Buffer.from('b')])); };
exports.wrong = (req, resp) => resp.send({ not: 'sendable' });
exports.rejecting = async () => { throw new Error('broken'); };
"""

FC_EXPRESS = """
const proxy = require('@webserverless/fc-express');
const express = require('express');
const app = express();
app.use(express.json());
app.post('/todos/:id', (req, res) => {
  console.log(`inside ${req.params.id}`);
  res.status(201).json({ id: req.params.id, q: req.query.q, body: req.body });
});
const server = new proxy.Server(app);
module.exports.handler = function(req, res, context) {
  server.httpProxy(req, res, context);
};
"""


def test_fc_http(start: Start) -> None:
    functions = bench(start, {"index.js": FC_HTTP})
    functions.load("index.handler", "fc-http")
    answer = functions.call("/p/q?a=1&b=2&b=3", "hi", Content_Type="text/x", X_Forwarded_For="203.0.113.9")
    assert (answer.status, answer.headers["x-a"], "x-gone" in answer.headers) == (202, "b", False)
    assert answer.json == {
        "path": "/p/q", "queries": {"a": "1", "b": ["2", "3"]}, "method": "POST", "url": "/p/q?a=1&b=2&b=3",
        "ip": "203.0.113.9", "type": "text/x", "body": "hi", "again": "hi", "id": ID,
    }  # fmt: skip
    functions.load("index.stream", "fc-http")
    assert functions.call().body == b"ab"
    functions.load("index.wrong", "fc-http")
    functions.bad_response("resp.send takes a string, a Buffer or a stream, not a object")
    functions.load("index.rejecting", "fc-http")
    functions.crash("broken")


@pytest.fixture(scope="session")
def platform_packages(workshop: Callable[[str, tuple[str, str]], Path]) -> Path:
    wanted = {
        "@webserverless/fc-express": "^1",
        "@google-cloud/functions-framework": "^5",
        "cloudevents": "^10",
        "express": "^4",
    }
    return workshop("node24", ("package.json", json.dumps({"name": "platforms", "dependencies": wanted})))


def test_express_behind_fc_express(start: Start, platform_packages: Path) -> None:
    functions = bench(start, {"index.js": FC_EXPRESS}, platform_packages)
    functions.load("index.handler", "fc-http")
    for name in ("one", "two"):
        invocation = name.upper() + "0" * 23
        answer = functions.host.request("POST", f"/todos/{name}?q=x%20y", '{"a":1}', JSON, invocation=invocation)
        assert (answer.status, answer.json) == (201, {"id": name, "q": "x y", "body": {"a": 1}})
        assert functions.host.logs.wait_for(f"inside {name}")[0] == invocation


# --- Google's Functions Framework ---

FRAMEWORK = """
const functions = require('@google-cloud/functions-framework');
functions.http('registered', (req, res) => {
  res.status(202).json({ body: req.body, raw: req.rawBody?.toString(), query: req.query, path: req.path, ip: req.ip });
});
functions.http('failing', async () => { throw new RangeError('no luck'); });
functions.cloudEvent('event', (event) => { console.log(`event ${event.id} ${event.type} ${JSON.stringify(event.data)}`); });
functions.cloudEvent('failingEvent', (event, callback) => callback(new Error('not done')));
exports.exported = (req, res) => res.send(`Hello ${req.query.name || req.body.name || 'World'}!`);
exports.exportedEvent = async (event) => { console.log(`exported ${event.source}`); };
"""

CE = {"ce_id": "7", "ce_source": "/here", "ce_type": "made.up", "ce_specversion": "1.0"}
EVENT = {"specversion": "1.0", "id": "7", "source": "/here", "type": "made.up"}
STRUCTURED = "application/cloudevents+json"


def test_functions_framework_http(start: Start, platform_packages: Path) -> None:
    functions = bench(start, {"index.js": FRAMEWORK}, platform_packages)
    functions.load("index.registered", "functions-framework-http")
    answer = functions.call("/p?a=1", {"k": 1})
    assert (answer.status, answer.json["body"], answer.json["raw"]) == (202, {"k": 1}, '{"k": 1}')
    assert (answer.json["query"], answer.json["path"]) == ({"a": "1"}, "/p")
    functions.load("index.exported", "functions-framework-http")
    assert functions.call("/?name=Ada").body == b"Hello Ada!"
    assert functions.call(body={"name": "Bob"}).body == b"Hello Bob!"
    functions.load("index.failing", "functions-framework-http")
    functions.crash("no luck")
    failed = functions.failure("index.nosuch", "functions-framework-http")
    assert "no function is registered by that name" in failed["message"]


def test_functions_framework_cloudevent(start: Start, platform_packages: Path) -> None:
    functions = bench(start, {"index.js": FRAMEWORK}, platform_packages)
    functions.load("index.event", "functions-framework-cloudevent")
    assert functions.call(body={"a": 1}, **CE).status == 204
    functions.host.logs.wait_for('event 7 made.up {"a":1}')
    answer = functions.call(body={**EVENT, "id": "8", "data": {"b": 2}}, Content_Type=STRUCTURED)
    assert answer.status == 204
    functions.host.logs.wait_for('event 8 made.up {"b":2}')
    functions.load("index.exportedEvent", "functions-framework-cloudevent")
    assert functions.call(body={}, **CE).status == 204
    functions.host.logs.wait_for("exported /here")
    functions.load("index.failingEvent", "functions-framework-cloudevent")
    functions.crash("not done", body={}, **CE)


def test_functions_framework_that_is_not_installed(start: Start) -> None:
    functions = bench(start, {"index.js": "exports.hello = (req, res) => res.send('hello');\n"})
    failed = functions.failure("index.hello", "functions-framework-http")
    assert "npm install @google-cloud/functions-framework" in failed["message"]


# --- OpenFaaS ---

OPENFAAS = {
    "handler.js": """
'use strict'
module.exports = async (event, context) => {
  return context.status(201).headers({ 'X-A': 'b' }).succeed({ body: event.body, method: event.method, query: event.query,
    path: event.path, type: event.headers['content-type'] });
}
""",
    "returns.js": "module.exports = async (event, context) => `got ${event.body}`;\n",
    "fails.js": "module.exports = async (event, context) => context.fail('not today');\n",
    "throws.js": "module.exports = async (event, context) => { throw new Error('broken'); };\n",
    "calls.js": "module.exports = (event, context, callback) => setTimeout(() => callback(null, [1, 2]), 1);\n",
    "classic.js": "module.exports = (context, callback) => callback(undefined, { status: 'done', got: context });\n",
    "wrong.js": "exports.handler = () => 'x';\n",
    "module.mjs": "export default async (event, context) => ({ esm: event.path });\n",
}


def test_openfaas(start: Start) -> None:
    functions = bench(start, OPENFAAS)
    functions.load("handler.js", "openfaas")
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
    assert functions.call(body="{", **{"Content_Type": "application/json"}).status == 400
    functions.load("returns.js", "openfaas")
    answer = functions.call(body="text")
    assert (answer.body, answer.headers["content-type"]) == (b"got text", "text/html; charset=utf-8")
    functions.load("fails.js", "openfaas")
    answer = functions.call()
    assert (answer.status, answer.body) == (500, b"not today")
    assert "x-fnctl-error" not in answer.headers
    functions.load("calls.js", "openfaas")
    assert functions.call().json == [1, 2]
    functions.load("classic.js", "openfaas")
    assert functions.call(body="in").json == {"status": "done", "got": "in"}
    functions.load("module.mjs", "openfaas")
    assert functions.call("/x").json == {"esm": "/x"}


def test_openfaas_errors(start: Start) -> None:
    functions = bench(start, OPENFAAS)
    functions.load("throws.js", "openfaas")
    functions.crash("broken")
    assert functions.failure("wrong.js", "openfaas")["message"] == "wrong.js is a object, not a function"
    assert "there is no nosuch.js" in functions.failure("nosuch.js", "openfaas")["message"]


# --- OpenWhisk ---

OPENWHISK = {
    "hello.js": """
function main(params) {
  const name = params.name || 'stranger';
  return { greeting: `Hello ${name}`, params, action: process.env.__OW_ACTION_NAME, id: process.env.__OW_ACTIVATION_ID };
}
""",
    "page.js": """
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
    "zip/index.js": "exports.main = (params) => ({ exported: true });\n",
}


def test_openwhisk_parameters(start: Start) -> None:
    functions = bench(start, OPENWHISK)
    functions.load("hello.main", "openwhisk")
    answer = functions.call("/a/b?name=Query&x=1", {"name": "Body"})
    assert answer.json["greeting"] == "Hello Body"
    assert (answer.json["action"], answer.json["id"]) == ("/guest/tested", ID)
    params = answer.json["params"]
    assert (params["x"], params["__ow_method"], params["__ow_path"]) == ("1", "post", "/a/b")
    assert params["__ow_headers"]["content-type"] == "application/json"
    assert "__ow_body" not in params
    assert functions.call(body="name=Form", Content_Type="application/x-www-form-urlencoded").json["greeting"] == "Hello Form"
    assert functions.call(body="Jane", Content_Type="text/plain").json["params"]["__ow_body"] == "Jane"
    assert functions.call(body=b"\xff", Content_Type="image/png").json["params"]["__ow_body"] == "/w=="
    assert functions.call("/?__ow_method=put").status == 400
    assert functions.call(body="{", **{"Content_Type": "application/json"}).status == 400


def test_openwhisk_results(start: Start) -> None:
    functions = bench(start, OPENWHISK)
    functions.load("page.main", "openwhisk")
    answer = functions.call("/?name=Ada")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (
        200, b"<h3>hello Ada</h3>", "text/html; charset=utf-8",
    )  # fmt: skip
    functions.load("page.redirect", "openwhisk")
    assert (functions.call().status, functions.call().headers["location"]) == (302, "http://openwhisk.org")
    functions.load("page.image", "openwhisk")
    assert functions.call().body == b"\xff\x00"
    functions.load("page.json", "openwhisk")
    assert (functions.call().status, functions.call().json) == (201, {"a": 1})
    functions.load("page.refused", "openwhisk")
    assert (functions.call().status, functions.call().body) == (404, b"no such thing")
    functions.load("page.failing", "openwhisk")
    assert (functions.call().status, functions.call().json) == (502, {"error": "broken"})
    functions.load("page.nothing", "openwhisk")
    assert (functions.call().status, functions.call().json) == (200, {})
    functions.load("page.arrow", "openwhisk")
    assert functions.call(body={"n": 1}).json == {"n": 2}
    functions.load("zip.main", "openwhisk")
    assert functions.call().json == {"exported": True}
    functions.load("page.throwing", "openwhisk")
    functions.crash("thrown")
    functions.load("page.text", "openwhisk")
    functions.bad_response("the action returned a string, not an object")
    assert 'exports no "nosuch"' in functions.failure("page.nosuch", "openwhisk")["message"]


# --- CloudEvents ---

CLOUDEVENTS = """
exports.echo = (event, context) => ({
  ...event, id: 'answer', source: '/there', kind: 'quoted "ü"', data: { got: event, bytes: Buffer.isBuffer(event.data), by: context.id },
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


def test_cloudevents(start: Start, platform_packages: Path) -> None:
    functions = bench(start, {"index.js": CLOUDEVENTS}, platform_packages)
    functions.load("index.echo", "cloudevents")
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
    functions.load("index.quiet", "cloudevents")
    assert (functions.call(body={}, **CE).status, functions.call(**CE).status) == (204, 204)
    functions.load("index.sdk", "cloudevents")
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


def test_cloudevents_errors(start: Start) -> None:
    functions = bench(start, {"index.js": CLOUDEVENTS})
    functions.load("index.quiet", "cloudevents")
    for call, status, said in MALFORMED:
        answer = functions.call(**call)
        assert answer.status == status, (call, answer)
        assert said in answer.json["error"]["message"]
    functions.load("index.text", "cloudevents")
    functions.bad_response("the handler returned a string, not a CloudEvent", body={}, **CE)
    functions.load("index.partial", "cloudevents")
    functions.bad_response("the event lacks source", body={}, **CE)
    functions.load("index.failing", "cloudevents")
    functions.crash("broken", body={}, **CE)


# --- all of them ---

EPHEMERAL: list[tuple[str, str, dict[str, str]]] = [
    ("lambda", "index.lambda", {}),
    ("fc-event", "index.event", {}),
    ("fc-http", "index.express", {}),
    ("functions-framework-http", "index.http", {}),
    ("functions-framework-cloudevent", "index.cloudevent", CE),
    ("openfaas", "index.openfaas", {}),
    ("openwhisk", "index.openwhisk", {}),
    ("cloudevents", "index.cloudevents", CE),
]

COUNTING = """
let calls = 0;
const count = () => { calls += 1; console.log(`call ${calls}`); return { calls }; };
exports.lambda = async () => count();
exports.event = (event, context, callback) => callback(null, count());
const server = new (require('@webserverless/fc-express').Server)(require('express')().use((req, res) => res.json(count())));
exports.express = (req, resp, context) => server.httpProxy(req, resp, context);
exports.http = (req, res) => res.json(count());
exports.cloudevent = () => { count(); };
exports.openfaas = async (event, context) => context.succeed(count());
exports.openwhisk = () => count();
exports.cloudevents = (event) => ({ ...event, data: count() });
"""


def test_each_contract_in_the_ephemeral_model(start: Start, platform_packages: Path) -> None:
    host = start(RUNTIME, {"index.js": COUNTING}, extra=platform_packages)
    for contract, handler, headers in EPHEMERAL:
        for _ in range(2):
            host.load(handler, contract=contract, model="ephemeral")
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = host.request("POST", "/", "{}", {**JSON, **named})
            assert answer.status in (200, 204), (contract, answer)
            assert answer.body in (b'{"calls":1}', b""), contract
            exited = host.supervisor.expect("exited")
            assert exited["code"] == 0, contract
            host.boot()


def test_the_contract_decides(start: Start) -> None:
    files = {"index.js": "exports.f = (req, res) => ({ method: req.method, has: typeof res.end });\nexports.seven = 7;\n"}
    functions = bench(start, {**files, "app.js": "exports.app = (a, b) => b.end(a.url);\n"})
    functions.boot()
    functions.host.load("index.f", contract="event")
    assert functions.call().json == {"method": "GET", "has": "undefined"}
    functions.boot()
    assert functions.host.load("app.app", contract="web")["kind"] == "web"
    assert functions.call("/x").body == b"/x"
    assert functions.failure("index.seven", "web")["message"] == "index.seven is a number, not a web app"
    assert functions.failure("index.seven", "event")["message"] == "index.seven is a number, not a function"
    assert "knows no contract" in functions.failure("index.f", "nosuch")["message"]


def test_a_contract_leaves_no_names_behind(start: Start) -> None:
    code = "exports.handler = async () => Object.keys(require.cache).filter((file) => !file.startsWith('/fn/app'));\n"
    functions = bench(start, {"index.js": code})
    functions.load("index.handler", "lambda")
    assert functions.call().json == []


def test_base64_of_a_body_is_the_body(start: Start) -> None:
    """Whatever bytes come in, a Lambda handler that sends them back sends the same ones."""
    code = """
exports.handler = async (event) => ({
  statusCode: 200, headers: { 'content-type': event.headers['content-type'] }, isBase64Encoded: event.isBase64Encoded, body: event.body,
});
"""
    functions = bench(start, {"index.js": code})
    functions.load("index.handler", "lambda")
    for body in (b"plain", "ü\ufeff".encode(), bytes(range(256)), base64.b64encode(b"x")):
        for kind in ("application/octet-stream", "text/plain"):
            assert functions.call(body=body, Content_Type=kind).body == body

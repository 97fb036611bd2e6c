"""The Node agent with handlers of AWS Lambda and Alibaba Cloud, as their users write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fnctl.engine.docker import DockerEngine
from tests.contract.agents.contract_bench import ID, JSON, Bench, bench

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


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
exports.count = async (event) => ({ records: event.Records?.length ?? null });
exports.nothing = async () => {};
exports.bytes = async () => ({
  statusCode: 200, isBase64Encoded: true, headers: { 'content-type': 'image/png' }, body: '/wA=',
});
exports.object = async () => ({ statusCode: 200, body: { not: 'a string' } });
exports.status = async () => ({ statusCode: 99 });
exports.value = 7;
exports.stream = awslambda.streamifyResponse(async (event, responseStream, context) => {
  const metadata = { statusCode: 206, headers: { 'Content-Type': 'text/plain' } };
  const stream = awslambda.HttpResponseStream.from(responseStream, metadata);
  stream.write('part one, ');
  stream.end(event.rawPath);
});
"""


def test_lambda_event_context_and_environment(functions: Bench) -> None:
    functions.load("lambda/index.handler", "lambda", env={"AWS_REGION": "eu-west-1"})
    answer = functions.call(
        "/a%20b/c?x=1&x=2&y=%26",
        {"k": "ü"},
        Cookie="one=1; two=2",
        X_Forwarded_For="203.0.113.7, 10.0.0.1",
        User_Agent="test",
        X_Fnctl_Params="id=7",
        X_Fnctl_Route="/a%20b/{id}",
    )
    assert (answer.status, answer.headers["x-from"]) == (201, "lambda")
    with functions.host.open() as response:
        assert response.headers.get_all("set-cookie") == ["a=1; Path=/", "b=2"]
        response.read()
    event, context, env = (answer.json[name] for name in ("event", "context", "env"))
    assert (event["version"], event["routeKey"]) == ("2.0", "POST /a%20b/{id}")
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
    assert (env["_HANDLER"], env["LAMBDA_TASK_ROOT"]) == ("lambda/index.handler", "/fn/app")
    assert (env["AWS_LAMBDA_FUNCTION_NAME"], env["AWS_REGION"]) == ("tested", "eu-west-1")
    assert functions.call(body=b"\xff\x00", Content_Type="image/png").json["event"]["body"] == "/wA="


def test_lambda_invoke_passes_any_event(functions: Bench) -> None:
    """As `aws lambda invoke` and the SDKs call it."""
    path = "/2015-03-31/functions/tested/invocations"
    functions.load("lambda/index.count", "lambda")
    answer = functions.call(path, {"Records": [{"body": "a"}, {"body": "b"}]})
    assert (answer.status, answer.headers["content-type"], answer.json) == (200, "application/json", {"records": 2})
    assert functions.call(path, "{").status == 400
    assert functions.call("/", {"Records": []}).json == {"records": None}
    functions.load("lambda/index.text", "lambda")
    assert functions.call(path, {}).json == "Hello from Lambda!"
    functions.load("lambda/index.throwing", "lambda")
    functions.crash("at once", path=path, body={})


def test_lambda_answers(functions: Bench) -> None:
    functions.load("lambda/index.callback", "lambda")
    answer = functions.call("/there")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"greeting": "/there"}
    functions.load("lambda/index.text", "lambda")
    assert (functions.call().status, functions.call().body) == (200, b"Hello from Lambda!")
    functions.load("lambda/index.nothing", "lambda")
    assert (functions.call().status, functions.call().json) == (200, None)
    functions.load("lambda/index.done", "lambda")
    assert functions.call().json == {"done": True}
    functions.load("lambda/index.bytes", "lambda")
    assert functions.call().body == b"\xff\x00"
    functions.load("lambda/index.stream", "lambda")
    assert (functions.call("/two").status, functions.call("/two").body) == (206, b"part one, /two")
    functions.load("lambda/esm.handler", "lambda")
    assert functions.call("/esm").json == {"at": "/esm"}


REST = """
exports.handler = async (event) => ({
  statusCode: 201,
  headers: { 'X-One': 'single', 'X-Two': 'lost' },
  multiValueHeaders: { 'x-two': ['a', 'b'] },
  body: JSON.stringify(event),
});
exports.bare = async () => 'no status';
"""


def test_lambda_behind_a_rest_api(functions: Bench) -> None:
    functions.load("rest/index.handler", "lambda", payload="1.0")
    answer = functions.call(
        "/items/7?a=1&a=2&toString=x", {"k": 1}, X_Fnctl_Params="id=7", X_Fnctl_Route="ANY /items/{id}"
    )
    assert (answer.status, answer.headers["x-one"]) == (201, "single")
    with functions.host.open() as response:
        assert response.headers.get_all("x-two") == ["a", "b"]
        response.read()
    event = answer.json
    assert (event["httpMethod"], event["path"], event["resource"]) == ("POST", "/items/7", "/items/{id}")
    assert event["pathParameters"] == {"id": "7"}
    assert event["queryStringParameters"] == {"a": "2", "toString": "x"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "toString": ["x"]}
    assert (event["headers"]["Content-Type"], event["body"]) == ("application/json", '{"k": 1}')
    assert event["requestContext"]["resourcePath"] == "/items/{id}"
    assert event["requestContext"]["identity"]["sourceIp"]
    assert not {"version", "rawPath", "routeKey"} & event.keys()
    event = functions.call("/x/y").json
    assert (event["resource"], event["pathParameters"]) == ("/{proxy+}", {"proxy": "x/y"})
    assert (event["body"], event["queryStringParameters"]) == (None, None)
    functions.load("rest/index.bare", "lambda", payload="1.0")
    functions.bad_response("without a statusCode")


def test_lambda_errors(functions: Bench) -> None:
    functions.load("lambda/index.failing", "lambda")
    functions.crash("no luck")
    functions.load("lambda/index.rejecting", "lambda")
    functions.crash("a string")
    functions.load("lambda/index.throwing", "lambda")
    functions.crash("at once")
    functions.load("lambda/index.object", "lambda")
    functions.bad_response("body is an object, not a string: JSON.stringify it")
    functions.load("lambda/index.status", "lambda")
    functions.bad_response("statusCode 99 is outside 200-599")
    assert (
        functions.failure("lambda/index.value", "lambda")["message"] == "lambda/index.value is a number, not a function"
    )
    assert 'index.js exports no "nosuch"' in functions.failure("lambda/index.nosuch", "lambda")["message"]
    assert (
        "has no initializer"
        in functions.failure("lambda/index.text", "lambda", initializer="lambda/index.done")["message"]
    )


# --- Alibaba Cloud Function Compute ---

FC = """
let ready = 'no';
exports.initialize = (context, callback) => setTimeout(() => { ready = context.function.name; callback(null); }, 1);
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


def test_fc_event(functions: Bench) -> None:
    functions.load("fc/index.handler", "fc-event", initializer="fc/index.initialize", env={"FC_REGION": "cn-shanghai"})
    answer = functions.call(body='{"k":1}')
    assert (answer.json["buffer"], answer.json["text"], answer.json["ready"]) == (True, '{"k":1}', "tested")
    context = answer.json["context"]
    assert (context["requestId"], context["region"], context["accountId"]) == (ID, "cn-shanghai", "")
    function = {"name": "tested", "handler": "fc/index.handler", "memory": 256, "timeout": 30}
    assert context["function"] == {**function, "initializer": "fc/index.initialize"}
    assert context["service"]["qualifier"] == "LATEST"
    assert context["credentials"] == {"accessKeyId": "", "accessKeySecret": "", "securityToken": ""}
    assert f"{ID} [info] invoked" in functions.host.logs.wait_for("invoked")[1]
    functions.load("fc/index.text", "fc-event")
    assert functions.call(body=b"bytes").body == b"got bytes"
    functions.load("fc/index.buffer", "fc-event")
    assert functions.call().body == b"\xff\x00"
    functions.load("fc/index.response", "fc-event")
    assert (functions.call().status, functions.call().headers["x-a"], functions.call().body) == (418, "b", b"teapot")
    functions.load("fc/index.nothing", "fc-event")
    assert (functions.call().status, functions.call().body) == (200, b"")


def test_fc3_http(functions: Bench) -> None:
    functions.load("fc/trigger.handler", "fc3-http", env={"FC_ACCOUNT_ID": "42"})
    answer = functions.call("/p?a=1&a=2", {"k": 1}, X_A="b")
    assert (answer.status, answer.headers["x-id"]) == (201, ID)
    event = answer.json
    assert (event["version"], event["rawPath"], event["queryParameters"]) == ("v1", "/p", {"a": "1,2"})
    assert (event["body"], event["isBase64Encoded"], event["headers"]["x-a"]) == ('{"k": 1}', False, "b")
    context = event["requestContext"]
    assert (context["accountId"], context["requestId"]) == ("42", ID)
    assert (context["http"]["method"], context["http"]["path"]) == ("POST", "/p")
    functions.load("fc/trigger.inferred", "fc3-http")
    answer = functions.call("/")
    assert (answer.status, answer.headers["content-type"], answer.json) == (200, "application/json", {"at": "/"})
    functions.load("fc/index.text", "fc3-http")
    assert functions.call("/2023-03-30/functions/tested/invocations", "raw").body == b"got raw"


def test_fc_event_errors(functions: Bench) -> None:
    functions.load("fc/index.failing", "fc-event")
    functions.crash("refused")
    functions.load("fc/index.throwing", "fc-event")
    functions.crash("thrown")
    functions.load("fc/index.circular", "fc-event")
    functions.bad_response("JSON cannot carry the result")
    failed = functions.failure("fc/index.handler", "fc-event", initializer="fc/index.initializeFailing")
    assert (failed["message"], failed["file"], failed["line"]) == ("no database", "fc/index.js", 4)
    failed = functions.failure("fc/index.handler", "fc-event", initializer="fc/index.nosuch")
    assert 'exports no "nosuch"' in failed["message"]


FC_TRIGGER = """
exports.handler = (event, context, callback) => {
  const request = JSON.parse(event.toString());
  callback(null, { statusCode: 201, headers: { 'X-Id': context.requestId }, body: JSON.stringify(request) });
};
exports.inferred = async (event) => ({ at: JSON.parse(event).rawPath });
"""

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
      path: req.path, queries: req.queries, method: req.method, url: req.url, ip: req.clientIP,
      type: req.headers['content-type'],
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


def test_fc_http(functions: Bench) -> None:
    functions.load("fc/http.handler", "fc-http")
    answer = functions.call("/p/q?a=1&b=2&b=3", "hi", Content_Type="text/x", X_Forwarded_For="203.0.113.9")
    assert (answer.status, answer.headers["x-a"], "x-gone" in answer.headers) == (202, "b", False)
    assert answer.json == {
        "path": "/p/q", "queries": {"a": "1", "b": ["2", "3"]}, "method": "POST", "url": "/p/q?a=1&b=2&b=3",
        "ip": "203.0.113.9", "type": "text/x", "body": "hi", "again": "hi", "id": ID,
    }  # fmt: skip
    functions.load("fc/http.stream", "fc-http")
    assert functions.call().body == b"ab"
    functions.load("fc/http.wrong", "fc-http")
    functions.bad_response("resp.send takes a string, a Buffer or a stream, not an object")
    functions.load("fc/http.rejecting", "fc-http")
    functions.crash("broken")


def test_express_behind_fc_express(functions: Bench) -> None:
    functions.load("fc/express.handler", "fc-http")
    for name in ("one", "two"):
        invocation = name.upper() + "0" * 23
        answer = functions.host.request("POST", f"/todos/{name}?q=x%20y", '{"a":1}', JSON, invocation=invocation)
        assert (answer.status, answer.json) == (201, {"id": name, "q": "x y", "body": {"a": 1}})
        assert functions.host.logs.wait_for(f"inside {name}")[0] == invocation


# --- which contract ---

SHAPES = """
exports.f = (req, res) => ({ method: req.method, has: typeof res.end });
exports.app = (a, b) => b.end(a.url);
exports.seven = 7;
exports.cached = async () => Object.keys(require.cache).filter((file) => !file.startsWith('/fn/app'));
exports.back = async (event) => ({
  statusCode: 200,
  headers: { 'content-type': event.headers['content-type'] },
  isBase64Encoded: event.isBase64Encoded,
  body: event.body,
});
"""

FILES = {
    "lambda/index.js": LAMBDA,
    "rest/index.js": REST,
    "lambda/esm.mjs": "export const handler = async (event) => ({ at: event.rawPath });\n",
    "fc/index.js": FC,
    "fc/http.js": FC_HTTP,
    "fc/trigger.js": FC_TRIGGER,
    "fc/express.js": FC_EXPRESS,
    "shapes.js": SHAPES,
}


@pytest.fixture(scope="module")
def functions(engine: DockerEngine, sandbox_image: str, node_platforms: Path) -> Iterator[Bench]:
    with bench(engine, sandbox_image, "node24", FILES, node_platforms) as made:
        yield made


def test_the_contract_decides(functions: Bench) -> None:
    functions.boot()
    functions.host.load("shapes.f", contract="event")
    assert functions.call().json == {"method": "GET", "has": "undefined"}
    functions.boot()
    assert functions.host.load("shapes.app", contract="web")["kind"] == "web"
    assert functions.call("/x").body == b"/x"
    assert functions.failure("shapes.seven", "web")["message"] == "shapes.seven is a number, not a web app"
    assert functions.failure("shapes.seven", "event")["message"] == "shapes.seven is a number, not a function"
    assert "knows no contract" in functions.failure("shapes.f", "nosuch")["message"]


def test_a_contract_leaves_no_names_behind(functions: Bench) -> None:
    functions.load("shapes.cached", "lambda")
    assert functions.call().json == []


def test_base64_of_a_body_is_the_body(functions: Bench) -> None:
    """Whatever bytes come in, a Lambda handler that sends them back sends the same ones."""
    functions.load("shapes.back", "lambda")
    for body in (b"plain", "ü\ufeff".encode(), bytes(range(256)), base64.b64encode(b"x")):
        for kind in ("application/octet-stream", "text/plain"):
            assert functions.call(body=body, Content_Type=kind).body == body

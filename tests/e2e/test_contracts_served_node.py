"""One project with a Node function of every contract, in both process models, behind one `fnctl run`."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import homes
from tests.support.ports import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

PACKAGES = {
    "name": "everything",
    "dependencies": {
        "@webserverless/fc-express": "^1",
        "@google-cloud/functions-framework": "^5",
        "express": "^4",
    },
}

FILES = {
    "aws.mjs": """
export const handler = async (event, context) => {
  console.log(`request ${context.awsRequestId}`);
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json' },
    cookies: ['seen=1'],
    body: JSON.stringify({ from: 'lambda', path: event.rawPath, name: event.queryStringParameters?.name }),
  };
};
export const failing = async () => { throw new Error('no luck'); };
""",
    "fc.js": """
let prefix;
exports.initializer = (context, callback) => { prefix = 'fc'; callback(null, ''); };
exports.handler = (event, context, callback) => callback(null, `${prefix} got ${event}`);
""",
    "fcexpress.js": """
const { Server } = require('@webserverless/fc-express');
const express = require('express');
const app = express();
app.get('/hello/:name', (req, res) => res.json({ hello: req.params.name, q: req.query.q }));
const server = new Server(app);
exports.handler = (req, res, context) => server.httpProxy(req, res, context);
""",
    "google.js": """
const functions = require('@google-cloud/functions-framework');
functions.http('hello', (req, res) => res.send(`Hello ${req.query.name ?? req.body.name}!`));
functions.cloudEvent('happened', (event) => console.log(`happened: ${event.data.what}`));
""",
    "handler.js": """
'use strict'
module.exports = async (event, context) => context.status(201).succeed({ got: event.body.k });
""",
    "whisk.js": "function main(params) { return { greeting: `Hello ${params.name}` }; }\n",
    "events.js": "exports.handler = (event) => ({ ...event, type: 'answer', data: { seen: event.data } });\n",
}

FUNCTIONS: dict[str, dict[str, str]] = {
    "lambda": {"contract": "lambda", "handler": "aws.handler"},
    "failing": {"contract": "lambda", "handler": "aws.failing"},
    "fc-event": {"contract": "fc-event", "handler": "fc.handler", "initializer": "fc.initializer"},
    "fc-http": {"contract": "fc-http", "handler": "fcexpress.handler"},
    "google-http": {"contract": "functions-framework-http", "handler": "google.hello"},
    "google-event": {"contract": "functions-framework-cloudevent", "handler": "google.happened"},
    "openfaas": {"contract": "openfaas", "handler": "handler.js"},
    "openwhisk": {"contract": "openwhisk", "handler": "whisk.main"},
    "cloudevents": {"contract": "cloudevents", "handler": "events.handler"},
}
MODELS = ("resident", "ephemeral")
JSON = {"Content-Type": "application/json"}
EVENT = {"ce-id": "1", "ce-source": "/test", "ce-type": "asked", "ce-specversion": "1.0"}


@dataclass(frozen=True, slots=True)
class Served:
    port: int
    project: Path
    environment: Mapping[str, str]

    def call(
        self, function: str, path: str = "/", body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], str]:
        """Each function has a host name of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        payload = None if body is None else json.dumps(body)
        named = {"Host": f"{function}.localhost:{self.port}", **({} if body is None else JSON), **(headers or {})}
        try:
            connection.request("GET" if body is None else "POST", path, payload, named)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read().decode()
        finally:
            connection.close()

    def fnctl(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "fnctl.cli.main", *words],
            cwd=self.project, env=self.environment, capture_output=True, text=True, timeout=1500,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("contracts")
    project = place / "project"
    project.mkdir()
    for name, text in {**FILES, "package.json": json.dumps(PACKAGES), "fnctl.yaml": configuration()}.items():
        (project / name).write_text(text)
    environment = {
        **os.environ,
        "FNCTL_HOME": str(homes.made(place / "home")),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    running = Served(free_port(), project, environment)
    running.fnctl("run", "--port", str(running.port), "--detach")  # may have to make images
    yield running
    running.fnctl("stop")


def configuration() -> str:
    """fnctl.yaml: each function once resident, once ephemeral."""
    functions = {
        f"{name}-{model}": {"runtime": "node24", "model": model, **fields}
        for model in MODELS
        for name, fields in FUNCTIONS.items()
    }
    return json.dumps({"functions": functions})  # JSON is YAML


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_contract_answers_as_its_platform_does(served: Served, model: str) -> None:
    status, headers, body = served.call(f"lambda-{model}", "/p?name=Ada")
    assert (status, headers["set-cookie"]) == (200, "seen=1")
    assert json.loads(body) == {"from": "lambda", "path": "/p", "name": "Ada"}
    assert served.call(f"fc-event-{model}", body={"k": 1})[::2] == (200, 'fc got {"k": 1}')
    status, _, body = served.call(f"fc-http-{model}", "/hello/Ada?q=1")
    assert (status, json.loads(body)) == (200, {"hello": "Ada", "q": "1"})
    assert served.call(f"google-http-{model}", "/?name=Ada")[::2] == (200, "Hello Ada!")
    assert served.call(f"google-event-{model}", body={"what": "a test"}, headers=EVENT)[0] == 204
    assert served.call(f"openfaas-{model}", body={"k": "v"})[::2] == (201, '{"got":"v"}')
    assert served.call(f"openwhisk-{model}", "/?name=Ada")[::2] == (200, '{"greeting":"Hello Ada"}')
    status, headers, body = served.call(f"cloudevents-{model}", body={"a": 1}, headers=EVENT)
    assert (status, headers["ce-type"], json.loads(body)) == (200, "answer", {"seen": {"a": 1}})
    status, _, body = served.call(f"cloudevents-{model}", body={"a": 1})
    assert (status, "no CloudEvent" in body) == (400, True)


def test_a_handler_that_fails_is_a_crash(served: Served, model: str) -> None:
    status, _, body = served.call(f"failing-{model}")
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (502, "crash")
    assert "Error: no luck" in error["message"]


def test_logs_and_invoke(served: Served) -> None:
    assert served.fnctl("invoke", "openwhisk-resident", "--data", '{"name": "Bob"}') == '{"greeting":"Hello Bob"}'
    status, headers, _ = served.call("lambda-resident")
    assert status == 200
    assert f"request {headers['x-fnctl-invocation-id']}" in served.fnctl("logs", "lambda-resident")

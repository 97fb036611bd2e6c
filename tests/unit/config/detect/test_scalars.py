"""Scalars of other platforms' manifests: text as it is written, and numbers where a field is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import ConfigError
from fnctl.triggers.http.found import Match, MethodNotAllowed
from fnctl.triggers.http.routes import Routes
from tests.unit.config.detect.folders import loaded

TEXTS = (
    "012345678901",
    "0123",
    "1.10",
    "12345e67",
    "on",
    "0o17",
    "0x1F",
    "1_000",
    "yes",
    "~x",
    "2024-01-02",
    ".5",
    "TRUE",
)
WRITTEN = "".join(f"{{indent}}V{index}: {text}\n" for index, text in enumerate(TEXTS))
JS = {
    "index.js": "exports.handler = (a, b, c) => c(null, a)\n",
    "handler.js": "module.exports = async (event, context) => 1\n",
}

SAM = """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  Account: {Type: String, Default: 012345678901}
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      Runtime: nodejs22.x
      Timeout: 0o17
      MemorySize: 256
      Environment:
        Variables:
          ACCOUNT: !Ref Account
          ARN: !Sub "arn:${Account}"
"""
SERVERLESS = """\
service: s
custom: {account: 012345678901}
provider: {name: aws, runtime: nodejs22.x, timeout: 15}
functions:
  hello:
    handler: index.handler
    memorySize: 256
    environment:
      ACCOUNT: ${self:custom.account}
      ARN: arn:${self:custom.account}
"""
FUN = """\
Transform: 'Aliyun::Serverless-2018-04-03'
Resources:
  s:
    Type: 'Aliyun::Serverless::Service'
    hello:
      Type: 'Aliyun::Serverless::Function'
      Properties:
        Handler: index.handler
        Runtime: nodejs14
        Timeout: 15
        MemorySize: 256
        EnvironmentVariables:
          ACCOUNT: 012345678901
          ARN: arn:012345678901
"""
DEVS = """\
edition: 3.0.0
vars: {account: 012345678901}
resources:
  hello:
    component: fc3
    props:
      runtime: nodejs20
      handler: index.handler
      code: .
      timeout: 15
      memorySize: 256
      environmentVariables:
        ACCOUNT: ${vars.account}
        ARN: arn:${vars.account}
"""
OPENFAAS = """\
provider: {name: openfaas}
functions:
  hello:
    lang: node20
    handler: .
    limits: {memory: 256Mi}
    environment:
      ACCOUNT: 012345678901
      ARN: arn:012345678901
"""


@pytest.mark.parametrize(
    ("name", "manifest", "indent"),
    [
        ("template.yaml", SAM, 10),
        ("serverless.yml", SERVERLESS, 6),
        ("template.yml", FUN, 10),
        ("s.yaml", DEVS, 8),
        ("stack.yml", OPENFAAS, 6),
    ],
)
def test_values_are_text_as_they_are_written(tmp_path: Path, name: str, manifest: str, indent: int) -> None:
    (function,) = loaded(tmp_path, {name: manifest + WRITTEN.format(indent=" " * indent), **JS})
    variables = dict(function.environment)
    assert [variables[f"V{index}"] for index in range(len(TEXTS))] == list(TEXTS)
    assert (variables["ACCOUNT"], variables["ARN"]) == ("012345678901", "arn:012345678901")
    assert function.memory_mb == 256
    if name != "stack.yml":
        assert function.timeout_s == 15


def test_what_the_manifest_has_for_a_rest_api_is_one(tmp_path: Path) -> None:
    events = "      Events: {Get: {Type: Api, Properties: {Path: /a, Method: get}}}\n"
    (function,) = loaded(tmp_path / "a", {"template.yaml": SAM + "          X: y\n" + events, **JS})
    assert (function.payload, function.routes[0].methods) == ("1.0", frozenset({"GET"}))
    (function,) = loaded(tmp_path / "b", {"template.yaml": SAM + events.replace("Api", "HttpApi"), **JS})
    assert function.payload == ""
    said = events.replace("Api", "HttpApi").replace("Method: get", "Method: get, PayloadFormatVersion: '1.0'")
    (function,) = loaded(tmp_path / "c", {"template.yaml": SAM + said, **JS})
    assert function.payload == "1.0"
    (function,) = loaded(tmp_path / "d", {"serverless.yml": SERVERLESS + "    events: [{http: GET /a}]\n", **JS})
    assert function.payload == "1.0"
    (function,) = loaded(tmp_path / "e", {"serverless.yml": SERVERLESS + "    events: [{httpApi: GET /a}]\n", **JS})
    assert function.payload == ""


def test_what_sam_builds_with_esbuild_is_served_from_its_source(tmp_path: Path) -> None:
    built = "    Metadata: {BuildMethod: esbuild, BuildProperties: {EntryPoints: [src/app.ts], Minify: true}}\n"
    manifest = SAM.replace("index.handler", "app.handler").replace("    Properties:\n", f"{built}    Properties:\n", 1)
    code = "import { Context } from 'aws-lambda';\nexport const handler = async (e: unknown, c: Context) => 1;\n"
    (function,) = loaded(tmp_path, {"template.yaml": manifest, "src/app.ts": code})
    assert function.handler == "src/app.handler"


def test_a_payload_is_lambda_s_alone(tmp_path: Path) -> None:
    written = "functions: {f: {handler: index.handler, contract: lambda, payload: 1.0}}\n"
    (function,) = loaded(tmp_path, {"fnctl.yaml": written, **JS})
    assert function.payload == "1.0"
    with pytest.raises(ConfigError, match="payload"):
        loaded(tmp_path, {"fnctl.yaml": written.replace("lambda", "event"), **JS})


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("template.yml", FUN + "      Events: {h: {Type: HTTP, Properties: {Methods: [GET, POST]}}}\n"),
        ("s.yaml", DEVS + "      triggers: [{triggerType: http, triggerConfig: {methods: [GET, POST]}}]\n"),
    ],
)
def test_the_methods_of_a_trigger_are_those_of_its_routes(tmp_path: Path, name: str, manifest: str) -> None:
    code = {"index.js": "exports.handler = (req, resp, context) => resp.send('x')\n"}
    (function,) = loaded(tmp_path, {name: manifest, **code})
    assert [(each.path, each.methods) for each in function.routes] == [("", frozenset({"GET", "POST"}))]
    routes = Routes([function])
    for target in (b"/", b"/hello/x"):
        assert isinstance(routes.match(b"localhost", b"GET", target), Match)
        with pytest.raises(MethodNotAllowed):
            routes.match(b"localhost", b"PUT", target)


@pytest.mark.parametrize("lang", ["python3", "python3-debian", "python"])
def test_a_classic_function_takes_one_call_at_a_time(tmp_path: Path, lang: str) -> None:
    """Its request is in its environment."""
    stack = f"provider: {{name: openfaas}}\nfunctions:\n  hello: {{lang: {lang}, handler: .}}\n"
    (function,) = loaded(tmp_path, {"stack.yml": stack, "handler.py": "def handle(req):\n    return req\n"})
    assert function.concurrency == 1

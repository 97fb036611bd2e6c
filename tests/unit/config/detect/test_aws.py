"""AWS Lambda: SAM's `template.yaml` and the Serverless Framework's `serverless.yml` as their users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import ConfigError
from fnctl.model import Contract, DurableRule, HttpTrigger
from tests.unit.config.detect.folders import loaded, only, places, seen

NODE = "exports.lambdaHandler = async (event, context) => ({ statusCode: 200 })\n"
PYTHON = "def get(event, context):\n    return {}\n\ndef create(event, context):\n    return {}\n"
SAM = """\
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: sam-app
Parameters:
  Stage:
    Type: String
    Default: dev
Globals:
  Function:
    Timeout: 3
    Runtime: nodejs20.x
    Environment:
      Variables:
        STAGE: !Ref Stage
        TABLE: !Ref TodosTable
Resources:
  HelloWorldFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: esbuild}
    Properties:
      CodeUri: hello-world/
      Handler: app.lambdaHandler
      MemorySize: 256
      Policies: [AWSLambdaBasicExecutionRole]
      Environment:
        Variables: {GREETING: !Sub 'hello ${Stage}'}
      Events:
        HelloWorld:
          Type: HttpApi
          Properties:
            Path: /hello/{name}
            Method: get
        Rest:
          Type: HttpApi
          Properties: {Path: '/files/{proxy+}', Method: ANY}
        Nightly:
          Type: Schedule
          Properties: {Schedule: rate(1 day)}
  TodosTable:
    Type: AWS::Serverless::SimpleTable
Outputs:
  Url: {Value: !GetAtt HelloWorldFunction.Arn}
"""
SERVERLESS = """\
service: todos
frameworkVersion: '3'
provider:
  name: aws
  runtime: python3.11
  memorySize: 512
  stage: ${opt:stage, 'dev'}
  environment:
    STAGE: ${self:provider.stage}
    TABLE: ${self:custom.tables.todos}
    SECRET: ${ssm:/todos/secret}
custom:
  tables: {todos: todos-table}
functions:
  getTodo:
    handler: src/todos.get
    timeout: 10
    events:
      - httpApi: 'GET /todos/{id}'
      - sqs: arn:aws:sqs:eu-west-1:1:queue
  createTodo:
    handler: src/todos.create
    events:
      - httpApi:
          method: POST
          path: /todos
      - schedule: rate(1 day)
"""


def test_sam(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path, {"template.yaml": SAM, "hello-world/app.js": NODE})
    assert (function.name, function.runtime, function.contract) == ("hello-world-function", "node22", Contract.LAMBDA)
    assert (function.handler, function.path) == ("app.lambdaHandler", tmp_path / "hello-world")
    assert (function.timeout_s, function.memory_mb, function.concurrency) == (3.0, 256, 1)
    assert dict(function.environment) == {"GREETING": "hello dev", "STAGE": "dev"}
    assert function.triggers == (
        HttpTrigger("/hello/{name}", frozenset({"GET"})),
        HttpTrigger("/files/{proxy...}"),
    )
    assert places(only(tmp_path, {})) == [f"template.yaml:{line}" for line in (18, 22, 11, 21)]


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ("{ExecutionTimeout: 86400, RetentionPeriodInDays: 7}", DurableRule(86_400.0, 604_800.0)),
        ("{ExecutionTimeout: 60}", DurableRule(60.0)),
        ("{}", DurableRule()),
    ],
)
def test_a_durable_function_of_sam_is_one_here(tmp_path: Path, config: str, rule: DurableRule) -> None:
    template = SAM.replace("      MemorySize: 256\n", f"      MemorySize: 256\n      DurableConfig: {config}\n")
    (function,) = loaded(tmp_path, {"template.yaml": template, "hello-world/app.js": NODE})
    assert function.durable == rule


def test_sam_tells_what_it_cannot_resolve_and_what_it_leaves(tmp_path: Path) -> None:
    notes = [str(note) for note in seen(tmp_path, {"template.yaml": SAM, "hello-world/app.js": NODE}).notes]
    assert notes == [
        "template.yaml:15: variable TABLE is left out: `!Ref TodosTable` cannot be resolved",
        "template.yaml:36: event `Nightly` of type Schedule is ignored",
        "template.yaml:11: node 20 runs on node22, the nearest available version",
    ]


def test_serverless_framework(tmp_path: Path) -> None:
    get, create = loaded(tmp_path, {"serverless.yml": SERVERLESS, "src/todos.py": PYTHON})
    assert (get.name, get.handler, get.runtime, get.contract) == (
        "get-todo", "src/todos.get", "python3.13", Contract.LAMBDA,
    )  # fmt: skip
    assert (get.timeout_s, get.memory_mb) == (10.0, 512)
    assert dict(get.environment) == {"STAGE": "dev", "TABLE": "todos-table"}
    assert get.triggers == (HttpTrigger("/todos/{id}", frozenset({"GET"})),)
    assert create.triggers == (HttpTrigger("/todos", frozenset({"POST"})),)
    notes = [str(note) for note in seen(tmp_path, {}).notes]
    assert "serverless.yml:11: variable SECRET is left out: `${ssm:/todos/secret}` cannot be resolved" in notes
    assert "serverless.yml:20: event `sqs` of getTodo is ignored" in notes


def test_serverless_framework_on_alibaba(tmp_path: Path) -> None:
    text = (
        "service: s\nprovider:\n  name: aliyun\n  runtime: nodejs8\nplugins: [serverless-aliyun-function-compute]\n"
        "functions:\n  hello:\n    handler: index.hello\n    timeout: 90s\n    events:\n"
        "      - http:\n          path: /foo\n          method: get\n"
    )
    files = {"serverless.yml": text, "index.js": "exports.hello = (event, context, callback) => callback(null, {})\n"}
    (function,) = loaded(tmp_path, files)
    assert (function.contract, function.timeout_s) == (Contract.FC_EVENT, 90.0)
    assert function.triggers == (HttpTrigger("/foo", frozenset({"GET"})),)


def test_plugins_may_add_keys(tmp_path: Path) -> None:
    text = SERVERLESS + "    warmup: true\n"
    with pytest.raises(ConfigError, match=r"serverless\.yml:28: unknown key `warmup` in functions.createTodo"):
        loaded(tmp_path, {"serverless.yml": text, "src/todos.py": PYTHON})
    found = seen(tmp_path, {"serverless.yml": text + "plugins: [serverless-plugin-warmup]\n"})
    assert "serverless.yml:28: unknown key `warmup` in functions.createTodo" in [str(note) for note in found.notes]


BAD = {
    "an unknown key": (
        SAM.replace("MemorySize", "MemorySiz"),
        "template.yaml:23: unknown key `MemorySiz`",
        "MemorySize",
    ),
    "an unknown section": (SAM.replace("Globals:", "Global:"), "template.yaml:8: unknown key `Global`", "`Globals`"),
    "a parameter of an event": (
        SAM.replace("Method: get", "Metod: get"),
        "template.yaml:32: unknown key `Metod`",
        "Method",
    ),
    "a reference": (
        SAM.replace("hello-world/", "!Ref Code"),
        "template.yaml:21: `CodeUri` of Resources.HelloWorldFunction."
        "Properties is `!Ref Code`, which cannot be resolved",
        "write it out",
    ),
    "the long form of one": (
        SAM.replace("app.lambdaHandler", "{'Fn::ImportValue': x}"),
        "template.yaml:22: `Handler` of Resources.HelloWorldFunction.Properties is `!ImportValue x`",
        None,
    ),
    "an image": (
        SAM.replace("      CodeUri", "      PackageType: Image\n      CodeUri"),
        "template.yaml:21: HelloWorldFunction is a container image",
        "folder",
    ),
    "a runtime that is not there": (
        SAM.replace("nodejs20.x", "dotnet8"),
        "template.yaml:11: no runtime for dotnet",
        "node24",
    ),
    "a wrong export": (
        SAM.replace("app.lambdaHandler", "app.handler"),
        "template.yaml:22: handler `app.handler`: app defines no `handler`",
        "lambdaHandler",
    ),
}


@pytest.mark.parametrize("written", BAD)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, written: str) -> None:
    text, said, hint = BAD[written]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {"template.yaml": text, "hello-world/app.js": NODE})
    told = caught.value.message + (caught.value.hint or "")
    assert said in told
    assert hint is None or hint in told


@pytest.mark.parametrize("provider", ["google", "${opt:provider}"])
def test_a_provider_that_is_not_known(tmp_path: Path, provider: str) -> None:
    text = SERVERLESS.replace("name: aws", f"name: {provider}")
    with pytest.raises(ConfigError, match=r"serverless\.yml:4: "):
        loaded(tmp_path, {"serverless.yml": text, "src/todos.py": PYTHON})


def test_a_template_of_something_else_is_none(tmp_path: Path) -> None:
    app = {"index.js": "require('http').createServer().listen(1)\n"}
    for text in ("title: {{ name }}\n", "Resources: {}\n", "- a\n"):
        (function,) = loaded(tmp_path, {**app, "template.yaml": text})
        assert function.contract is Contract.WEB

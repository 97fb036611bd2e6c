"""Alibaba Cloud Function Compute: `template.yml` and `s.yaml` as its users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import ConfigError
from fnctl.model import Contract, HttpTrigger
from tests.unit.config.detect.folders import loaded, only, places, seen, write

INITIALIZE = "exports.initialize = (context, callback) => callback()\n"
NODE = INITIALIZE + "exports.handler = (event, context, callback) => callback(null, event)\n"
HTTP = "module.exports.handler = (req, resp, context) => resp.send('hi')\n"
FUN = """\
ROSTemplateFormatVersion: '2015-09-01'
Transform: 'Aliyun::Serverless-2018-04-03'
Resources:
  demo: # service
    Type: 'Aliyun::Serverless::Service'
    Properties:
      Description: 'a demo'
      LogConfig: {Project: p, Logstore: l}
    helloWorld:
      Type: 'Aliyun::Serverless::Function'
      Properties:
        Handler: index.handler
        Initializer: index.initialize
        Runtime: nodejs14
        CodeUri: './code'
        MemorySize: 512
        Timeout: 60
        InstanceConcurrency: 5
        EnvironmentVariables:
          GREETING: hello
          PORT: 9000
"""
FUN_HTTP = """\
      Events:
        httpTrigger:
          Type: HTTP
          Properties:
            AuthType: ANONYMOUS
            Methods: ['GET', 'POST']
"""
FC3 = """\
edition: 3.0.0
name: hello-app
access: default
vars:
  region: cn-hangzhou
resources:
  fcDemo:
    component: fc3
    props:
      region: ${vars.region}
      functionName: start-nodejs
      description: hello
      runtime: python3.10
      handler: index.handler
      code: ./code
      cpu: 0.35
      memorySize: 512
      timeout: 30
      environmentVariables:
        STAGE: ${env('STAGE', 'dev')}
      instanceLifecycleConfig:
        initializer:
          handler: index.initialize
          timeout: 10
      triggers:
        - triggerName: httpTrigger
          triggerType: http
          triggerConfig: {authType: anonymous, methods: [GET, POST]}
"""
FC2 = """\
edition: 1.0.0
name: hello
access: default
services:
  hello-world:
    component: devsapp/fc
    props:
      region: cn-hangzhou
      service:
        name: hello-service
      function:
        name: hello
        runtime: nodejs12
        codeUri: ./
        handler: index.handler
        memorySize: 128
        timeout: 60
      triggers:
        - name: httpTrigger
          type: http
          config: {authType: anonymous, methods: [GET]}
      customDomains:
        - domainName: auto
          protocol: HTTP
          routeConfigs:
            - {path: /hello/*, methods: [GET]}
            - {path: /*}
"""
PYTHON = "def initialize(context):\n    pass\n\ndef handler(event, context):\n    return event\n"


def test_fun_event_function(tmp_path: Path) -> None:
    files = {"template.yml": FUN, "code/index.js": NODE}
    (function,) = loaded(tmp_path, files)
    assert (function.name, function.runtime, function.path) == ("hello-world", "node22", tmp_path / "code")
    assert (function.contract, function.handler) == (Contract.FC_EVENT, "index.handler")
    assert function.initializer == "index.initialize"
    assert (function.memory_mb, function.timeout_s, function.concurrency) == (512, 60.0, 5)
    assert dict(function.environment) == {"GREETING": "hello", "PORT": "9000"}
    found = seen(tmp_path, {})
    assert [str(note) for note in found.notes] == [
        "template.yml:14: node 14 runs on node22, the nearest available version"
    ]
    assert places(only(tmp_path, {})) == [f"template.yml:{line}" for line in (10, 12, 14, 15, 13)]


def test_fun_http_function(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path, {"template.yml": FUN + FUN_HTTP, "code/index.js": HTTP + INITIALIZE})
    assert function.contract is Contract.FC_HTTP
    assert only(tmp_path, {}).line_for("contract fc-http").line == 24  # type: ignore[union-attr]


def test_fc3_hands_an_event_to_built_in_runtimes_behind_http(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path, {"s.yaml": FC3, "code/index.py": PYTHON})
    assert (function.name, function.runtime, function.contract) == ("start-nodejs", "python3.13", Contract.FC3_HTTP)
    assert (function.initializer, function.cpus, function.concurrency) == ("index.initialize", 0.35, 1)
    assert dict(function.environment) == {"STAGE": "dev"}
    assert seen(tmp_path, {}).source == "s.yaml (Alibaba Function Compute (Serverless Devs))"


def test_fc3_hands_an_http_request_to_node_as_an_event(tmp_path: Path) -> None:
    event = "exports.handler = async (event, context) => 'x';\nexports.initialize = async (context) => {};\n"
    files = {"s.yaml": FC3.replace("python3.10", "nodejs20"), "code/index.js": event}
    (function,) = loaded(tmp_path, files)
    assert (function.contract, function.concurrency) == (Contract.FC3_HTTP, 1)


def test_fc3_with_a_handler_of_an_http_function(tmp_path: Path) -> None:
    wsgi = "def initialize(context):\n    pass\n\ndef handler(environ, start_response):\n    return [b'hi']\n"
    (function,) = loaded(tmp_path, {"s.yaml": FC3, "code/index.py": wsgi})
    assert function.contract is Contract.FC_HTTP
    assert "index.py:4" in places(only(tmp_path, {}))


def test_fc2_http_function_with_a_domain(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path, {"s.yaml": FC2, "index.js": HTTP})
    assert (function.name, function.contract, function.initializer) == ("hello", Contract.FC_HTTP, None)
    assert function.triggers == (HttpTrigger("/hello/{rest...}", frozenset({"GET"})),)


def test_a_custom_runtime_is_the_web_app_in_its_folder(tmp_path: Path) -> None:
    files = {
        "s.yaml": FC3.replace("python3.10", "custom.debian10"),
        "code/index.js": "require('http').createServer().listen(9000)\n",
    }
    (function,) = loaded(tmp_path, files)
    assert (function.runtime, function.handler, function.contract) == ("node24", "index.js", Contract.WEB)
    assert (function.name, function.memory_mb, function.path) == ("start-nodejs", 512, tmp_path / "code")
    assert places(only(tmp_path, {})) == ["s.yaml:13", "code/index.js:1"]


def test_other_triggers_are_told_and_the_function_is_there(tmp_path: Path) -> None:
    text = FC3.replace("triggerType: http", "triggerType: timer")
    found = seen(tmp_path, {"s.yaml": text, "code/index.py": PYTHON})
    assert only(tmp_path, {}).contract is Contract.FC_EVENT
    assert "s.yaml:26: trigger of type timer is ignored" in [str(note) for note in found.notes]


def test_what_is_not_taken_over_is_told(tmp_path: Path) -> None:
    text = FC3.replace("      cpu: 0.35\n", "      layers: [acs:fc:layers/a]\n      role: acs:ram::1:role/r\n")
    notes = [str(note) for note in seen(tmp_path, {"s.yaml": text, "code/index.py": PYTHON}).notes]
    assert "s.yaml:16: `layers` of resources.fcDemo.props is ignored: put what is in them beside the code" in notes
    assert not any("role" in note for note in notes)


def test_a_component_that_is_no_function_is_left_out(tmp_path: Path) -> None:
    extra = "  website:\n    component: website\n    props: {bucket: b}\n"
    found = seen(tmp_path, {"s.yaml": FC3 + extra, "code/index.py": PYTHON})
    assert list(found.functions) == ["start-nodejs"]
    assert any("component website is not a function" in note.text for note in found.notes)


BAD = {
    "an unknown key": (
        FC3.replace("memorySize", "memorySiz"),
        "s.yaml:17: unknown key `memorySiz`",
        "did you mean `memorySize`?",
    ),
    "an unknown key in a trigger": (
        FC3.replace("triggerType", "triggrType"),
        "s.yaml:27: unknown key `triggrType`",
        "triggerType",
    ),
    "a custom runtime": (
        FC3.replace("python3.10", "custom.debian10"),
        "s.yaml:13: fcDemo has the runtime `custom.debian10`",
        "command:",
    ),
    "a runtime that is not there": (FC3.replace("python3.10", "java11"), "s.yaml:13: no runtime for java", "node24"),
    "another Python": (FC3.replace("python3.10", "python2.7"), "s.yaml:13: no runtime for python 2.7", "python3.13"),
    "an archive": (FC3.replace("./code", "./code.zip"), "s.yaml:15: `./code.zip` is an archive", "folder"),
    "no such folder": (FC3.replace("./code", "./cod"), "s.yaml:15: no such folder: `./cod`", "relative"),
    "a folder outside": (FC3.replace("./code", ".."), "s.yaml:15: folder `..` is outside", "contains both"),
    "a handler that is not in the file": (
        FC3.replace("index.handler", "index.handle"),
        "s.yaml:14: handler `index.handle`: index defines no `handle`",
        "did you mean `handler`?",
    ),
    "an initializer that is not in the file": (
        FC3.replace("index.initialize", "index.init"),
        "s.yaml:23: initializer `index.init`",
        "initialize",
    ),
    "a module that is not there": (
        FC3.replace("index.handler", "main.handler"),
        "s.yaml:14: module `main` of handler",
        "main.py",
    ),
    "a reference that nothing resolves": (
        FC3.replace("index.handler", "${env('HANDLER')}"),
        "s.yaml:14: `handler` of resources.fcDemo.props is `${env('HANDLER')}`, which cannot be resolved",
        "write it out",
    ),
    "no handler": (FC3.replace("      handler: index.handler\n", ""), "s.yaml:9: `handler` is missing in props", None),
    "a timeout that is none": (
        FC3.replace("timeout: 30", "timeout: soon"),
        "s.yaml:18: `timeout` of resources.fcDemo.props must be a number, found `soon`",
        None,
    ),
    "broken YAML": (FC3 + "  - x: [\n", "s.yaml:29: not valid YAML", None),
    "no function": (
        "edition: 3.0.0\nresources:\n  a: {component: oss, props: {}}\n",
        "s.yaml:1: declares no function",
        None,
    ),
}


@pytest.mark.parametrize("written", BAD)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, written: str) -> None:
    text, said, hint = BAD[written]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {"s.yaml": text, "code/index.py": PYTHON})
    assert caught.value.message.startswith(said)
    assert hint is None or hint in (caught.value.hint or "")


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = FUN.replace("MemorySize", "MemorySiz").replace("./code", "./cod")
    with pytest.raises(ConfigError, match="2 problems") as caught:
        loaded(tmp_path, {"template.yml": text, "code/index.js": NODE})
    assert "template.yml:15: " in caught.value.message
    assert "template.yml:16: " in caught.value.message


def test_two_manifests_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path, {"s.yaml": FC3, "template.yml": FUN, "code/index.py": PYTHON})
    with pytest.raises(ConfigError, match=r"s\.yaml: .* one of several manifests here: template\.yml") as caught:
        loaded(tmp_path, {})
    assert "--manifest s.yaml" in (caught.value.hint or "")

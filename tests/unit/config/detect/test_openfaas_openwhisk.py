"""OpenFaaS' `stack.yml` and OpenWhisk's `manifest.yaml` as their users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.errors import ConfigError
from fnctl.model import Contract
from tests.unit.config.detect.folders import loaded, seen

STACK = """\
version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  url-ping:
    lang: node20
    handler: ./url-ping
    image: ${DOCKER_USER:-example}/url-ping:0.2
    environment:
      http_proxy: ${PROXY:-http://proxy:3128}
      write_debug: true
    limits: {memory: 128Mi, cpu: 500m}
    secrets: [api-key]
  hello:
    lang: python3-http
    handler: ./hello
    image: hello:latest
"""
CODE = {
    "url-ping/handler.js": "module.exports = async (event, context) => context.status(200).succeed('pong')\n",
    "hello/handler.py": "def handle(event, context):\n    return {'statusCode': 200, 'body': 'hi'}\n",
}
MANIFEST = """\
packages:
  default:
    actions:
      hello:
        function: src/hello.js
        runtime: nodejs:20
        web: yes
        limits: {timeout: 30000, memorySize: 128}
      greet:
        function: src/greet.py
        main: greet
        inputs: {name: World}
"""
ACTIONS = {
    "src/hello.js": "function main(params) {\n  return { body: 'hi' }\n}\n",
    "src/greet.py": "def greet(args):\n    return args\n",
}


def test_openfaas(tmp_path: Path) -> None:
    ping, hello = loaded(tmp_path, {"stack.yml": STACK, **CODE})
    assert (ping.name, ping.runtime, ping.handler, ping.contract) == (
        "url-ping", "node22", "handler.default", Contract.OPENFAAS,
    )  # fmt: skip
    assert (ping.path, ping.memory_mb, ping.cpus) == (tmp_path / "url-ping", 128, 0.5)
    assert dict(ping.environment) == {"http_proxy": "http://proxy:3128", "write_debug": "true"}
    assert (hello.runtime, hello.handler) == ("python3.13", "handler.handle")
    notes = [str(note) for note in seen(tmp_path, {}).notes]
    assert "stack.yml:14: `secrets` of functions.url-ping is ignored: declare them in fnctl.yaml" in notes


def test_openwhisk(tmp_path: Path) -> None:
    hello, greet = loaded(tmp_path, {"manifest.yaml": MANIFEST, **ACTIONS})
    assert (hello.name, hello.runtime, hello.handler, hello.contract) == (
        "hello", "node22", "src/hello.main", Contract.OPENWHISK,
    )  # fmt: skip
    assert (hello.timeout_s, hello.memory_mb, hello.concurrency) == (30.0, 128, 1)
    assert (greet.runtime, greet.handler) == ("python3.13", "src/greet.greet")


BAD = {
    "a template": (
        "stack.yml",
        STACK.replace("node20", "cobol"),
        "stack.yml:7: url-ping has the template `cobol`",
        "python",
    ),
    "a Dockerfile": ("stack.yml", STACK.replace("node20", "dockerfile"), "stack.yml:7: ", "command:"),
    "a key": ("stack.yml", STACK.replace("secrets:", "secretes:"), "stack.yml:14: unknown key `secretes`", "secrets"),
    "a folder": ("stack.yml", STACK.replace("./hello", "./helo"), "stack.yml:17: no such folder: `./helo`", None),
    "a size": ("stack.yml", STACK.replace("128Mi", "lots"), "stack.yml:13: `lots` is not a size", "128Mi"),
    "a function without a file": (
        "stack.yml",
        STACK.replace("python3-http", "node22"),
        "module `handler` of handler",
        None,
    ),
    "an action's file": (
        "manifest.yaml",
        MANIFEST.replace("hello.js", "helo.js"),
        "manifest.yaml:5: no such file",
        None,
    ),
    "an archive": (
        "manifest.yaml",
        MANIFEST.replace("src/hello.js", "src/a.zip"),
        "manifest.yaml:5: `src/a.zip` is no",
        None,
    ),
    "an action's key": (
        "manifest.yaml",
        MANIFEST.replace("main:", "mian:"),
        "manifest.yaml:11: unknown key `mian`",
        "`main`",
    ),
    "a unit": (
        "manifest.yaml",
        MANIFEST.replace("30000", "3 moons"),
        "manifest.yaml:8: `3 moons` has no known unit",
        "ms",
    ),
    "an action's function": (
        "manifest.yaml",
        MANIFEST.replace("main: greet", "main: gret"),
        "greet defines no `gret`",
        "greet",
    ),
}


@pytest.mark.parametrize("written", BAD)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, written: str) -> None:
    file, text, said, hint = BAD[written]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {file: text, **CODE, **ACTIONS, "src/a.zip": "PK"})
    told = caught.value.message + (caught.value.hint or "")
    assert said in told
    assert hint is None or hint in told


def test_a_manifest_of_kubernetes_is_none(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Service\n"
    (function,) = loaded(tmp_path, {"manifest.yaml": text, "index.js": "require('http').createServer().listen(1)\n"})
    assert function.contract is Contract.WEB

"""Handlers without a manifest: which platform they were written for, or the question where that cannot be told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnctl.config.detect import Choice, look
from fnctl.errors import ConfigError
from fnctl.model import Contract
from tests.unit.config.detect.folders import loaded, only, places, seen, write


def depends(*names: str, **more: object) -> str:
    return json.dumps({"dependencies": dict.fromkeys(names, "1"), **more})


FRAMEWORK = "@google-cloud/functions-framework"
C = Contract
TOLD = {
    "lambda by its context": (
        {"index.js": "exports.handler = async (event, context) => ({ id: context.awsRequestId })\n"},
        "index.handler",
        C.LAMBDA,
    ),
    "lambda by its event": (
        {"index.mjs": "export const handler = async (event) => event.queryStringParameters?.name\n"},
        "index.handler",
        C.LAMBDA,
    ),
    "lambda by its types": (
        {
            "index.ts": "import type { APIGatewayProxyEventV2 as E } from 'aws-lambda'\n"
            "export const handler = async (event: E): Promise<string> => 'hi'\n"
        },
        "index.handler",
        C.LAMBDA,
    ),
    "lambda by a package": (
        {
            "package.json": depends("serverless-http", "express"),
            "handler.js": "module.exports.handler = serverless(app)\n",
        },
        "handler.handler",
        C.LAMBDA,
    ),
    "lambda in python": (
        {"lambda_function.py": "import json\ndef lambda_handler(event, context):\n    return json.dumps(event)\n"},
        "lambda_function.lambda_handler",
        C.LAMBDA,
    ),
    "lambda by the time that remains": (
        {"app.py": "def handler(event, context):\n    return context.get_remaining_time_in_millis()\n"},
        "app.handler",
        C.LAMBDA,
    ),
    "fc with a callback": (
        {
            "index.js": "exports.handler = (event, context, callback) => {\n  const e = JSON.parse(event.toString())\n"
            "  callback(null, e)\n}\n"
        },
        "index.handler",
        C.FC_EVENT,
    ),
    "fc 3.0 behind http": (
        {"index.js": "exports.handler = async (event, context) => JSON.parse(event).queryParameters.name\n"},
        "index.handler",
        C.FC3_HTTP,
    ),
    "fc in python": (
        {"index.py": "import json\ndef handler(event, context):\n    e = json.loads(event)\n    context.request_id\n"},
        "index.handler",
        C.FC_EVENT,
    ),
    "fc http": (
        {"index.js": "module.exports.handler = function (req, resp, context) {\n  resp.send('hi')\n}\n"},
        "index.handler",
        C.FC_HTTP,
    ),
    "fc http in python": (
        {"index.py": "def handler(environ, start_response):\n    context = environ['fc.context']\n"},
        "index.handler",
        C.FC_HTTP,
    ),
    "fc in php": (
        {"index.php": "<?php\nfunction handler($event, $context) {\n  return $event;\n}\n"},
        "index.handler",
        C.FC_EVENT,
    ),
    "fc http in php": (
        {"index.php": "<?php\n// function handler($event, $context)\nfunction handler($request, $context): R {}\n"},
        "index.handler",
        C.FC_HTTP,
    ),
    "fnctl's own": (
        {"handler.js": "exports.handler = async (event, context) => event.query.name + context.remainingMs()\n"},
        "handler.handler",
        C.EVENT,
    ),
    "fnctl's own in python": (
        {"handler.py": "async def handler(event, context):\n    return event['params']\n"},
        "handler.handler",
        C.EVENT,
    ),
    "openfaas": (
        {"handler.js": "module.exports = async (event, context) => {\n  return context.status(200).succeed('hi')\n}\n"},
        "handler.default",
        C.OPENFAAS,
    ),
    "openfaas in python": (
        {"handler.py": "def handle(event, context):\n    return {'statusCode': 200}\n"},
        "handler.handle",
        C.OPENFAAS,
    ),
    "openwhisk": (
        {"hello.js": "function main(params) {\n  return { body: params.name }\n}\n"},
        "hello.main",
        C.OPENWHISK,
    ),
    "openwhisk, exported": ({"index.js": "exports.main = async ({ name }) => ({ name })\n"}, "index.main", C.OPENWHISK),
    "openwhisk in python": ({"__main__.py": "def main(args):\n    return args\n"}, "__main__.main", C.OPENWHISK),
    "framework http": (
        {
            "package.json": depends(FRAMEWORK, scripts={"start": "functions-framework --target=hello"}),
            "index.js": f"const ff = require('{FRAMEWORK}')\nff.http('hello', (req, res) => res.send('hi'))\n",
        },
        "index.hello",
        C.FRAMEWORK_HTTP,
    ),
    "framework, exported": (
        {
            "package.json": depends(FRAMEWORK, scripts={"start": "npx functions-framework --target hello"}),
            "index.js": "exports.hello = (req, res) => res.send('hi')\nexports.other = (req, res) => 1\n",
        },
        "index.hello",
        C.FRAMEWORK_HTTP,
    ),
    "framework, cloudevent by option": (
        {
            "package.json": depends(
                FRAMEWORK,
                main="fn.js",
                scripts={"start": "FUNCTION_TARGET=hello FUNCTION_SIGNATURE_TYPE=cloudevent functions-framework"},
            ),
            "fn.js": "exports.hello = (ce) => console.log(ce.id)\n",
        },
        "fn.hello",
        C.FRAMEWORK_CLOUDEVENT,
    ),
    "framework, cloudevent": (
        {
            "package.json": depends(FRAMEWORK),
            "index.mjs": f"import * as ff from '{FRAMEWORK}'\nff.cloudEvent('hello', () => {{}})\n",
        },
        "index.hello",
        C.FRAMEWORK_CLOUDEVENT,
    ),
    "express' response, and no framework": (
        {"index.js": "exports.hello = (req, res) => { res.status(200).send(req.body) }\n"},
        "index.hello",
        C.FRAMEWORK_HTTP,
    ),
    "framework in python": (
        {
            "requirements.txt": "functions-framework==3.*\n",
            "main.py": "import functions_framework\n@functions_framework.http\ndef hello(request):\n    return 'hi'\n",
        },
        "main.hello",
        C.FRAMEWORK_HTTP,
    ),
    "framework in python, cloudevent": (
        {"main.py": "import functions_framework\n@functions_framework.cloud_event\ndef hello(e):\n    pass\n"},
        "main.hello",
        C.FRAMEWORK_CLOUDEVENT,
    ),
    "framework in python, undecorated": (
        {"requirements.txt": "functions-framework\n", "main.py": "def hello(request):\n    return 'hi'\n"},
        "main.hello",
        C.FRAMEWORK_HTTP,
    ),
    "cloudevents": (
        {"package.json": depends("cloudevents"), "index.js": "exports.handler = (event) => event.type\n"},
        "index.handler",
        C.CLOUDEVENTS,
    ),
    "cloudevents in python": (
        {"requirements.txt": "cloudevents>=1.9\n", "handler.py": "def handler(event):\n    return event['type']\n"},
        "handler.handler",
        C.CLOUDEVENTS,
    ),
}


@pytest.mark.parametrize("written", TOLD)
def test_what_a_handler_was_written_for(tmp_path: Path, written: str) -> None:
    files, handler, contract = TOLD[written]
    finding = only(tmp_path, files)
    assert (finding.handler, finding.contract) == (handler, contract)
    assert all(each.says for each in finding.evidence)


def test_handlers_of_clouds_get_one_request_at_a_time(tmp_path: Path) -> None:
    files, _, _ = TOLD["lambda by its context"]
    (function,) = loaded(tmp_path, files)
    assert (function.contract, function.concurrency) == (Contract.LAMBDA, 1)


def test_several_targets_are_several_functions(tmp_path: Path) -> None:
    text = "import functions_framework as ff\nimport functions_framework\n" + "".join(
        f"@functions_framework.http\ndef {name}(request):\n    pass\n" for name in ("one", "two")
    )
    assert [each.name for each in loaded(tmp_path, {"main.py": text})] == ["one", "two"]


AMBIGUOUS = {
    "node": (
        {"handler.js": "exports.handler = async (event, context) => 'hi'\n"},
        "handler.js:1",
        ["event", "lambda", "fc-event"],
    ),
    "node without parameters": (
        {"index.js": "exports.handler = async () => 1\n"},
        "index.js:1",
        ["event", "lambda", "fc-event"],
    ),
    "python": (
        {"handler.py": "def handler(event, context):\n    return 1\n"},
        "handler.py:1",
        ["event", "lambda", "fc-event"],
    ),
    "a callback": (
        {"index.js": "exports.handler = (event, context, callback) => callback(null, 1)\n"},
        "index.js:1",
        ["lambda", "fc-event"],
    ),
    "both are used": (
        {"index.js": "exports.handler = (event, context) => [context.awsRequestId, context.credentials]\n"},
        "index.js:1",
        ["lambda", "fc-event"],
    ),
}


@pytest.mark.parametrize("written", AMBIGUOUS)
def test_where_several_fit_it_is_asked(tmp_path: Path, written: str) -> None:
    """The evidence of each, the line that settles it, and the command that writes it."""
    files, place, contracts = AMBIGUOUS[written]
    with pytest.raises(ConfigError) as caught:
        seen(tmp_path, files)
    error = caught.value
    assert error.exit_code == 2
    for contract in contracts:
        assert contract in error.message
        assert f"\ncontract: {contract}\n" in f"\n{error.detail}"
        assert f"`contract: {contract}`" in (error.hint or "")
    assert place in (error.detail or "")
    assert f"fnctl init --from . --contract {contracts[0]}" in (error.hint or "")
    for contract in contracts:
        ((finding, _),) = seen(tmp_path, files, Choice(contract=Contract(contract))).functions.values()
        assert finding.contract == contract


def test_with_a_file_our_own_contract_is_meant(tmp_path: Path) -> None:
    """Who has a fnctl.yaml, and says no contract in it, means fnctl's."""
    files, _, _ = AMBIGUOUS["node"]
    (function,) = loaded(tmp_path, {**files, "fnctl.yaml": "functions:\n  a: {runtime: node24}\n"})
    assert (function.handler, function.contract) == ("handler.handler", Contract.EVENT)
    (function,) = loaded(tmp_path, {"fnctl.yaml": "functions:\n  a: {runtime: node24, handler: handler.handler}\n"})
    assert function.contract is None


def test_a_contract_in_the_file_settles_it(tmp_path: Path) -> None:
    files, _, _ = AMBIGUOUS["a callback"]
    (function,) = loaded(tmp_path, {**files, "fnctl.yaml": "functions:\n  a:\n    contract: fc-event\n"})
    assert (function.runtime, function.handler, function.contract) == ("node24", "index.handler", Contract.FC_EVENT)


def test_in_a_file_the_question_has_its_line(tmp_path: Path) -> None:
    files, _, _ = AMBIGUOUS["a callback"]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {**files, "fnctl.yaml": "functions:\n  a: {}\n"})
    assert caught.value.message == "fnctl.yaml:2: function `a` could be node `index.handler` as lambda or fc-event"
    assert "set `contract: lambda` or `contract: fc-event`" in (caught.value.hint or "")


def test_two_languages_are_asked_about(tmp_path: Path) -> None:
    files = {"index.js": "require('http').createServer().listen(1)\n", "app.py": "import flask\na = flask.Flask('a')\n"}
    with pytest.raises(ConfigError, match=r"could be node `index.js` as web or python `app.a` as web") as caught:
        seen(tmp_path, files)
    assert "`runtime: node24` or `runtime: python3.13`" in (caught.value.hint or "")
    assert "--runtime node24" in (caught.value.hint or "")
    ((finding, _),) = seen(tmp_path, files, Choice(language="python")).functions.values()
    assert finding.handler == "app.a"


def test_two_handlers_are_asked_about(tmp_path: Path) -> None:
    files = {"index.js": "exports.one = (req, res) => res.end()\nexports.two = (req, res) => res.end()\n"}
    with pytest.raises(ConfigError) as caught:
        seen(tmp_path, files)
    assert "`handler: index.one` or `handler: index.two`" in (caught.value.hint or "")
    ((finding, _),) = seen(tmp_path, files, Choice(handler="index.two")).functions.values()
    assert finding.handler == "index.two"


def test_evidence_shows_what_was_used(tmp_path: Path) -> None:
    files, _, _ = TOLD["fc in python"]
    assert places(only(tmp_path, files)) == ["index.py:2", "index.py:4", "index.py:3"]


EXPORTS = {
    "assigned": "exports.run = async (event) => 1",
    "assigned function": "module.exports.run = async function named(event, context) {}",
    "both names": "module.exports.run = exports.run = (event) => 1",
    "object": "module.exports = {\n  other: 1,\n  async run(event, context) { return [1, 2] },\n}",
    "arrow in an object": "module.exports = { run: async (event, context) => ({}), b: 1 }",
    "named in an object": "async function run(event) {}\nmodule.exports = { run }",
    "variable": "const f = async (event, { id }) => 1\nexports.run = f",
    "esm": "export async function run(event, context) {}",
    "esm constant": "export const run: Handler = async (event: Event): Promise<void> => {}",
    "esm list": "const inner = (event) => 1\nexport { inner as run, other }",
    "string with brackets": "const s = 'exports.no = (event) => {'\nexports.run = (event) => `${s} }`",
    "regular expression": "const r = /[/'\"]/g; exports.run = (event) => event.replace(/'/g, '')",
    "comment": "/* exports.no = (event) => 1 */ exports.run = (event) => 1 // exports.no2 = (e) => 1",
}


@pytest.mark.parametrize("written", EXPORTS)
def test_ways_to_export(tmp_path: Path, written: str) -> None:
    write(tmp_path, {"index.js": EXPORTS[written] + "\n"})
    choice = Choice(contract=Contract.EVENT)
    assert [each.handler for each, _ in seen(tmp_path, {}, choice).functions.values()] == ["index.run"]


@pytest.mark.parametrize(
    "text", ["/*", "module.exports = {", "exports.a = (", "export {", "`a", "=/", "module.exports = "]
)
def test_a_file_that_nobody_wrote_is_looked_at_within_bounds(tmp_path: Path, text: str) -> None:
    """A bundler's output, or a broken one, of the largest size that is read: what is found does not matter here."""
    write(tmp_path, {"index.js": text * ((1 << 20) // len(text)), "app.py": "import flask\na = flask.Flask('a')\n"})
    assert "app.a" in {finding.handler for each in look(tmp_path, ()).readings for finding in each.findings}

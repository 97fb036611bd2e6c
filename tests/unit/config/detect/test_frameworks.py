"""Apps of frameworks with servers of their own, apps in packages, and two apps in one folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl.config.detect import Choice
from fnctl.errors import ConfigError, NotFound
from fnctl.model import Contract
from tests.unit.config.detect.folders import loaded, only, seen

FLASK = "from flask import Flask\n"
FACTORY = FLASK + "def create_app(config=None):\n    app = Flask(__name__)\n    return app\n"
NEXT = '{"scripts": {"dev": "next dev", "build": "next build", "start": "next start"}, "dependencies": {"next": "15"}}'
NEST = '{"scripts": {"start": "nest start", "start:prod": "node dist/main"}, "dependencies": {"@nestjs/core": "11"}}'
NEST_SOURCE = (
    "import { NestFactory } from '@nestjs/core'\nasync function b() { (await NestFactory.create(A)).listen(3000) }\n"
)
EGG = (
    '{"scripts": {"start": "egg-scripts start --daemon --title=shop", "dev": "egg-bin dev"},'
    ' "dependencies": {"egg": "3", "egg-scripts": "2"}}'
)
STREAMLIT = "import streamlit as st\nst.title('hi')\n"
GRADIO = "import gradio as gr\nwith gr.Blocks() as demo:\n    gr.Markdown('hi')\ndemo.launch()\n"

HANDLERS = {
    "flaskr": ({"flaskr/__init__.py": FACTORY, "tests/__init__.py": "", "setup.cfg": ""}, "flaskr.create_app"),
    "an app in a package": ({"shop/__init__.py": FLASK + "app = Flask(__name__)\n"}, "shop.app"),
    "in a package's module": (
        {"shop/__init__.py": "", "shop/main.py": "from fastapi import FastAPI\napp = FastAPI()\n"},
        "shop.main.app",
    ),
    "egg, started by a program of its own": (
        {"package.json": EGG.replace("egg-scripts start", "node server.js"), "server.js": "app.listen(3000)"},
        "server.js",
    ),
    "nest, built": (
        {"package.json": NEST, "dist/main.js": "app.listen(3000)", "src/main.ts": NEST_SOURCE},
        "dist/main.js",
    ),
    "next, standalone": ({"package.json": NEXT, ".next/standalone/server.js": ""}, ".next/standalone/server.js"),
    "of two apps the one that is called so": (
        {"main.py": "from fastapi import FastAPI\nold = FastAPI()\napp = FastAPI()\n"},
        "main.app",
    ),
    "of two exported apps the one that is called so": (
        {"index.js": "const express = require('express')\nexports.old = express()\nexports.app = express()\n"},
        "index.app",
    ),
}
COMMANDS = {
    "next": ({"package.json": NEXT, "app/page.tsx": ""}, "node24", "next start --port $PORT"),
    "egg, whose app.js is a hook": (
        {"package.json": EGG, "app.js": "module.exports = app => {}", "app/router.js": ""},
        "node24",
        "egg-scripts start --workers=1 --port=$PORT",
    ),
    "streamlit": ({"requirements.txt": "streamlit\n", "app.py": STREAMLIT}, "python3.13", "streamlit run app.py"),
    "streamlit by its own name": (
        {"requirements.txt": "streamlit\n", "streamlit_app.py": STREAMLIT, "helper.py": STREAMLIT},
        "python3.13",
        "streamlit run streamlit_app.py",
    ),
    "streamlit by a script": (
        {"requirements.txt": "streamlit\n", "Procfile": "web: streamlit run ui/start.py\n", "ui/start.py": STREAMLIT},
        "python3.13",
        "streamlit run ui/start.py",
    ),
    "gradio": ({"requirements.txt": "gradio==5\n", "app.py": GRADIO}, "python3.13", "python app.py"),
}


@pytest.mark.parametrize("app", HANDLERS)
def test_the_handler_is_found(tmp_path: Path, app: str) -> None:
    files, handler = HANDLERS[app]
    finding = only(tmp_path, files)
    assert (finding.handler, finding.contract) == (handler, Contract.WEB)


@pytest.mark.parametrize("app", COMMANDS)
def test_what_has_a_server_of_its_own_is_a_command(tmp_path: Path, app: str) -> None:
    files, runtime, command = COMMANDS[app]
    (function,) = loaded(tmp_path, files)
    assert (function.runtime, function.contract) == (runtime, Contract.COMMAND)
    assert command in " ".join(function.command)
    assert any("$PORT" in word for word in function.command)


def test_nest_that_is_not_built_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {"package.json": NEST, "src/main.ts": NEST_SOURCE})
    assert "dist/main.js" in caught.value.message


@pytest.mark.parametrize(
    "files",
    [
        {"main.py": "from fastapi import FastAPI\npublic = FastAPI()\nadmin = FastAPI()\n"},
        {"index.js": "const express = require('express')\nexports.one = express()\nexports.two = express()\n"},
        {"one/__init__.py": FLASK + "app = Flask(__name__)\n", "two/__init__.py": FLASK + "app = Flask(__name__)\n"},
    ],
)
def test_between_two_apps_a_person_decides(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="cannot detect") as caught:
        seen(tmp_path, files)
    assert "--handler" in (caught.value.hint or "")


# -- Functions Framework -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import functions_framework.aio\n@functions_framework.aio.http\nasync def hello(request):\n    return 'x'\n",
        "from functions_framework import aio\n@aio.http\nasync def hello(request):\n    return 'x'\n",
        "from functions_framework import http\n@http\ndef hello(request):\n    return 'x'\n",
        "import functions_framework as ff\n@ff.http\ndef hello(request):\n    return 'x'\n",
    ],
)
def test_the_framework_s_decorators_in_every_spelling(tmp_path: Path, code: str) -> None:
    finding = only(tmp_path, {"main.py": code, "requirements.txt": "functions-framework\n"})
    assert (finding.handler, finding.contract) == ("main.hello", Contract.FRAMEWORK_HTTP)


def test_a_registered_function_beside_other_exports_is_there(tmp_path: Path) -> None:
    files = {
        "package.json": '{"dependencies": {"@google-cloud/functions-framework": "4"}}',
        "index.js": "const f = require('@google-cloud/functions-framework')\n"
        "f.http('hello', (req, res) => res.send('hi'))\nmodule.exports = { helper() {} }\n",
        "fnctl.yaml": "functions:\n  hi: {handler: index.hello, contract: functions-framework-http}\n",
    }
    (function,) = loaded(tmp_path, files)
    assert function.handler == "index.hello"


def test_names_that_are_not_ours_are_mapped_and_told(tmp_path: Path) -> None:
    code = "import functions_framework as ff\n"
    code += "".join(
        f"@ff.http\ndef {name}(request):\n    return 'x'\n" for name in ("say_hello", "sayHello", "say_bye")
    )
    found = seen(tmp_path, {"main.py": code})
    assert list(found.functions) == ["say-hello", "say-hello-2", "say-bye"]
    assert "`say_hello` is called `say-hello` here, `sayHello` is called `say-hello-2` here" in found.words


# -- what a person says ------------------------------------------------------------------------------------------------

TWO = {
    "app.py": FLASK + "app = Flask(__name__)\nother = Flask(__name__)\n",
    "odd.py": "def go(event, context):\n    ...\n",
}


def test_a_handler_that_nobody_would_find_wins(tmp_path: Path) -> None:
    ((found, runtime),) = seen(tmp_path, TWO, Choice(handler="odd.go", contract=Contract.LAMBDA)).functions.values()
    assert (found.handler, found.contract, runtime) == ("odd.go", Contract.LAMBDA, "python3.13")
    ((found, _),) = seen(tmp_path, TWO, Choice(handler="app.other")).functions.values()
    assert (found.handler, found.contract) == ("app.other", Contract.WEB)
    ((found, _),) = seen(tmp_path, TWO, Choice(handler="odd.py")).functions.values()
    assert (found.handler, found.contract) == ("odd.py", Contract.WEB)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(handler="nosuch.go"), "no such file or module"),
        (Choice(handler="nosuch.py"), "no such file or module"),
        (Choice(handler="odd.stop"), "odd defines no `stop`"),
        (Choice(handler="../x.py"), "no such file or module"),
        (Choice(language="php"), "no php code"),
    ],
)
def test_what_fits_nothing_is_refused(tmp_path: Path, choice: Choice, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        seen(tmp_path, TWO, choice)
    assert message in caught.value.message


def test_a_contract_wins_over_what_was_found(tmp_path: Path) -> None:
    files = {"index.js": "exports.handler = async (event, context) => event.queryStringParameters\n"}
    ((found, _),) = seen(tmp_path, files, Choice(contract=Contract.OPENFAAS)).functions.values()
    assert found.contract is Contract.OPENFAAS


SAM = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  SayHello:
    Type: AWS::Serverless::Function
    Properties: {Handler: index.handler, Runtime: nodejs22.x}
  SayBye:
    Type: AWS::Serverless::Function
    Properties: {Handler: bye.handler, Runtime: nodejs22.x}
"""
JS = "exports.handler = async (event) => 1\n"


def test_a_manifest_is_chosen_from_too(tmp_path: Path) -> None:
    files = {"template.yaml": SAM, "index.js": JS, "bye.js": JS}
    assert list(seen(tmp_path, files, Choice(handler="bye.handler")).functions) == ["say-bye"]
    found = seen(tmp_path, files, Choice(contract=Contract.EVENT))
    assert {each.contract for each, _ in found.functions.values()} == {Contract.EVENT}
    assert "`SayHello` is called `say-hello` here" in found.words
    for choice in (Choice(handler="no.handler"), Choice(language="python")):
        with pytest.raises(ConfigError):
            seen(tmp_path, files, choice)


def test_a_handler_in_another_file_is_named(tmp_path: Path) -> None:
    files = {
        "template.yaml": SAM.replace("bye.handler", "index.bye"),
        "index.js": JS,
        "lib/bye.js": "exports.bye = () => 1\n",
    }
    with pytest.raises(ConfigError) as caught:
        seen(tmp_path, files)
    assert "`lib/bye.bye`" in f"{caught.value.message}{caught.value.hint}{caught.value.detail}"


# -- custom runtimes ---------------------------------------------------------------------------------------------------

CUSTOM = """\
edition: 3.0.0
resources:
  web:
    component: fc3
    props:
      functionName: my_web
      runtime: custom.debian11
      code: .
      environmentVariables: {STAGE: dev}
      customRuntimeConfig:
        command: [node, server.js]
        args: ["--port", "9000"]
        port: 9000
"""


def test_the_command_of_a_custom_runtime_is_run(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path, {"s.yaml": CUSTOM, "server.js": "require('x')\n"})
    assert (function.name, function.runtime) == ("my-web", "node24")
    assert function.command == ("node", "server.js", "--port", "9000")
    assert dict(function.environment) == {"STAGE": "dev", "PORT": "9000", "FC_SERVER_PORT": "9000"}


def test_nothing_there_is_still_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        seen(tmp_path, {"notes.txt": ""})

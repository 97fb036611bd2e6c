"""Web apps as people write them, in folders that hold nothing else: told by reading alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnctl import config
from fnctl.config.detected import function_name
from fnctl.errors import NotFound
from fnctl.model import Contract
from tests.unit.config.detect.folders import RUNTIMES, loaded, only, places, seen, write

EXPRESS = "const app = require('express')()\napp.listen(process.env.PORT || 3000)\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
RUN = "if __name__ == '__main__':\n    app.run()\n"
MANAGE = "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
DJANGO_WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"

NODE = {
    "express": ({"index.js": EXPRESS}, "index.js"),
    "main of package.json": ({"package.json": '{"main": "src/api"}', "src/api.js": EXPRESS}, "src/api.js"),
    "the start script, which requires what listens": (
        {
            "package.json": '{"scripts": {"start": "NODE_ENV=production node --trace-warnings ./bin/www"}}',
            "bin/www": "require('../app')",
        },
        "bin/www",
    ),
    "nodemon": ({"package.json": '{"scripts": {"start": "nodemon api.js"}}', "api.js": EXPRESS}, "api.js"),
    "koa": (
        {"app.js": "const Koa = require('koa')\nconst app = new Koa()\nmodule.exports = app.listen(3000)\n"},
        "app.js",
    ),
    "fastify": (
        {"server.mjs": "import Fastify from 'fastify'\nawait Fastify().listen({ port: 3000 })\n"},
        "server.mjs",
    ),
    "plain http": (
        {"index.mjs": "import http from 'http'\nhttp.createServer((q, r) => r.end()).listen(80)\n"},
        "index.mjs",
    ),
    "typescript": ({"src/index.ts": "import express from 'express'\nexpress().listen(1)\n"}, "src/index.ts"),
    "exported, and nobody listens": (
        {"app.js": "const e = require('express')\nconst app = express()\nexports.app = app\n"},
        "app.app",
    ),
    "a handler function": ({"index.js": "exports.serve = (req, res) => res.end('hi')\n"}, "index.serve"),
}
PYTHON = {
    "flask": ({"app.py": FLASK}, "app.app"),
    "flask that serves itself": ({"app.py": FLASK + RUN}, "app.py"),
    "a program it runs is no server": ({"app.py": FLASK + "import subprocess\nsubprocess.run(['ls'])\n"}, "app.app"),
    "fastapi": ({"main.py": "import fastapi\napi: fastapi.FastAPI = fastapi.FastAPI()\n"}, "main.api"),
    "fastapi in a package": (
        {"app/__init__.py": "", "app/main.py": "from fastapi import FastAPI\napp = FastAPI()\n"},
        "app.main.app",
    ),
    "starlette": (
        {
            "app.py": "from starlette.applications import Starlette as S\napp = S([])\n"
            "from starlette.applications import Starlette\napp = Starlette([])\n"
        },
        "app.app",
    ),
    "quart": ({"server.py": "from quart import Quart\napp = Quart(__name__)\n"}, "server.app"),
    "a factory": ({"app.py": "def create_app():\n    return 1\n"}, "app.create_app"),
    "a factory in a package": ({"app/__init__.py": "def create_app(config=None):\n    ...\n"}, "app.create_app"),
    "what a factory makes": ({"wsgi.py": "from shop import create_app\napp = create_app('live')\n"}, "wsgi.app"),
    "plain wsgi": ({"wsgi.py": "def application(environ, start_response):\n    ...\n"}, "wsgi.application"),
    "plain asgi": ({"asgi.py": "async def app(scope, receive, send):\n    ...\n"}, "asgi.app"),
    "the standard library's server": (
        {"server.py": "from http.server import HTTPServer\nHTTPServer(('', 80), None).serve_forever()\n"},
        "server.py",
    ),
    "a Procfile": (
        {"Procfile": "web: gunicorn -w 4 shop.web:site\n", "shop/web.py": "site = make()\n"},
        "shop.web.site",
    ),
    "django": (
        {
            "manage.py": MANAGE,
            "shop/settings.py": "WSGI_APPLICATION = 'shop.wsgi.application'\n",
            "shop/wsgi.py": DJANGO_WSGI,
        },
        "shop.wsgi.application",
    ),
    "django without the setting": ({"manage.py": MANAGE, "shop/wsgi.py": DJANGO_WSGI}, "shop.wsgi.application"),
    "django with neither": ({"manage.py": MANAGE, "shop/settings.py": ""}, "manage.py"),
    "django on asgi": (
        {"manage.py": MANAGE, "shop/asgi.py": DJANGO_WSGI.replace("wsgi", "asgi")},
        "shop.asgi.application",
    ),
}
PHP = {
    "a page": ({"index.php": "<?php\nheader('Content-Type: text/plain');\necho 'hi';\n"}, "index.php"),
    "a public folder": ({"public/index.php": "<html><?= 1 ?></html>"}, "public/index.php"),
}


@pytest.mark.parametrize("app", [*NODE, *PYTHON, *PHP])
def test_an_app_is_told_by_its_files(tmp_path: Path, app: str) -> None:
    files, handler = {**NODE, **PYTHON, **PHP}[app]
    finding = only(tmp_path, files)
    language = "node" if app in NODE else "python" if app in PYTHON else "php"
    assert (finding.language, finding.handler, finding.contract) == (language, handler, Contract.WEB)
    assert all(each.line for each in finding.evidence)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"index.js": "console.log(1)"},
        {"index.js": "// app.listen(3000)\nconst s = 'app.listen()'\n"},
        {"app.py": "print(1)"},
        {"app.py": "def ("},
        {"package.json": "[]"},
        {"package.json": '{"scripts": {"start": "node gone.js"}}'},
        {"main.py": "def main():\n    pass\n\nif __name__ == '__main__':\n    main()\n"},
        {"main.py": "def main(argv):\n    return 0\n"},
        {"app.py": "def create_app(config):\n    ...\n"},
        {"manage.py": "print('not of django')\n"},
        {"index.js": "x" * (1 << 21)},
    ],
)
def test_other_folders_are_no_app(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="no app found"):
        seen(tmp_path, files)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.js").write_text(EXPRESS)
    folder = write(tmp_path / "app", {})
    (folder / "index.js").symlink_to(tmp_path / "secret.js")
    with pytest.raises(NotFound):
        seen(folder, {})


def test_nothing_is_run(tmp_path: Path) -> None:
    only(tmp_path, {"app.py": FLASK + "open('ran', 'w')\n"})
    assert not (tmp_path / "ran").exists()


def test_evidence_names_the_lines(tmp_path: Path) -> None:
    package = json.dumps({"scripts": {"start": "node index.js"}, "dependencies": {"express": "5"}}, indent=1)
    finding = only(tmp_path, {"package.json": package, "index.js": "// an app\n" + EXPRESS})
    assert [(each.where, each.says) for each in finding.evidence] == [
        ("package.json:3", '"start": "node index.js"'),
        ("index.js:3", "app.listen(process.env.PORT || 3000)"),
        ("package.json:6", '"express": "5"'),
    ]


@pytest.mark.parametrize(
    ("engines", "runtime"),
    [("22.x", "node22"), ("^22.1", "node22"), (">=18", "node24"), ("20", "node22"), ("*", "node24")],
)
def test_the_version_that_package_json_asks_for(tmp_path: Path, engines: str, runtime: str) -> None:
    (function,) = loaded(tmp_path, {"package.json": json.dumps({"engines": {"node": engines}}), "index.js": EXPRESS})
    assert function.runtime == runtime


def test_a_folder_without_a_file_is_a_project(tmp_path: Path) -> None:
    (function,) = loaded(tmp_path / "My Todos", {"index.js": EXPRESS})
    assert (function.name, function.runtime, function.handler) == ("my-todos", "node24", "index.js")
    assert (function.contract, function.concurrency) == (Contract.WEB, 64)


def test_a_django_project_points_at_its_settings(tmp_path: Path) -> None:
    files, _ = PYTHON["django"]
    assert places(only(tmp_path, files)) == ["shop/settings.py:1", "manage.py:2"]


@pytest.mark.parametrize(("folder", "name"), [("Todo App", "todo-app"), ("9lives", "fn-9lives"), ("a" * 70, "a" * 63)])
def test_a_folder_gives_a_legal_name(folder: str, name: str) -> None:
    assert function_name(Path("/x") / folder) == name


def test_who_runs_it_is_told_that_nobody_wrote_it_down(tmp_path: Path) -> None:
    project = config.load(write(tmp_path, {"index.js": EXPRESS}), environ={}, runtimes=RUNTIMES)
    assert project.notes == ("no fnctl.yaml: found index.js as web on node24 in the code; `fnctl detect` shows why",)

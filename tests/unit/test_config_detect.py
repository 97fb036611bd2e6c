"""What a folder without a file is taken for, by reading alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fnctl import config
from fnctl.config.detect import App, detect
from fnctl.config.resolve import function_name
from fnctl.errors import ConfigError
from fnctl.model import RuntimeSpec

RUNTIMES = {
    name: RuntimeSpec(name=name, language=language, version=version, folder=Path("/"), agent=())
    for name, language, version in (("node9", "node", "9.0.0"), ("node24", "node", "24.1.0"), ("py", "python", "3.13"))
}
EXPRESS = "const app = require('express')()\napp.listen(process.env.PORT || 3000)\n"
FLASK = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"index.js": EXPRESS}, App("node", "index.js")),
        ({"package.json": json.dumps({"main": "src/api"}), "src/api.js": EXPRESS}, App("node", "src/api.js")),
        (
            {
                "package.json": json.dumps(
                    {"scripts": {"start": "NODE_ENV=production node --trace-warnings ./bin/www"}}
                ),
                "bin/www": "require('../app')",
            },
            App("node", "bin/www"),
        ),
        ({"handler.js": "exports.handler = async () => 1"}, App("node", "handler.handler")),
        ({"index.mjs": "export async function handler() {}"}, App("node", "index.handler")),
        ({"app.py": FLASK}, App("python", "app.app")),
        ({"app.py": FLASK + "if __name__ == '__main__':\n    app.run()\n"}, App("python", "app.py")),
        ({"main.py": "import fastapi\napi = fastapi.FastAPI()\n"}, App("python", "main.api")),
        ({"app.py": "def create_app():\n    return 1\n"}, App("python", "app.create_app")),
        ({"handler.py": "async def handler(event, context):\n    return 1\n"}, App("python", "handler.handler")),
    ],
)
def test_an_app_is_told_by_its_files(tmp_path: Path, files: dict[str, str], app: App) -> None:
    write(tmp_path, files)
    assert detect(tmp_path) == (app,)


@pytest.mark.parametrize(
    "files",
    [{}, {"index.js": "console.log(1)"}, {"app.py": "print(1)"}, {"app.py": "def ("}, {"package.json": "[]"}],
)
def test_other_folders_are_no_app(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, files)
    assert detect(tmp_path) is None


def test_nothing_is_run(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": FLASK + "open('ran', 'w')\n"})
    detect(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_a_file_is_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "My Todos"
    write(folder, {"index.js": EXPRESS})
    project = config.load(folder, environ={}, runtimes=RUNTIMES)
    (function,) = project.functions
    assert (function.name, function.runtime, function.handler) == ("my-todos", "node24", "index.js")
    assert project.file is None
    assert project.root == folder


def test_two_languages_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path, {"index.js": EXPRESS, "app.py": FLASK})
    with pytest.raises(ConfigError, match=r"could be node \(index.js\) and python \(app.app\)"):
        config.load(tmp_path, environ={}, runtimes=RUNTIMES)


@pytest.mark.parametrize(("folder", "name"), [("Todo App", "todo-app"), ("9lives", "fn-9lives"), ("a" * 70, "a" * 63)])
def test_a_folder_gives_a_legal_name(folder: str, name: str) -> None:
    assert function_name(Path("/x") / folder) == name


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

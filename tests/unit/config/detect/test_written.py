"""The fnctl.yaml that is written says what was found: reading it gives the same functions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from fnctl import config
from fnctl.cli.main import main
from fnctl.config.detect import written
from tests.unit.config.detect import test_aws, test_fc, test_handlers, test_openfaas_openwhisk, test_web_apps
from tests.unit.config.detect.folders import RUNTIMES, loaded, seen, write

FOLDERS = {
    "sam": {"template.yaml": test_aws.SAM, "hello-world/app.js": test_aws.NODE},
    "serverless": {"serverless.yml": test_aws.SERVERLESS, "src/todos.py": test_aws.PYTHON},
    "fun": {"template.yml": test_fc.FUN, "code/index.js": test_fc.NODE},
    "fc3": {"s.yaml": test_fc.FC3, "code/index.py": test_fc.PYTHON},
    "openfaas": {"stack.yml": test_openfaas_openwhisk.STACK, **test_openfaas_openwhisk.CODE},
    "openwhisk": {"manifest.yaml": test_openfaas_openwhisk.MANIFEST, **test_openfaas_openwhisk.ACTIONS},
    "express": {"index.js": test_web_apps.EXPRESS},
    "lambda": test_handlers.TOLD["lambda by its context"][0],
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_file_gives_the_same_functions(tmp_path: Path, kind: str) -> None:
    without = loaded(tmp_path, FOLDERS[kind])
    found = seen(tmp_path, {})
    write(tmp_path, {"fnctl.yaml": written.text(found.functions, found.source)})
    project = config.load(tmp_path, environ={}, runtimes=RUNTIMES)
    assert project.file == tmp_path / "fnctl.yaml"
    assert [replace(each, triggers=()) for each in project.functions] == [
        replace(each, triggers=()) for each in without
    ]
    assert [set(each.triggers) for each in project.functions] == [set(each.triggers) for each in without]


def test_each_line_says_where_it_comes_from(tmp_path: Path) -> None:
    found = seen(tmp_path, FOLDERS["fc3"])
    text = written.text(found.functions, found.source)
    assert "    handler: index.handler # s.yaml:14\n" in text
    assert "    contract: fc3-http # s.yaml:26\n" in text


@given(st.text())
def test_any_text_survives(value: str) -> None:
    line = f"a: {written.scalar(value)}\n"
    if value.isprintable():
        assert YAML(typ="safe", pure=True).load(line) == {"a": value} or value.replace(".", "").isdigit()


def test_a_dollar_of_another_platform_stays(tmp_path: Path) -> None:
    text = test_aws.SAM.replace("!Sub 'hello ${Stage}'", "'${HOME}'")
    found = seen(tmp_path, {"template.yaml": text, "hello-world/app.js": test_aws.NODE})
    write(tmp_path, {"fnctl.yaml": written.text(found.functions, found.source)})
    (function,) = config.load(tmp_path, environ={}, runtimes=RUNTIMES).functions
    assert dict(function.environment)["GREETING"] == "${HOME}"


class TestVerbs:
    """`fnctl detect` and `fnctl init --from`, with the runtimes that are shipped."""

    def test_detect_prints_what_and_why_and_the_file(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(tmp_path / "shop", FOLDERS["express"])
        assert main(["detect", str(tmp_path / "shop")]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert "shop      node24   index.js  web       ." in printed.out
        assert "  index.js:2  app.listen(process.env.PORT || 3000)  contract web: it listens" in printed.out
        assert "  functions:\n    shop:\n      runtime: node24\n" in printed.out

    def test_yaml_and_json_are_for_programs(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write(tmp_path / "shop", FOLDERS["express"])
        assert main(["detect", str(tmp_path / "shop"), "-o", "yaml"]) == 0
        assert YAML(typ="safe", pure=True).load(capsys.readouterr().out) == {
            "functions": {"shop": {"runtime": "node24", "handler": "index.js", "contract": "web"}}
        }
        assert main(["detect", str(tmp_path / "shop"), "-o", "json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["functions"]["shop"]["handler"] == "index.js"
        assert data["evidence"][0] == {
            "function": "shop",
            "file": "index.js",
            "line": 2,
            "says": "app.listen(process.env.PORT || 3000)",
            "so": "contract web: it listens, so handler index.js",
        }

    def test_a_question_is_an_error_with_nothing_on_stdout(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tmp_path / "shop", {"handler.js": "exports.handler = async (event, context) => 1\n"})
        assert main(["detect", str(tmp_path / "shop")]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "error: cannot detect what shop/ is" in printed.err
        assert "  contract: lambda\n    handler.js:1" in printed.err
        assert "hint: set `contract: event` or `contract: lambda` or `contract: fc-event` in fnctl.yaml" in printed.err

    def test_init_from_writes_the_file_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = write(tmp_path / "shop", {"handler.js": "exports.handler = async (event, context) => 1\n"})
        assert main(["init", "--from", str(folder), "--contract", "event"]) == 0
        assert "    contract: event # handler.js:1\n" in (folder / "fnctl.yaml").read_text()
        (function,) = config.load(folder, environ={}).functions
        assert function.handler == "handler.handler"
        assert main(["init", "--from", str(folder)]) == 1
        assert "fnctl.yaml already exists" in capsys.readouterr().err

    def test_init_leaves_nothing_where_it_cannot_tell(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "shop", {"notes.txt": "nothing\n"})
        assert main(["init", "--from", str(folder)]) == 2
        assert [path.name for path in folder.iterdir()] == ["notes.txt"]

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["detect", "gone"], "no such folder: gone"),
            (["detect", "--contract", "lamda"], "did you mean `lambda`?"),
            (["detect", "--runtime", "node2"], "did you mean `node2"),
            (["detect", "--manifest", "s.yaml"], "s.yaml: not a manifest that fnctl knows"),
            (["init", "--from", ".", "-t", "hello-node"], "--from cannot be used with FOLDER or --template"),
            (["init", "--contract", "lambda"], "need --from"),
        ],
    )
    def test_wrong_words(
        self,
        tmp_path: Path,
        words: list[str],
        said: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(words) == 2
        assert said in capsys.readouterr().err


def test_what_is_written_is_what_run_takes_and_keeps_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import functions_framework\n"
    code += "".join(
        f"@functions_framework.http\ndef {name}(request): return 'x'\n" for name in ("say_hello", "say_bye")
    )
    write(tmp_path, {"main.py": code, ".env": "GREETING=hi\n", "compose.yaml": "services: {}\n"})
    assert main(["init", "--from", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "`say_hello` is called `say-hello` here" in told
    assert "compose.yaml is not read" in told and "keep the variables of .env" in told
    functions = config.load(tmp_path, environ={}).functions
    assert [each.name for each in functions] == ["say-hello", "say-bye"]
    assert all(dict(each.environment) == {"GREETING": "hi"} for each in functions)


def test_a_memory_that_nothing_starts_in_is_raised_and_told(tmp_path: Path) -> None:
    stack = "provider: {name: openfaas}\nfunctions:\n  f: {lang: node20, handler: ., limits: {memory: 20Mi}}\n"
    found = seen(tmp_path, {"stack.yml": stack, "handler.js": "module.exports = async (event, context) => 1\n"})
    ((finding, _),) = found.functions.values()
    assert finding.memory_mb == 32
    assert "memory of 20 MB is raised to 32 MB" in " ".join(map(str, found.notes))


def test_two_functions_of_one_route_are_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    functions = "".join(f"  {name}: {{handler: i.h, events: [{{httpApi: 'GET /a'}}]}}\n" for name in ("one", "two"))
    manifest = f"service: s\nprovider: {{name: aws, runtime: nodejs22.x}}\nfunctions:\n{functions}"
    write(tmp_path, {"serverless.yml": manifest, "i.js": "exports.h = async (event, context) => 1\n"})
    assert main(["init", "--from", str(tmp_path)]) == 2
    assert "both claim /a" in capsys.readouterr().err
    assert not (tmp_path / "fnctl.yaml").exists()


def test_nothing_is_written_that_run_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {"index.php": "<?php\nfunction main($args) { return []; }\n"})  # PHP has no such contract
    assert main(["init", "--from", str(tmp_path)]) == 2
    assert not (tmp_path / "fnctl.yaml").exists()

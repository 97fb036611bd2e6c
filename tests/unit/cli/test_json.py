"""`-o json`: one shape a verb, told by a schema, and the same for errors whatever the verb."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fnctl.bench.measure import LoadRow, Measure, Question, Result, Series, as_json
from fnctl.cli import app
from fnctl.cli.main import main
from fnctl.cli.shapes import ERROR, SHAPES, Schema
from tests.unit.config.detect.folders import write

TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
    "null": type(None),
}  # fmt: skip


def fits(value: Any, schema: Schema, at: str = "$") -> None:
    """The part of JSON Schema that shapes.py uses."""
    if "enum" in schema:
        assert value in schema["enum"], at
    kinds = schema.get("type", list(TYPES))
    kinds = kinds if isinstance(kinds, list) else [kinds]
    assert isinstance(value, tuple(TYPES[each] for each in kinds)), f"{at}: {value!r} is not {kinds}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            assert name in value, f"{at} has no {name}"
        for name, each in schema.get("properties", {}).items():
            if name in value:
                fits(value[name], each, f"{at}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            fits(each, schema["items"], f"{at}[{index}]")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "home"))
    folder = write(tmp_path / "shop", {"app.py": "from flask import Flask\napp = Flask(__name__)\n"})
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("verb", ["ps", "logs", "reload", "queue ls", "queue peek shop", "clock show"])
def test_where_nothing_runs_every_verb_says_so_in_the_same_shape(
    project: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "-o", "json"]) == 2
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    fits(said, ERROR)
    assert (said["error"]["code"], printed.err.startswith("error: ")) == ("not_found", True)
    assert main(verb.split()) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [["ps", "--nosuch", "-o", "json"], ["nosuch", "--output=json"]])
def test_wrong_usage_too(project: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("verb", "shape"), [("detect", "detect"), ("build --dry-run", "build --dry-run"), ("key ls", "key ls")]
)
def test_what_is_printed_fits_the_schema(
    project: Path, verb: str, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["key", "add", "mine"])
    capsys.readouterr()
    assert main([*verb.split(), "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said
    fits(said, SHAPES[shape])


def printing(command: Any, path: str = "") -> Iterator[str]:
    """The verbs that have `-o json`."""
    for name in getattr(command, "list_commands", lambda _: ())(None):
        yield from printing(command.get_command(None, name), f"{path} {name}".strip())
    if any((getattr(option, "help", None) or "").startswith("Output format") for option in command.params):
        yield path


def test_every_verb_that_prints_json_has_a_schema() -> None:
    verbs = set(printing(app.command()))
    assert {"ps", "key ls", "clock advance"} <= verbs
    assert verbs - set(SHAPES) == set()


def test_what_bench_prints_fits_the_schema(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compared = Question("start", "a start", "as it is", "ms", over="first ÷ second")
    measured = Measure(compared, tuple(Series(name, (1.0, 2.0, 3.0)) for name in ("first", "second")))
    load = LoadRow("fnctl", 1, "own", 2, 100, 0, 50.0, 1.0, 2.0, None, None, 0.5)
    skipped = Measure(compared, not_measured="no reason")
    result = Result("a bench", "2026-01-01T00:00:00Z", 1.0, "0", (("cpu", "one"),), (measured, skipped), (load,))
    fits(json.loads(json.dumps(as_json(result))), SHAPES["bench"])
    minutes = ",".join(str(minute) for minute in range(1, 6))
    Path("calls.csv").write_text(f"HashOwner,HashApp,HashFunction,Trigger,{minutes}\no,a,f,http,1,0,2,0,1\n")
    assert main(["bench", "--replay", "calls.csv", "-o", "json"]) == 0
    fits(json.loads(capsys.readouterr().out), SHAPES["bench --replay"])


@pytest.mark.parametrize("verb", [*SHAPES, "error"])
def test_each_shape_has_a_schema(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", *verb.split(" --")[0].split()]) == 0
    assert "$schema" in json.loads(capsys.readouterr().out)


def test_a_verb_without_json_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "stop"]) == 2
    assert "prints no JSON" in capsys.readouterr().err


def test_logs_of_an_invocation_that_is_not_there_are_an_error(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fnctl import config
    from fnctl.paths import ProjectPaths

    paths = ProjectPaths.of(config.project_id(project)).ensure()
    paths.logs.mkdir(parents=True, exist_ok=True)
    lines = [{"kind": "log", "function": "shop", "t": at, "id": "01A", "text": str(at)} for at in (1, 2, 3)]
    lines.append({"kind": "log", "function": "shop", "t": 4, "id": "01B", "text": "other"})
    (paths.logs / "shop.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["logs", "--id", "01X"]) == 2
    assert "no logs of an invocation `01X`" in capsys.readouterr().err
    assert main(["logs", "--id", "01A", "-n", "2", "-o", "json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["text"] for each in said] == ["2", "3"]
    for each in said:
        fits(each, SHAPES["logs"])

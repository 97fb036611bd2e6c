"""What a user gets wrong: each is told at once where and what, with the exit code of its kind, and leaves nothing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import rig
from tests.faults.rig import Desk

pytestmark = pytest.mark.timeout(300)

GOOD = "functions:\n  web:\n    runtime: node24\n    handler: index.js\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    source = tmp_path / "source"
    source.mkdir()
    (source / "fnctl.yaml").write_text(GOOD)
    (source / "index.js").write_text("require('http').createServer((q, r) => r.end('old')).listen(3000)\n")
    with rig.desk(source) as made:
        yield made


def failed(desk: Desk, *words: str, code: int) -> str:
    """What a command that must fail says: nothing on stdout, an error and no stack of ours on stderr."""
    ended = desk.fnctl(*words)
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    assert "error: " in ended.stderr
    assert "Traceback (most recent call last)" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize("verb", [("run", "--port", "0"), ("build",), ("invoke", "web"), ("doctor",)])
def test_no_engine(desk: Desk, verb: tuple[str, ...]) -> None:
    desk.environment["DOCKER_HOST"] = f"unix://{desk.home}/nobody.sock"
    ended = desk.fnctl(*verb)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "nobody.sock" in said
    assert "fnctl setup" in said or "DOCKER_HOST" in said, said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("functions:\n  web: [\n", ("fnctl.yaml:3",)),
        (GOOD + "    handlr: index.js\n", ("fnctl.yaml:5", "handlr", "handler")),
        (GOOD + "    memory: lots\n", ("fnctl.yaml:5", "memory", "lots")),
        (GOOD + "    timeout: -3s\n", ("fnctl.yaml:5", "timeout")),
        (GOOD.replace("node24", "node23"), ("fnctl.yaml:3", "node23", "node24")),
        (GOOD.replace("web:", "Web_1:"), ("fnctl.yaml:2", "Web_1")),
        (GOOD.replace("index.js", "indexx.js"), ("fnctl.yaml:4", "indexx.js")),
        (GOOD + "    path: nowhere\n", ("fnctl.yaml:5", "nowhere")),
        (GOOD + "    model: sometimes\n", ("fnctl.yaml:5", "resident", "ephemeral")),
        ("- functions\n", ("fnctl.yaml:1",)),
        ("functions: {}\n", ("fnctl.yaml",)),
        ("\x00\xff", ("fnctl.yaml",)),
    ],
)
@pytest.mark.parametrize("verb", ["run", "build"])
def test_a_wrong_file(desk: Desk, verb: str, text: str, says: tuple[str, ...]) -> None:
    (desk.project / "fnctl.yaml").write_text(text, encoding="latin-1")
    said = failed(desk, verb, code=2)
    for word in says:
        assert word in said


SAM = (
    "Transform: AWS::Serverless-2016-10-31\nResources:\n  Hello:\n    Type: AWS::Serverless::Function\n"
    "    Properties:\n      Handler: app.handler\n      Runtime: nodejs20.x\n"
)
HANDLER = "exports.handler = async (event, context) => 'hi'\n"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"fnctl.yaml": GOOD + "    contract: lamda\n"}, ("fnctl.yaml:5", "lamda", "`lambda`")),
        ({"fnctl.yaml": GOOD.replace("index.js", "app.handle"), "app.js": HANDLER}, ("fnctl.yaml:4", "`handler`")),
        ({"app.js": HANDLER}, ("app.js:1", "contract: lambda", "contract: fc-event", "fnctl init --from .")),
        ({"template.yaml": SAM + "      Memry: 128\n", "app.js": HANDLER}, ("template.yaml:8", "Memry")),
        (
            {"template.yaml": SAM.replace("nodejs20.x", "ruby3.3"), "app.js": HANDLER},
            ("template.yaml:7", "ruby", "node24"),
        ),
        (
            {"template.yaml": SAM.replace("app.handler", "app.main"), "app.js": HANDLER},
            ("template.yaml:6", "main", "handler"),
        ),
    ],
    ids=["contract", "export", "ambiguous", "manifest key", "runtime", "export of a manifest"],
)
def test_what_cannot_be_told(desk: Desk, files: dict[str, str], says: tuple[str, ...]) -> None:
    for path in list(desk.project.iterdir()):
        path.unlink()
    for name, text in files.items():
        (desk.project / name).write_text(text)
    said = failed(desk, "run", code=2)
    for word in says:
        assert word in said
    assert not (desk.home / "projects").exists()


def test_no_project_at_all(desk: Desk) -> None:
    for path in list(desk.project.iterdir()):
        path.unlink()
    assert "hint:" in failed(desk, "run", code=2)


def test_a_file_that_is_not_there(desk: Desk) -> None:
    assert "other.yaml" in failed(desk, "run", "--file", "other.yaml", code=2)


@pytest.mark.engine
@pytest.mark.parametrize("verb", ["run", "build", "invoke"])
def test_a_function_that_is_not_there(desk: Desk, verb: str) -> None:
    said = failed(desk, verb, "wb", code=2)
    assert "wb" in said
    assert "web" in said
    assert desk.containers() == {}


MISSING = [
    ("node24", "index.js", "package.json", '{"dependencies": {"fnctl-has-no-such-package": "1.0.0"}}', "E404"),
    ("python3.13", "app.py", "requirements.txt", "fnctl-has-no-such-package==1.0.0\n", "No matching distribution"),
]


@pytest.mark.engine
@pytest.mark.parametrize(("runtime", "handler", "file", "text", "says"), MISSING, ids=["npm", "pip"])
def test_a_dependency_that_does_not_exist(
    desk: Desk, runtime: str, handler: str, file: str, text: str, says: str
) -> None:
    """The installer's own words are passed on, and what was built before stays and serves."""
    (desk.project / "app.py").write_text("def handler(event, context):\n    return 'old'\n")
    handler = "app.handler" if handler == "app.py" else handler
    (desk.project / "fnctl.yaml").write_text(GOOD.replace("node24", runtime).replace("index.js", handler))
    assert desk.fnctl("build").returncode == 0
    before = releases(desk)
    (desk.project / file).write_text(text)
    for verb in (("build",), ("run", "--port", "0")):
        said = failed(desk, *verb, code=1)
        assert says in said
        assert "fnctl-has-no-such-package" in said
    assert releases(desk) == before
    assert desk.containers() == {}
    (desk.project / file).unlink()
    again = desk.fnctl("invoke", "web")
    assert (again.returncode, again.stdout) == (0, "old"), again.stderr


def releases(desk: Desk) -> dict[str, str]:
    return {path.name: path.read_text() for path in (desk.state / "releases").iterdir()}


@pytest.mark.engine
def test_code_that_does_not_parse(desk: Desk) -> None:
    """It builds, since only its runtime can tell; the call names the place, and exits as a failed call."""
    (desk.project / "index.js").write_text("'use strict';\nconst broken = ;\n")
    ended = desk.fnctl("invoke", "web")
    assert ended.returncode == 1
    assert "index.js:2" in ended.stdout + ended.stderr
    assert desk.containers() == {}


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--port", "70000"),
        ("run", "--warm", "-1"),
        ("invoke", "web", "--timeout", "soon"),
        ("invoke", "web", "--path", "no-slash"),
        ("invoke", "web", "-H", "no colon"),
        ("invoke", "web", "-d", "@nowhere"),
        ("walk",),
    ],
)
def test_wrong_words_on_the_command_line(desk: Desk, words: tuple[str, ...]) -> None:
    ended: subprocess.CompletedProcess[str] = desk.fnctl(*words)
    assert ended.returncode == 2, ended.stderr
    assert "error" in ended.stderr.lower()
    assert "Traceback" not in ended.stderr

"""The command line's pure parts: the table of verbs, what is printed, what a request becomes."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fnctl import scaffold
from fnctl.cli import output
from fnctl.cli.app import VERBS
from fnctl.cli.invoke import Request, asked, receipt_line, server_timing, verdict
from fnctl.cli.logs import moment, shown
from fnctl.cli.main import main
from fnctl.cli.ps import page, span
from fnctl.control.client import NotListening, send
from fnctl.errors import ConflictError, NotFound, UsageError


def test_help_imports_nothing_heavy() -> None:
    heavy = ["docker", "rich", "pydantic", "uvloop", "jinja2", "ruamel.yaml", "asyncio", "starlette"]
    script = (
        "import sys; from fnctl.cli.main import main; code = main(['--help'])\n"
        f"print(code, [name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 []"
    assert all(verb.name in done.stdout for verb in VERBS)


def test_an_unknown_verb_is_a_usage_error_with_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lgos"]) == 2
    assert "error: no such command `lgos`; did you mean `logs`?\n\nhint: " in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["init", "invoke", "ps", "logs", "stop", "doctor", "prune", "schema"])
def test_each_verb_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert re.search(rf"Examples?:\n +fnctl {verb}", capsys.readouterr().out)


def test_errors_go_to_stderr_with_their_hint(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "fnctl.yaml").write_text("functions: {}\n")
    assert main(["invoke", "f", "--path", "no", "-f", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: --path 'no' is not a path\n\nhint: start it with / and write spaces as %20\n"


def test_a_table_is_aligned_and_cut_nowhere() -> None:
    made = output.table(("A", "LONGER"), [("x" * 200, None), (1, "\x1b[2Jy")])
    assert made.splitlines() == ["A" + " " * 199 + "  LONGER", "x" * 200 + "  -", "1" + " " * 199 + "  y"]


def test_plain_progress_shows_a_steps_output_only_where_it_fails() -> None:
    stream = io.StringIO()
    ticks = iter((0.0, 1.5, 2.0, 4.0))
    progress = output.PlainProgress(stream, lambda: next(ticks))
    progress.start("install a")
    progress.line("install a", "quiet")
    progress.done("install a", "cached")
    progress.start("install b")
    progress.line("install b", "E404\x1b[2J")
    progress.failed("install b")
    assert stream.getvalue().splitlines() == [
        "install a", "install a: done, cached (1.5 s)", "install b", "install b: failed (2.0 s)",
        "  E404",
    ]  # fmt: skip


def test_a_body_makes_a_post_and_names_its_type(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    json_type = {"Content-Type": "application/json"}
    assert asked(None, None, [], "/") == Request("GET", "/", {}, None)
    assert asked('{"a": 1}', None, [], "/x?y=1") == Request("POST", "/x?y=1", json_type, b'{"a": 1}')
    assert asked("hello", "put", [], "/").headers == {"Content-Type": "text/plain; charset=utf-8"}
    assert asked(f"@{tmp_path / 'b'}", None, [], "/").headers == {"Content-Type": "application/octet-stream"}
    assert asked("{}", None, ["content-type: a/b", "X-A:  1 "], "/").headers == {"content-type": "a/b", "X-A": "1"}


@pytest.mark.parametrize(
    ("data", "headers", "path"),
    [("@/does/not/exist", [], "/"), (None, ["nocolon"], "/"), (None, ["A: b\r\nC: d"], "/"), (None, [], "/a b")],
)
def test_what_cannot_be_sent_is_refused(data: str | None, headers: list[str], path: str) -> None:
    with pytest.raises(UsageError):
        asked(data, None, headers, path)


def test_the_receipt_of_an_answer() -> None:
    headers = {"server-timing": "start;desc=warm, queue;dur=0.0, handler;dur=1.25", "x-fnctl-invocation-id": "01J"}
    assert server_timing(headers) == {"start": "warm", "queue": 0.0, "handler": 1.25}
    assert receipt_line(200, "OK", headers) == "200 OK  warm  queue 0.0 ms  handler 1.2 ms  01J"
    assert receipt_line(404, "Not Found", {}) == "404 Not Found"


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 0), (500, 1), (503, 1), (504, 124)])
def test_the_exit_code_of_an_answer(status: int, code: int) -> None:
    assert verdict(status) == code


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59, "59s"), (125, "2m 5s"), (7620, "2h 7m")])
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_page_of_instances() -> None:
    instance = {
        "id": "i1", "function": None, "runtime": "node24", "tier": "runtime", "state": "runtime", "age_s": 65,
        "idle_s": 3, "in_flight": 0, "memory_mb": None, "served": 0,
    }  # fmt: skip
    pool = {"target": 3, "base": 2, "runtime": 1}
    status = {"pid": 7, "url": "http://127.0.0.1:1", "draining": False, "pool": pool, "instances": [instance]}
    first, _, headers, row = page(status).splitlines()
    assert first == "serving at http://127.0.0.1:1  pid 7  pool 2 base + 1 runtime of 3"
    assert headers.split() == [
        "INSTANCE",
        "FUNCTION",
        "RUNTIME",
        "TIER",
        "STATE",
        "AGE",
        "IDLE",
        "IN",
        "FLIGHT",
        "MEMORY",
        "SERVED",
    ]
    assert row.split() == ["i1", "-", "node24", "runtime", "runtime", "1m", "5s", "3s", "0", "-", "0"]


def test_a_log_line_and_a_receipt_for_people() -> None:
    line = {"t": 0.123, "kind": "line", "function": "f", "id": None, "text": "a\x1b[2Jb\udcff"}
    assert shown(line).endswith(":00.123 f - ab?")
    assert shown({**line, "text": "SyntaxError\n  at f"}).endswith(" f - SyntaxError\n    at f")
    receipt = {
        "t": 0, "kind": "receipt", "function": "f", "id": "01J", "status": 200, "method": "GET", "path": "/a",
        "start": "warm", "queue_ms": 0.0, "container_ms": 0.0, "runtime_ms": 0.0, "load_ms": 0.0, "handler_ms": 1.12,
        "total_ms": 1.21, "cpu_ms": 0.8, "peak_memory_mb": 53.9, "verdict": "ok",
    }  # fmt: skip
    assert shown(receipt).endswith(
        "f 01J 200 GET /a warm 1.2 ms (queue 0 container 0 runtime 0 load 0 handler 1.1) cpu 0.8 ms peak 54 MB ok"
    )
    failed = receipt | {"cpu_ms": None, "peak_memory_mb": None, "verdict": "oom", "detail": "256 MB", "start": None}
    assert " not started " in shown(failed)
    assert shown(failed).endswith("cpu ? ms peak ? oom: 256 MB")


def test_since() -> None:
    assert moment("10m", 1000.0) == 400.0
    assert moment("1970-01-01T00:01:00+00:00", 0) == 60
    with pytest.raises(UsageError, match="yesterday"):
        moment("yesterday", 0)


def test_nobody_listens(tmp_path: Path) -> None:
    for path in (tmp_path / "none.sock", tmp_path / ("long" * 40) / "none.sock"):
        with pytest.raises(NotListening), send(path, "GET", "/"):
            pass


class TestScaffold:
    def root(self, folder: Path) -> Path:
        (folder / "one" / "node_modules").mkdir(parents=True)
        (folder / "one" / "node_modules" / "x.js").touch()
        (folder / "one" / "fnctl.yaml.j2").write_text("functions:\n  {{ name }}: {}\n")
        (folder / "one" / "run.sh").write_text("#!/bin/sh\n")
        (folder / "one" / "run.sh").chmod(0o755)
        (folder / "all").mkdir()
        (folder / "all" / "fnctl.yaml").write_text("include:\n  - ../one/fnctl.yaml\n")
        return folder

    def test_a_template_is_copied_and_filled_in(self, tmp_path: Path) -> None:
        written = scaffold.create("one", tmp_path / "new", "todos", self.root(tmp_path / "t"))
        assert sorted(map(str, written)) == ["fnctl.yaml", "run.sh"]
        assert (tmp_path / "new" / "fnctl.yaml").read_text() == "functions:\n  todos: {}\n"
        assert (tmp_path / "new" / "run.sh").stat().st_mode & 0o100

    def test_included_neighbours_come_along(self, tmp_path: Path) -> None:
        scaffold.create("all", tmp_path / "new", "x", self.root(tmp_path / "t"))
        assert (tmp_path / "new" / "fnctl.yaml").read_text() == "include:\n  - one/fnctl.yaml\n"
        assert (tmp_path / "new" / "one" / "fnctl.yaml").read_text() == "functions:\n  one: {}\n"

    def test_nothing_is_overwritten_and_then_nothing_written(self, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "run.sh").write_text("mine")
        with pytest.raises(ConflictError, match=r"run\.sh"):
            scaffold.create("one", tmp_path / "new", "x", self.root(tmp_path / "t"))
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.sh"]

    def test_an_unknown_template(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound) as caught:
            scaffold.create("ome", tmp_path / "new", "x", self.root(tmp_path / "t"))
        assert caught.value.hint == "did you mean `one`?"

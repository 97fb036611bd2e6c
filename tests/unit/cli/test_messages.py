"""What is said where something is not as it should be: the cause, on what, and what to do."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from fnctl import config
from fnctl.builder import bundle
from fnctl.builder.bundle import Item
from fnctl.cli.app import ELSEWHERE, VERBS
from fnctl.cli.main import main
from fnctl.control import other_runs
from fnctl.control.compose import origin
from fnctl.errors import ConfigError
from fnctl.model import Function
from fnctl.sandbox import hints


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("up", "`fnctl run`"),
        ("start", "`fnctl run`"),
        ("dev", "`fnctl run --watch`"),
        ("push", "`fnctl ship --to"),
        ("down", "`fnctl stop`"),
        ("list", "`fnctl ps`"),
        ("new", "`fnctl init`"),
    ],
)
def test_the_verbs_of_other_tools(verb: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--prod"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: no such command `{verb}`\n\nhint: ")
    assert says in printed


def test_no_verb_of_ours_is_said_to_be_elsewhere() -> None:
    assert not ELSEWHERE.keys() & {verb.name for verb in VERBS}


@pytest.mark.parametrize("below", ["", "/deep/below"])
@pytest.mark.parametrize("verb", [["run"], ["build"], ["invoke", "f"], ["key", "add", "me"]])
def test_a_home_that_cannot_be_written(
    verb: list[str],
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "index.js").write_text("exports.handler = async () => 1\n")
    (tmp_path / "fnctl.yaml").write_text("functions: {f: {runtime: node24, handler: index.handler}}\n")
    monkeypatch.setenv("FNCTL_HOME", f"{tmp_path}/file{below}")
    monkeypatch.setenv("FNCTL_PORT", "0")
    monkeypatch.chdir(tmp_path)
    assert main(verb) == 2
    printed = capsys.readouterr().err
    assert f"error: cannot keep data in {tmp_path}/file{below}: " in printed
    assert "hint: set FNCTL_HOME to a folder" in printed


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file" / "project"), "--template", "hello-node"]) in (1, 2)
    printed = capsys.readouterr().err
    assert "unexpected" not in printed
    assert f"{tmp_path}/file" in printed
    assert "Not a directory" in printed or "is not a folder" in printed
    assert "hint: " in printed


def project(folder: Path, entry: str) -> Path:
    (folder / "fnctl.yaml").write_text(f"functions:\n  f: {entry}\n")
    return folder


def test_an_unknown_runtime_tells_of_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown runtime `ruby3`") as caught:
        config.load(project(tmp_path, "{runtime: ruby3, handler: app.rb}"))
    assert caught.value.hint is not None
    assert "`command: [PROGRAM, ARGUMENT]`" in caught.value.hint
    assert caught.value.hint.count("known:") == 1


@pytest.mark.parametrize(
    ("script", "command", "told"),
    [
        (b"#!/bin/sh\r\nexec x\r\n", "[./serve]", True),
        (b"exec x\r\n", "[sh, serve]", True),
        (b"#!/usr/bin/env python3\r\n", "[/usr/bin/env, ./serve]", True),
        (b"#!/bin/sh\nexec x\n", "[./serve]", False),
        (b"print(1)\r\n", "[python3, serve]", False),
    ],
)
def test_scripts_with_windows_line_endings(tmp_path: Path, script: bytes, command: str, told: bool) -> None:
    (tmp_path / "serve").write_bytes(script)
    (tmp_path / "serve").chmod(0o755)
    project(tmp_path, f"{{command: {command}}}")
    if not told:
        assert config.load(tmp_path).functions
        return
    with pytest.raises(ConfigError, match=r"serve` has Windows line endings \(CRLF\)") as caught:
        config.load(tmp_path)
    assert "sed -i" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        "env: ‘python3\\r’: No such file or directory",
        "start.sh: line 2: $'\\r': command not found",
        "bash: ./x: /bin/sh^M: bad interpreter: No such file or directory",
        "./start.sh: 3: \r: not found",
    ],
)
def test_what_a_script_with_windows_line_endings_says_in_the_sandbox(text: str) -> None:
    function = Function(name="f", path=Path("/p"), runtime="command", handler="", command=("./x",))
    assert "CRLF" in str(hints.hint(function, text))
    assert hints.hint(function, "sh: x: not found") is None


def test_a_bundle_of_hundreds_of_megabytes_says_what_it_is_of() -> None:
    code = [
        Item("data/a.bin", "file", "", 380_000_000),
        Item("x.zip", "file", "", 20_000_000),
        Item("a.py", "file", ""),
    ]
    assert bundle.bulk(code).startswith("; large: data/ 380 MB, x.zip 20 MB (exclude in .dockerignore")
    assert bundle.bulk(code[1:]) == ""


def test_all_addresses_are_none_to_call() -> None:
    hosts = ("127.0.0.1", "localhost", "0.0.0.0", "::", "[::]", "::1", "10.0.0.5", "fe80::1")
    assert [origin(host, 80).removeprefix("http://").removesuffix(":80") for host in hosts] == [
        "127.0.0.1", "localhost", "127.0.0.1", "[::1]", "[::1]", "[::1]", "10.0.0.5", "[fe80::1]",
    ]  # fmt: skip


def process(proc: Path, pid: int, folder: Path, command: str, **environment: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(command.replace(" ", "\0").encode() + b"\0")
    (proc / str(pid) / "environ").write_bytes(b"".join(f"{k}={v}\0".encode() for k, v in environment.items()))
    (proc / str(pid) / "cwd").symlink_to(folder)


def test_a_run_with_another_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, folder, home = tmp_path / "proc", tmp_path / "project", tmp_path / "other"
    (folder / "below").mkdir(parents=True)
    (folder / "fnctl.yaml").touch()
    lock = home / "projects" / "0123" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("70\n")
    process(proc, 70, folder / "below", "/venv/bin/python /venv/bin/fnctl run -p 9000", FNCTL_HOME=str(home))
    process(proc, 71, folder, "python -P -m fnctl.cli.main run", FNCTL_HOME=str(home))  # waits for 70
    process(proc, 72, folder, "/venv/bin/python /venv/bin/fnctl logs -f", FNCTL_HOME=str(home))
    process(proc, 73, tmp_path, "vim run fnctl", HOME="/h")
    monkeypatch.setenv("FNCTL_HOME", str(tmp_path / "ours"))
    assert other_runs.run_of(70, proc) == other_runs.Runs(70, home, folder)
    assert [other_runs.run_of(pid, proc) for pid in (72, 73, 99)] == [None, None, None]
    with lock.open() as held:
        assert list(other_runs.others(folder, proc)) == []
        fcntl.flock(held, fcntl.LOCK_EX)
        assert [each.pid for each in other_runs.others(folder, proc)] == [70]
        monkeypatch.setenv("FNCTL_HOME", str(home))
        assert list(other_runs.others(folder, proc)) == []

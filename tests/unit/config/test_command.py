"""`command:`: which words a line becomes, what is refused where, what a function with one is built and booted as."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from fnctl import catalog, config
from fnctl.builder.archive import Content
from fnctl.config.command import command_words
from fnctl.errors import ConfigError
from fnctl.model import Bundle, Contract, Function
from fnctl.sandbox.loading import Code, load_error, load_message, load_timeout

RUNTIMES = catalog.runtimes()


def load(root: Path, text: str, environ: Mapping[str, str] | None = None) -> Function:
    """The one function of this file, in a folder with a program and a file that is none."""
    (root / "server").write_text("#!/bin/sh\n")
    (root / "server").chmod(0o755)
    (root / "notes").write_text("")
    (root / "fnctl.yaml").write_text(text)
    (function,) = config.load(root, environ=environ or {}, runtimes=RUNTIMES).functions
    return function


def fields(lines: str) -> str:
    return "functions:\n  web:\n" + "".join(f"    {line}\n" for line in lines.splitlines())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gunicorn app:app", ("gunicorn", "app:app")),
        ("./server --name 'two words' \"it's\" a\\ b", ("./server", "--name", "two words", "it's", "a b")),
        ("sh -c 'echo $HOME && exec ./server'", ("sh", "-c", "echo $HOME && exec ./server")),
        (["gunicorn", "app:app", 8], ("gunicorn", "app:app", "8")),
        (["./server", ""], ("./server", "")),
    ],
)
def test_a_line_is_split_as_a_shell_would_and_a_list_is_taken(value: object, words: tuple[str, ...]) -> None:
    assert command_words(value) == words


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("command: 'unclosed \"quote'", "closing quotation"),
        ("command: ''", "names no program"),
        ("command: []", "names no program"),
        ("command: 8000", "neither a list of words nor one line"),
        ("command: [python, [a]]", "that is not text"),
        ("command: {a: b}", "neither a list of words nor one line"),
        ("command: ./servr", "`./servr` is not in"),
        ("command: ../server", "outside"),
        ("command: ./notes", "is not executable"),
        ("command: ./server\nhandler: notes", "has both `command` and `handler`"),
        ("command: ./server\ninitializer: a.b", "has both `command` and `initializer`"),
        ("command: ./server\ncontract: lambda", "the contract `lambda`"),
        ("command: ./server\nenvironment: {PORT: web}", "PORT of function `web` is `web`"),
        ("runtime: node24\nhandler: notes\ncontract: command", "no `command`"),
        ("runtime: command\nhandler: notes", "no `command`"),
    ],
)
def test_what_is_no_command_is_told_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, fields(line))
    last = 2 + len(line.splitlines())
    expected = 3 if line.startswith("runtime: command") else last
    assert caught.value.message.startswith(f"fnctl.yaml:{expected}: "), caught.value.message
    assert says in caught.value.message
    assert caught.value.hint


def test_the_port_is_filled_in_in_the_sandbox_and_everything_else_here(tmp_path: Path) -> None:
    text = fields("command: [./server, $PORT, '${PORT}', '${NAME}', $$HOME, 1.10]")
    function = load(tmp_path, text, {"PORT": "9999", "NAME": "me"})
    assert function.command == ("./server", "$PORT", "${PORT}", "me", "$HOME", "1.10")
    assert function.contract is Contract.COMMAND


def test_without_a_runtime_nothing_is_installed(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"express": "5"}}')
    spec = catalog.runtime_of(load(tmp_path, fields("command: ./server")), RUNTIMES)
    assert (spec.name, spec.tier, spec.install) == ("command", "command", ())


def test_with_a_runtime_that_one_installs_and_the_agent_of_commands_is_booted(tmp_path: Path) -> None:
    function = load(tmp_path, fields("command: gunicorn app:app\nruntime: python3.13"))
    spec = catalog.runtime_of(function, RUNTIMES)
    python, commands = RUNTIMES["python3.13"], RUNTIMES["command"]
    assert (spec.name, spec.tier, spec.agent) == (python.name, commands.name, commands.agent)
    assert (spec.install, spec.compile, spec.warm) == (python.install, python.compile, None)


def test_a_function_without_a_command_is_what_its_runtime_is() -> None:
    function = Function("f", Path("/"), "node24", "index.js")
    assert catalog.runtime_of(function, RUNTIMES) is RUNTIMES["node24"]


def code(function: Function) -> Code:
    bundle = Bundle("web", "sha256:" + "0" * 64, Path("/"), function.runtime, "", 1, 1)
    return Code(function, bundle, catalog.runtime_of(function, RUNTIMES))


def test_the_agent_gets_the_words_the_port_and_the_path_under_the_functions_own(tmp_path: Path) -> None:
    text = "command: gunicorn app:app\nruntime: python3.13\nenvironment: {PORT: 5000, PYTHONPATH: /fn/app/lib}"
    message = load_message(code(load(tmp_path, fields(text))))
    assert (message["command"], message["port"], message["contract"]) == (["gunicorn", "app:app"], 5000, "command")
    assert message["env"]["PYTHONPATH"] == "/fn/app/lib:/fn/app/.fnctl/site-packages"
    assert message["env"]["PATH"].startswith("/fn/app/.fnctl/site-packages/bin:")


def test_a_handler_gets_neither(tmp_path: Path) -> None:
    message = load_message(code(load(tmp_path, fields("handler: notes\nruntime: node24\nenvironment: {PORT: web}"))))
    assert (message["port"], message["env"]) == (3000, {"PORT": "web", "FNCTL_URL": "http://fnctl.internal"})
    assert "command" not in message


def test_the_image_runs_the_command_with_the_path_of_its_runtime(tmp_path: Path) -> None:
    made = code(load(tmp_path, fields("command: gunicorn app:app\nruntime: python3.13")))
    content = Content(made.function, made.bundle, made.runtime, "fnctl/sandbox:1", "amd64", 0, 0)
    assert content.entrypoint() == [*RUNTIMES["command"].agent, "--serve"]
    assert content.environment()["PATH"].startswith("/fn/app/.fnctl/site-packages/bin:")
    assert content.load_message()["command"] == ["gunicorn", "app:app"]


def test_a_load_that_ends_early_shows_its_last_words(tmp_path: Path) -> None:
    function = load(tmp_path, fields("command: ./server"))
    failed = {"type": "Exit", "message": "`./server` ended with exit code 7"}
    error = load_error(function, failed, ["one", "two"])
    assert error.message == "web did not load: Exit: `./server` ended with exit code 7; last output:\n  one\n  two"
    traced = load_error(function, {**failed, "stack": "at line 3"}, ["one"])
    assert (traced.detail, "one" in traced.message) == ("at line 3", False)


def test_a_load_that_takes_too_long_says_what_was_waited_for(tmp_path: Path) -> None:
    function = load(tmp_path, fields("command: ./server"))
    error = load_timeout(function, 30, "`./server` to listen on port 3000 ($PORT); it listens on port 8000")
    assert (error.http_status, error.code) == (504, "load_timeout")
    assert "port 3000" in error.message and "port 8000" in error.message
    assert "environment: {PORT" in (error.hint or "")
    assert load_timeout(function, 30, "").message == "web: the code did not load within 30 s"


def test_who_may_call_nobody_is_not_told_where(tmp_path: Path) -> None:
    message = load_message(code(load(tmp_path, fields("handler: notes\nruntime: node24\ncalls: []"))))
    assert message["env"] == {}

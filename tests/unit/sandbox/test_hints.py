"""The hint for a function that writes where nothing can be written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.model import Contract, Function, Model
from fnctl.sandbox.hints import hint
from fnctl.sandbox.loading import load_error

FUNCTION = Function(name="todos", path=Path("/"), runtime="node24", handler="app.js", tmp_mb=100)


@pytest.mark.parametrize(
    "text",
    [
        "Error: EROFS: read-only file system, open 'x.txt'",
        "OSError: [Errno 30] Read-only file system: 'x.txt'",
        "sh: 1: cannot create x: Read-only file system",
        "sqlite3.OperationalError: attempt to write a readonly database",
        "sqlite3.OperationalError: unable to open database file",
        "SqliteError: unable to open database file",
        "Error: SQLITE_CANTOPEN: unable to open database file",
        "Error: ENOENT: no such file or directory, mkdir '/fn/app/logs/shop'",
        "SQLSTATE[HY000] [14] unable to open database file",
    ],
)
def test_the_words_of_the_languages_are_known(text: str) -> None:
    told = hint(FUNCTION, text) or ""
    for word in ("/fn/app", "read-only", "/tmp", "100 MB", "the instance"):
        assert word in told


def test_what_ends_with_an_invocation_is_said_so() -> None:
    function = Function("todos", Path("/"), "node24", "app.js", model=Model.EPHEMERAL)
    assert "removed with the invocation" in (hint(function, "EROFS") or "")


def test_a_network_that_is_not_there_is_still_told_and_other_errors_are_left_alone() -> None:
    assert "network: egress" in (hint(FUNCTION, "connect ENETUNREACH 1.1.1.1:443") or "")
    assert hint(FUNCTION, "Error: ENOENT: no such file or directory, open 'x.txt'") is None
    assert hint(FUNCTION, "Error: ENOENT: no such file or directory, mkdir '/tmp/a/b'") is None


def test_a_load_that_fails_over_it_has_the_hint() -> None:
    error = load_error(FUNCTION, {"type": "OSError", "message": "[Errno 30] Read-only file system: 'db.sqlite'"})
    assert "/tmp" in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "contract"),
    [
        ("TypeError: resp.setStatusCode is not a function", "fc-http"),
        ("TypeError: res.status is not a function", "functions-framework-http"),
        ("TypeError: context.status is not a function", "openfaas"),
        ("TypeError: context.getRemainingTimeInMillis is not a function", "lambda"),
        ("AttributeError: 'Context' object has no attribute 'aws_request_id'", "lambda"),
        ("AttributeError: 'dict' object has no attribute 'get_json'", "functions-framework-http"),
        ("TypeError: the JSON object must be str, bytes or bytearray, not dict", "fc-event"),
    ],
)
def test_code_for_another_contract_is_told_which(text: str, contract: str) -> None:
    assert f"set `contract: {contract}`" in (hint(FUNCTION, text) or "")
    assert hint(replace(FUNCTION, contract=Contract(contract)), text) is None
    assert hint(replace(FUNCTION, command=("node", "x.js")), text) is None

"""Secrets: how they are declared and found, how they lie in a slot, and that no bundle holds their files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fnctl import catalog, config
from fnctl.builder import inputs
from fnctl.config import authorities
from fnctl.errors import ConfigError, LoadError
from fnctl.model import Function, Project
from fnctl.sandbox import secrets
from fnctl.sandbox.local import LocalPlacement

WEB = "functions:\n  web:\n    runtime: node24\n    handler: index.js\n    secrets: [db, token]\n"
DECLARED = "secrets:\n  db: {file: ./db.txt}\n  token: {environment: TOKEN}\n"


def load(root: Path, text: str) -> Project:
    (root / "index.js").touch()
    (root / "fnctl.yaml").write_text(text)
    return config.load(root, environ={})


def problem(root: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(root, text)
    return caught.value


@pytest.fixture
def function(tmp_path: Path) -> Function:
    (tmp_path / "db.txt").write_bytes(b"hunter2\n\xff")
    (function,) = load(tmp_path, WEB + DECLARED).functions
    return function


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        (WEB, "fnctl.yaml:5: secret `db` of function `web` is not declared", None),
        (WEB + DECLARED.replace("db:", "db2:"), "fnctl.yaml:5: secret `db`", "did you mean `db2`?"),
        (WEB + DECLARED.replace("{file: ./db.txt}", "{}"), "fnctl.yaml:7: secrets.db: needs `file` or", "file: "),
        (WEB + DECLARED.replace("./db.txt}", "a, environment: B}"), "fnctl.yaml:7: secrets.db: needs", None),
        (WEB + DECLARED.replace("file:", "fil:"), "fnctl.yaml:7: unknown key `fil`", None),
        (WEB + DECLARED + "  ../up: {file: a}\n", "fnctl.yaml:9: invalid name `../up` in secrets", None),
    ],
)
def test_what_is_no_declaration_is_told_with_its_line(tmp_path: Path, text: str, says: str, hint: str | None) -> None:
    error = problem(tmp_path, text)
    assert says in error.message + (error.hint or "")
    assert (hint or "") in error.message + (error.hint or "")


def test_values_are_found_when_they_are_needed_and_not_before(function: Function) -> None:
    db, token = function.secrets
    assert secrets.value(db, {}) == b"hunter2\n\xff"
    assert secrets.value(token, {"TOKEN": "abc"}) == b"abc"
    (function.path / "db.txt").write_bytes(b"changed")
    assert secrets.value(db, {}) == b"changed"
    assert "hunter2" not in repr(function)


def test_the_dotenv_stands_in_for_a_variable(function: Function) -> None:
    (function.path / ".env").write_text("TOKEN='from file'\n")
    assert secrets.value(function.secrets[1], {}) == b"from file"
    assert secrets.value(function.secrets[1], {"TOKEN": "process"}) == b"process"


def test_all_that_are_missing_are_told_at_once(function: Function) -> None:
    (function.path / "db.txt").unlink()
    with pytest.raises(ConfigError) as caught:
        secrets.check([function, function], {})
    assert caught.value.message.count("fnctl.yaml:7: secret `db`") == 1
    assert "No such file" in caught.value.message
    assert "fnctl.yaml:8: secret `token`: TOKEN is not set" in caught.value.message


def test_one_that_is_too_large_is_no_secret(function: Function) -> None:
    (function.path / "db.txt").write_bytes(b"x" * (secrets.MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 500 KiB"):
        secrets.value(function.secrets[0], {})


def test_in_the_slot_only_its_user_reads_them_and_they_go_with_it(function: Function, tmp_path: Path) -> None:
    root = tmp_path / "slots"
    root.mkdir()
    place = LocalPlacement(root, "run", lambda: range(70_000, 70_200)).acquire()
    secrets.give(function, place, {"TOKEN": "abc"})
    files = {path.name: path for path in (place.slot.folder / "secrets").iterdir()}
    assert {name: path.read_bytes() for name, path in files.items()} == {"db": b"hunter2\n\xff", "token": b"abc"}
    status = files["db"].stat()
    expected = (place.uid, 0o400) if os.getuid() == 0 else (os.getuid(), 0o444)
    assert (status.st_uid, status.st_mode & 0o777) == expected
    place.remove()
    assert not place.slot.folder.exists()


def test_one_that_has_gone_meanwhile_is_a_failed_load(function: Function, tmp_path: Path) -> None:
    root = tmp_path / "slots"
    root.mkdir()
    place = LocalPlacement(root, "run", lambda: range(70_000, 70_200)).acquire()
    (function.path / "db.txt").unlink()
    with pytest.raises(LoadError, match=r"web did not load: .*secret `db`"):
        secrets.give(function, place, {"TOKEN": "abc"})
    assert not (place.slot.folder / "secrets").exists()


def test_no_function_of_the_project_bundles_secret_or_environment_files(tmp_path: Path) -> None:
    for name in ("api/index.js", "api/db.txt", "api/prod.env", "api/[odd]*.key", "api/.env", "api/kept.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("A=1\n")
    other = "  other: {path: api, runtime: node24, handler: index.js, env_file: api/prod.env}\n"
    keys = "secrets:\n  db: {file: api/db.txt}\n  odd: {file: 'api/[odd]*.key'}\n"
    plain = "  plain: {path: api, runtime: node24, handler: index.js}\n"
    project = load(tmp_path, "functions:\n" + other + plain + keys)
    for function in project.functions:
        entries = inputs.read(function, catalog.runtimes()["node24"]).entries
        assert [entry.name for entry in entries] == ["index.js", "kept.txt"], function.name


def test_secrets_of_included_files_are_shared_where_they_agree(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/fnctl.yaml").write_text("secrets:\n  db: {file: ../db.txt}\n")
    (function,) = load(tmp_path, "include: [sub]\n" + WEB + DECLARED).functions
    assert [secret.name for secret in function.secrets] == ["db", "token"]
    (tmp_path / "sub/fnctl.yaml").write_text("secrets:\n  db: {file: db.txt}\n")
    assert (
        "sub/fnctl.yaml:2: secret `db` is already declared"
        in problem(tmp_path, "include: [sub]\n" + WEB + DECLARED).message
    )


@pytest.mark.parametrize(
    ("line", "says"), [("tmp: 300m", "tmp of function `web` is 300m"), ("tmp: lots", "is not a size")]
)
def test_more_temp_space_than_memory_is_refused(tmp_path: Path, line: str, says: str) -> None:
    text = f"functions:\n  web:\n    runtime: node24\n    handler: index.js\n    {line}\n"
    assert says in problem(tmp_path, text).message


def test_certificate_authorities_are_this_machine_s_and_the_file_s(tmp_path: Path) -> None:
    (tmp_path / "own.pem").write_text("OWN\n")
    (tmp_path / "build.pem").write_text("BUILD\n")
    text = authorities.bundle(tmp_path / "own.pem", {"SSL_CERT_FILE": str(tmp_path / "build.pem")}).decode()
    assert text.endswith("BUILD\nOWN\n")
    assert "OWN" not in authorities.bundle(None, {}).decode()
    assert authorities.bundle(None, {"SSL_CERT_FILE": str(tmp_path / "nosuch")})


def test_php_reads_where_they_are_as_it_starts_beside_the_settings_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "index.php").write_text("<?php\n")
    (tmp_path / "fnctl.yaml").write_text(
        "functions:\n"
        "  page: {handler: index.php, ca: host}\n"
        "  own: {handler: index.php, ca: host, environment: {PHP_INI_SCAN_DIR: /fn/app/ini}}\n"
    )
    page, own = config.load(tmp_path, environ={}).functions
    assert dict(page.environment)["PHP_INI_SCAN_DIR"] == ":/opt/fnctl/php/authorities"
    assert dict(own.environment)["PHP_INI_SCAN_DIR"] == "/fn/app/ini:/opt/fnctl/php/authorities"


def test_a_function_with_authorities_is_told_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "index.js").write_text("exports.h = () => 1\n")
    entry = "functions: {f: {handler: index.h, contract: event, ca: ./own.pem, environment: {SSL_CERT_FILE: mine}}}\n"
    (tmp_path / "fnctl.yaml").write_text(entry)
    with pytest.raises(ConfigError, match=r"ca file `\./own\.pem`"):
        config.load(tmp_path, environ={})
    (tmp_path / "own.pem").write_text("OWN\n")
    (function,) = config.load(tmp_path, environ={}).functions
    variables = dict(function.environment)
    assert (variables["SSL_CERT_FILE"], variables["NODE_EXTRA_CA_CERTS"]) == ("mine", "/run/secrets/.ca.pem")
    assert secrets.value(function.secrets[0], {}).endswith(b"OWN\n")

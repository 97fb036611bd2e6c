"""Logins as Docker's configuration has them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fnctl.errors import RegistryError
from fnctl.registry.credentials import HUB_KEY, Login, find


def configured(folder: Path, settings: dict[str, Any]) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(settings))
    return {"DOCKER_CONFIG": str(folder)}


def basic(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_without_a_file_nobody_is_known(tmp_path: Path) -> None:
    assert find("r.io", {"DOCKER_CONFIG": str(tmp_path)}) is None
    assert find("r.io", {"HOME": str(tmp_path)}) is None


@pytest.mark.parametrize("name", ["r.io", "https://r.io", "https://r.io/v1/"])
def test_a_login_is_found_by_its_registry(name: str, tmp_path: Path) -> None:
    environ = configured(tmp_path, {"auths": {"other.io": basic("x", "y"), name: basic("anna", "se:cret")}})
    assert find("r.io", environ) == Login("anna", "se:cret")
    assert find("none.io", environ) is None


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    environ = configured(tmp_path, {"auths": {HUB_KEY: basic("anna", "secret")}})
    assert find("docker.io", environ) == Login("anna", "secret")


def test_an_identity_token_is_a_login(tmp_path: Path) -> None:
    environ = configured(tmp_path, {"auths": {"r.io": {"auth": "", "identitytoken": "refresh"}}})
    assert find("r.io", environ) == Login("", "", "refresh")


def test_a_helper_is_asked_by_name(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def answer(program: str, server: str) -> str:
        asked.append((program, server))
        return json.dumps({"ServerURL": server, "Username": "anna", "Secret": "secret"})

    environ = configured(tmp_path, {"credsStore": "desktop", "credHelpers": {"ecr.io": "ecr-login"}})
    assert find("r.io", environ, answer) == Login("anna", "secret")
    assert find("ecr.io", environ, answer) == Login("anna", "secret")
    assert asked == [("docker-credential-desktop", "r.io"), ("docker-credential-ecr-login", "ecr.io")]


def test_a_helpers_token_is_an_identity_token(tmp_path: Path) -> None:
    environ = configured(tmp_path, {"credsStore": "desktop"})
    said = json.dumps({"Username": "<token>", "Secret": "refresh"})
    assert find("r.io", environ, lambda program, server: said) == Login("", "", "refresh")


def test_a_helper_that_knows_nobody_leaves_the_file(tmp_path: Path) -> None:
    environ = configured(tmp_path, {"credsStore": "desktop", "auths": {"r.io": basic("anna", "secret")}})
    assert find("r.io", environ, lambda program, server: "") == Login("anna", "secret")


def test_a_real_helper_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-here"
    helper.write_text('#!/bin/sh\nread server; [ "$server" = r.io ] || { echo "credentials not found"; exit 1; }\n'
                      'echo \'{"Username": "anna", "Secret": "secret"}\'\n')  # fmt: skip
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environ = configured(tmp_path, {"credsStore": "here"})
    assert find("r.io", environ) == Login("anna", "secret")
    assert find("other.io", environ) is None


def test_a_helper_that_is_missing_is_named(tmp_path: Path) -> None:
    environ = configured(tmp_path, {"credsStore": "none-such"})
    with pytest.raises(RegistryError, match="docker-credential-none-such"):
        find("r.io", environ)


@pytest.mark.parametrize("text", ["{", '{"auths": {"r.io": {"auth": "%%%"}}}'])
def test_a_damaged_file_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(RegistryError):
        find("r.io", {"DOCKER_CONFIG": str(tmp_path)})


def test_a_login_is_in_no_text() -> None:
    assert "secret" not in repr(Login("anna", "secret", "secret"))

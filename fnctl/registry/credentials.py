"""Who one is to a registry, as `docker login` has left it: Docker's configuration and its credential helpers."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fnctl.errors import RegistryError
from fnctl.registry.reference import DOCKER_HUB

HUB_KEY = "https://index.docker.io/v1/"  # what Docker's files call Docker Hub
HELPER_S = 30.0  # a helper may ask a cloud
TOKEN_USER = "<token>"  # with this name, a helper's secret is an identity token

Ask = Callable[[str, str], str]  # a helper's program, and a server → what it says on stdout


@dataclass(frozen=True, slots=True)
class Login:
    """`identity`: a refresh token instead of a password. None of it is ever in a message."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    identity: str | None = field(default=None, repr=False)


def find(host: str, environ: Mapping[str, str] = os.environ, ask: Ask | None = None) -> Login | None:
    """The login for `host`; None: none is known. RegistryError where a file or a helper cannot be used."""
    settings = _settings(_folder(environ) / "config.json")
    key = HUB_KEY if host == DOCKER_HUB else host
    helper = (settings.get("credHelpers") or {}).get(key) or settings.get("credsStore")
    if helper:
        found = _from_helper(f"docker-credential-{helper}", key, ask or _run)
        if found is not None:
            return found
    for name, entry in (settings.get("auths") or {}).items():
        if isinstance(entry, dict) and (name == key or _bare(name) == host):
            return _from_file(entry, name)
    return None


def _folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home()) / ".docker")


def _settings(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RegistryError(f"{file} cannot be read: {error}", hint="`docker login` writes it again") from error
    return found if isinstance(found, dict) else {}


def _bare(name: str) -> str:
    """`https://registry.example.org/v1/` → `registry.example.org`."""
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_file(entry: Mapping[str, Any], name: str) -> Login | None:
    identity = entry.get("identitytoken") or None
    try:
        text = base64.b64decode(str(entry.get("auth") or ""), validate=True).decode()
    except ValueError as error:
        hint = f"`docker login {name}` writes it anew"
        raise RegistryError(f"the login for {name} in Docker's config.json is damaged", hint=hint) from error
    user, _, password = text.partition(":")
    user, password = str(entry.get("username") or user), str(entry.get("password") or password.rstrip("\0"))
    return Login(user, password, identity) if user or identity else None


def _from_helper(program: str, key: str, ask: Ask) -> Login | None:
    answer = ask(program, key)
    if not answer:
        return None
    try:
        said = json.loads(answer)
        user, secret = str(said["Username"]), str(said["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"{program} answered something that is not a login for {key}") from error
    return Login("", "", secret) if user == TOKEN_USER else Login(user, secret)


def _run(program: str, key: str) -> str:
    """The helper's answer; nothing where it knows none. Its own words are told, since they hold no secret."""
    try:
        done = subprocess.run(
            [program, "get"], input=key, capture_output=True, text=True, timeout=HELPER_S, check=False
        )
    except FileNotFoundError as error:
        hint = "install it, or remove it from `credsStore` and `credHelpers` in Docker's config.json"
        raise RegistryError(
            f"Docker's config.json names the helper {program}, which does not exist", hint=hint
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"{program} gave no login for {key}: {error}") from error
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()
        if "not found" in said.lower():
            return ""
        raise RegistryError(f"{program} gave no login for {key}: {said[:300]}")
    return done.stdout

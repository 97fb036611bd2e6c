"""How a registry is told who asks: Basic, or a token (https://distribution.github.io/distribution/spec/auth/token/)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from fnctl.errors import RegistryError
from fnctl.registry.credentials import Login
from fnctl.registry.reference import is_loopback

CLIENT = "fnctl"
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')


class Reply(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def body(self) -> bytes: ...


class Ask(Protocol):
    def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply: ...


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 401 asks for."""

    scheme: str  # "basic", "bearer"
    realm: str = ""
    service: str = ""

    @classmethod
    def of(cls, header: str) -> Challenge | None:
        scheme, _, rest = header.strip().partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if scheme.lower() not in ("basic", "bearer"):
            return None
        return cls(scheme.lower(), said.get("realm", ""), said.get("service", ""))


class Tokens:
    """The words that were accepted so far, by scope. `login`: None: nobody in particular."""

    def __init__(self, login: Login | None) -> None:
        self._login = login
        self._known: dict[str, str] = {}

    def known(self, scope: str) -> str | None:
        """An Authorization header's value that was given for this scope."""
        return self._known.get(scope)

    def obtain(self, challenge: Challenge, scope: str, ask: Ask) -> str | None:
        """A new one; None where there is nothing more to say. RegistryError `registry_denied` where it is refused."""
        old = self._known.pop(scope, None)
        if challenge.scheme == "basic":
            if self._login is None or old is not None:
                return None
            self._known[scope] = _basic(self._login)
        else:
            self._known[scope] = f"Bearer {self._token(challenge, scope, ask)}"
        return self._known[scope]

    def _token(self, challenge: Challenge, scope: str, ask: Ask) -> str:
        where = urlsplit(challenge.realm)
        if where.scheme != "https" and not (where.scheme == "http" and is_loopback(where.netloc)):
            raise RegistryError(f"the registry asks for a login at `{challenge.realm[:200]}`, which is not https")
        asked = {"service": challenge.service, "scope": scope}
        login = self._login
        if login is not None and login.identity:
            form = {**asked, "grant_type": "refresh_token", "refresh_token": login.identity, "client_id": CLIENT}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            reply = ask("POST", challenge.realm, headers, urlencode(form).encode())
        else:
            known = {"Authorization": _basic(login)} if login is not None else {}
            joint = "&" if where.query else "?"
            reply = ask("GET", f"{challenge.realm}{joint}{urlencode(asked)}", known, b"")
        return _read(reply, where.netloc, known=login is not None)


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _read(reply: Reply, host: str, *, known: bool) -> str:
    if reply.status in (401, 403):
        how = "refused the login that Docker's config.json has" if known else "wants a login"
        raise RegistryError(
            f"{host} {how} (HTTP {reply.status})", hint="`docker login REGISTRY`", code="registry_denied"
        )
    try:
        said: Any = json.loads(reply.body)
        token = said.get("token") or said.get("access_token")
    except (ValueError, AttributeError):
        token = None
    if reply.status != 200 or not isinstance(token, str) or not token.isprintable():
        raise RegistryError(f"{host} gave no token: HTTP {reply.status}, {reply.body[:100]!r}")
    return token

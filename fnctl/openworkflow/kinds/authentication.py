"""What proves who asks: basic, bearer, digest, OAuth 2 and OpenID Connect. Tokens stay in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import HttpRequest, HttpResponse, Step, World

_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


async def send(world: World, step: Step, request: HttpRequest, policy: Mapping[str, Any] | None) -> HttpResponse:
    """`policy`: one scheme with its details, filled in."""
    if policy is None:
        return await world.http(step, request)
    ((scheme, said),) = policy.items()
    match scheme:
        case "basic":
            word = base64.b64encode(f"{said['username']}:{said['password']}".encode()).decode()
            return await world.http(step, _signed(request, f"Basic {word}"))
        case "bearer":
            return await world.http(step, _signed(request, f"Bearer {said['token']}"))
        case "digest":
            return await _digest(world, step, request, said)
        case "oauth2" | "oidc":
            token = await _token(world, step, said, discover=scheme == "oidc")
            return await world.http(step, _signed(request, f"Bearer {token}"))
    raise standard("authentication", f"authentication by `{scheme}` is not supported")


def _signed(request: HttpRequest, value: str) -> HttpRequest:
    return replace(request, headers={**request.headers, "authorization": value})


async def _digest(world: World, step: Step, request: HttpRequest, said: Mapping[str, Any]) -> HttpResponse:
    """RFC 7616: ask, and answer the challenge."""
    asked = await world.http(step, request)
    challenge = asked.headers.get("www-authenticate", "")
    if asked.status != 401 or not challenge.lower().startswith("digest "):
        return asked
    given = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(challenge)}
    return await world.http(step, _signed(request, digest_answer(given, request, said, world.new_id())))


def digest_answer(given: Mapping[str, str], request: HttpRequest, said: Mapping[str, Any], nonce: str) -> str:
    algorithm = given.get("algorithm", "MD5")
    if algorithm.upper() not in _HASHES:
        raise standard("authentication", f"the digest algorithm {algorithm} is not supported")
    parts = urlsplit(request.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def hashed(text: str) -> str:
        return _HASHES[algorithm.upper()](text.encode()).hexdigest()

    who = hashed(f"{said['username']}:{given.get('realm', '')}:{said['password']}")
    what = hashed(f"{request.method}:{target}")
    fields = {"username": said["username"], "realm": given.get("realm", ""), "nonce": given.get("nonce", "")}
    fields |= {"uri": target}
    if "auth" in [each.strip() for each in given.get("qop", "").split(",")]:
        response = hashed(f"{who}:{given.get('nonce', '')}:00000001:{nonce}:auth:{what}")
        more = f', qop=auth, nc=00000001, cnonce="{nonce}"'
    else:
        response, more = hashed(f"{who}:{given.get('nonce', '')}:{what}"), ""
    if "opaque" in given:
        more += f', opaque="{given["opaque"]}"'
    said_fields = ", ".join(f'{name}="{value}"' for name, value in fields.items())
    return f'Digest {said_fields}, algorithm={algorithm}, response="{response}"{more}'


async def _token(world: World, step: Step, said: Mapping[str, Any], *, discover: bool) -> str:
    """RFC 6749: by the grant that the policy names."""
    authority = str(said.get("authority", "")).rstrip("/")
    if discover:
        found = await _json(world, step, HttpRequest("GET", f"{authority}/.well-known/openid-configuration"))
        address = str(found.get("token_endpoint", ""))
    else:
        path = said.get("endpoints", {}).get("token", "/oauth2/token")
        address = path if "://" in path else f"{authority}/{path.lstrip('/')}"
    fields, headers = _grant(said), {"accept": "application/json"}
    _client(said.get("client", {}), fields, headers)
    encoding = said.get("request", {}).get("encoding", "application/x-www-form-urlencoded")
    body = json.dumps(fields) if encoding == "application/json" else urlencode(fields)
    headers["content-type"] = encoding
    answer = await _json(world, step, HttpRequest("POST", address, headers, body.encode()))
    token = answer.get("access_token")
    if not isinstance(token, str):
        raise standard("authentication", f"{address} gave no access_token")
    return token


def _grant(said: Mapping[str, Any]) -> dict[str, str]:
    grant = said.get("grant", "client_credentials")
    fields = {"grant_type": grant}
    fields |= {
        key: " ".join(said[many]) for key, many in (("scope", "scopes"), ("audience", "audiences")) if many in said
    }
    if grant == "password":
        fields |= {key: str(said[key]) for key in ("username", "password") if key in said}
    for key in ("subject", "actor"):
        if key in said:
            fields |= {f"{key}_token": said[key]["token"], f"{key}_token_type": said[key]["type"]}
    if grant == "refresh_token" and "subject" in said:
        fields["refresh_token"] = said["subject"]["token"]
    if grant == "authorization_code":
        raise standard("authentication", "the grant authorization_code needs a browser; use client_credentials")
    return fields


def _client(said: Mapping[str, Any], fields: dict[str, str], headers: dict[str, str]) -> None:
    """The client proves itself as it is asked to."""
    method = said.get("authentication", "client_secret_post")
    if method == "client_secret_basic":
        word = f"{said.get('id', '')}:{said.get('secret', '')}"
        headers["authorization"] = f"Basic {base64.b64encode(word.encode()).decode()}"
        return
    if "id" in said:
        fields["client_id"] = str(said["id"])
    if method in ("client_secret_jwt", "private_key_jwt"):
        fields["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        fields["client_assertion"] = str(said.get("assertion", ""))
    elif method == "client_secret_post" and "secret" in said:
        fields["client_secret"] = str(said["secret"])


async def _json(world: World, step: Step, request: HttpRequest) -> Mapping[str, Any]:
    response = await world.http(step, request)
    if response.status != 200:
        raise standard("authentication", f"{request.method} {request.url} answered {response.status}")
    try:
        found = json.loads(response.body)
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise standard("authentication", f"{request.url} did not answer with a JSON object")
    return found

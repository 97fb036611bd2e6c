"""Authentication at the gateway: what is refused reaches no instance, and what is admitted carries no credential."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
from http_message_signatures.algorithms import HMAC_SHA256

from fnctl.control.nonce_file import NonceFile
from fnctl.model import Auth, Function, JwtRule
from fnctl.triggers.http.auth import Gate
from fnctl.triggers.http.exposure import exposure
from fnctl.triggers.http.gateway import Gateway
from fnctl.triggers.http.keyring import Key, KeyKind, Keyring, new_key
from fnctl.triggers.http.nonces import KEPT_S, Nonces
from tests.contract.gateway_stage import GET, HELLO, Seen, Stage, answering, app, closing, play, split, talk

Answer = tuple[bytes, dict[bytes, bytes], bytes]  # status line, fields, body


def send(folder: Path, function: Function, gate: Gate, *requests: bytes) -> tuple[list[Answer], list[Seen]]:
    """Each request on a connection of its own; the answers, and what reached the function."""
    seen: list[Seen] = []
    answers: list[Answer] = []

    async def scene(made: Stage) -> None:
        await made.add(function, answering(HELLO, seen))
        for request in requests:
            answers.append(split(await talk(made, request)))

    play(folder, scene, gate=gate)
    return answers, seen


def request(*fields: str, method: str = "GET", target: str = "/app/x?y=1", body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def keyed(**changes: Any) -> tuple[Function, Gate, Key, str]:
    key, text = new_key("ci", changes.pop("kind", KeyKind.BEARER), changes.pop("functions", ()), 1.0)
    return dataclasses.replace(app(), auth=changes.pop("auth", Auth.KEY)), Gate(Keyring([key])), key, text


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["Authorization: Bearer {}", "authorization: bearer {}", "X-Api-Key: {}"])
def test_a_key_opens(tmp_path: Path, field: str) -> None:
    function, gate, _, text = keyed()
    [(line, _, body)], [seen] = send(tmp_path, function, gate, request(field.format(text), "X-Other: stays"))
    assert line == b"HTTP/1.1 200 OK"
    assert body == b"hello"
    assert not seen.all(b"authorization")
    assert not seen.all(b"x-api-key")
    assert seen.one(b"x-other") == b"stays"
    assert seen.one(b"x-fnctl-caller") == b"key:ci"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ((), b'Bearer realm="fnctl"'),
        (("Authorization: Basic dTpw",), b'Bearer realm="fnctl"'),
        (("Authorization: Bearer fk_00000000_x",), b'Bearer realm="fnctl", error="invalid_token"'),
        (("Authorization: Bearer {0}x",), b'Bearer realm="fnctl", error="invalid_token"'),
        (("Authorization: Bearer {0}", "X-Api-Key: {0}"), b'Bearer realm="fnctl"'),  # which of them is it?
    ],
)
def test_without_one_nothing_reaches_an_instance(tmp_path: Path, fields: tuple[str, ...], says: bytes) -> None:
    function, gate, _, text = keyed()
    given = [field.format(text) for field in fields]
    [(line, headers, body)], seen = send(tmp_path, function, gate, request(*given))
    assert line == b"HTTP/1.1 401 Unauthorized"
    assert headers[b"www-authenticate"] == says
    assert json.loads(body)["error"]["code"] == "unauthorized"
    assert text.encode() not in body
    assert seen == []


def test_a_key_for_another_function_is_forbidden(tmp_path: Path) -> None:
    function, gate, key, text = keyed(functions=("other",))
    [(line, _, body)], seen = send(tmp_path, function, gate, request(f"Authorization: Bearer {text}"))
    assert line == b"HTTP/1.1 403 Forbidden"
    assert key.id in json.loads(body)["error"]["message"]
    assert seen == []


def test_a_client_cannot_say_who_it_is(tmp_path: Path) -> None:
    function, gate, _, text = keyed()
    forged = request(f"Authorization: Bearer {text}", "X-Fnctl-Caller: key:root", "X_Fnctl_Caller: key:root")
    _, [seen] = send(tmp_path, function, gate, forged)
    assert seen.one(b"x-fnctl-caller") == b"key:ci"
    assert not seen.all(b"x_fnctl_caller")


def test_a_refused_request_leaves_the_connection_in_step(tmp_path: Path) -> None:
    """A body that nobody reads is not taken for the next request."""
    function, gate, _, _ = keyed()
    inner = b"GET /app/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers, seen = send(tmp_path, function, gate, request(method="POST", body=inner))
    assert answers[0][0] == b"HTTP/1.1 401 Unauthorized"
    assert seen == []


# -- signatures --------------------------------------------------------------------------------------------------------


class Signing(HTTPSignatureKeyResolver):
    def __init__(self, key: Key) -> None:
        self._key = key

    def resolve_private_key(self, key_id: str) -> bytes:
        return self._key.proof

    def resolve_public_key(self, key_id: str) -> bytes:
        return self._key.proof


class Message:
    def __init__(self, method: str, target: str) -> None:
        self.method, self.url = method, f"http://localhost{target}"
        self.headers: dict[str, str] = {}


COVERED = ("@method", "@authority", "@path", "@query")


def signed(
    key: Key, *, nonce: str = "n1", body: bytes = b"", sent: bytes | None = None, age_s: float = 0,
    covered: tuple[str, ...] = COVERED, method: str = "POST", target: str = "/app/x?y=1", as_target: str | None = None,
) -> bytes:  # fmt: skip
    message = Message(method, target)
    signer = HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=Signing(key))
    created = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
    signer.sign(
        message,
        key_id=key.id,
        nonce=nonce or None,
        created=created,
        covered_component_ids=covered,
        body=body or None,
    )
    fields = [f"{name}: {value}" for name, value in message.headers.items()]
    return request(*fields, method=method, target=as_target or target, body=body if sent is None else sent)


def test_a_signed_request_is_admitted_once(tmp_path: Path) -> None:
    function, gate, key, _ = keyed(kind=KeyKind.SIGNING, auth=Auth.HMAC)
    whole = signed(key, body=b"pay 5")
    answers, seen = send(tmp_path, function, gate, whole, whole, signed(key, nonce="n2", body=b"pay 5"))
    assert [line for line, _, _ in answers] == [b"HTTP/1.1 200 OK", b"HTTP/1.1 401 Unauthorized", b"HTTP/1.1 200 OK"]
    assert [each.body for each in seen] == [b"pay 5", b"pay 5"]
    assert seen[0].one(b"x-fnctl-caller") == b"key:ci"
    assert not seen[0].all(b"signature")


WRONG: dict[str, Callable[[Key], bytes]] = {
    "another body": lambda key: signed(key, body=b"pay 5", sent=b"pay 9"),
    "the body taken away": lambda key: signed(key, body=b"pay 5", sent=b""),
    "another path": lambda key: signed(key, as_target="/app/admin?y=1"),
    "another query": lambda key: signed(key, as_target="/app/x?y=2"),
    "too old": lambda key: signed(key, age_s=400),
    "from the future": lambda key: signed(key, age_s=-60),
    "no nonce": lambda key: signed(key, nonce=""),
    "the query not covered": lambda key: signed(key, covered=("@method", "@authority", "@path")),
    "another key": lambda key: signed(dataclasses.replace(key, proof=b"x" * 43)),
    "an unknown key": lambda key: signed(dataclasses.replace(key, id="00000000")),
    "nothing": lambda key: request(method="POST"),
    "no signature, only its input": lambda key: request('Signature-Input: a=("@method");created=1'),
    "a time that is none": lambda key: request(
        'Signature-Input: a=("@method");created=999999999999999;keyid="x"', "Signature: a=:YQ==:"
    ),
    "garbage": lambda key: request("Signature-Input: =((", "Signature: ::"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_was_not_signed_is_refused(tmp_path: Path, what: str) -> None:
    function, gate, key, _ = keyed(kind=KeyKind.SIGNING, auth=Auth.HMAC)
    [(line, headers, _)], seen = send(tmp_path, function, gate, WRONG[what](key))
    assert line == b"HTTP/1.1 401 Unauthorized"
    assert headers[b"www-authenticate"].startswith(b"Signature")
    assert seen == []


def test_a_signed_body_needs_a_length(tmp_path: Path) -> None:
    function, gate, key, _ = keyed(kind=KeyKind.SIGNING, auth=Auth.HMAC)
    head = signed(key, body=b"abc").replace(b"Content-Length: 3", b"Transfer-Encoding: chunked")
    [(line, _, _)], seen = send(tmp_path, function, gate, head.removesuffix(b"abc") + b"3\r\nabc\r\n0\r\n\r\n")
    assert line == b"HTTP/1.1 411 Length Required"
    assert seen == []


def test_nonces_are_forgotten_when_no_signature_can_be_as_old() -> None:
    now = [0.0]
    nonces = Nonces(lambda: now[0], most=2)
    assert nonces.use("k", "a")
    assert not nonces.use("k", "a")
    assert nonces.use("k", "b")
    assert not nonces.use("k", "c"), "so many are remembered of one key"
    assert nonces.use("other", "a"), "which is no matter of another's"
    now[0] = 601.0
    assert nonces.use("k", "a")


def test_a_signed_request_is_admitted_once_whatever_becomes_of_the_gateway(tmp_path: Path) -> None:
    function, gate, key, _ = keyed(kind=KeyKind.SIGNING, auth=Auth.HMAC)
    file = tmp_path / "nonces"
    whole = signed(key, body=b"pay 5")
    statuses = []
    for _ in range(2):  # the second as after `kill -9`: nothing was closed
        gate = Gate(gate.keyring, journal=NonceFile(file))
        ((line, _, _),), _ = send(tmp_path, function, gate, whole)
        statuses.append(line)
    assert statuses == [b"HTTP/1.1 200 OK", b"HTTP/1.1 401 Unauthorized"]


def test_nonces_on_disk_are_young_ones_and_few(tmp_path: Path) -> None:
    now = [1000.0]

    def opened() -> tuple[NonceFile, Nonces]:
        file = NonceFile(tmp_path / "nonces", lambda: now[0])
        return file, Nonces(lambda: now[0], journal=file)

    file, nonces = opened()
    for number in range(2000):
        assert nonces.use("k", str(number))
        now[0] += 1.0
    file.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * KEPT_S * 40
    with (tmp_path / "nonces").open("ab") as cut:
        cut.write(b"a record that is not whole")
    file, nonces = opened()
    assert not nonces.use("k", "1999")
    assert not nonces.use("k", "1401")
    assert nonces.use("k", "1400")
    file.close()
    now[0] = 5.0  # somebody has set the clock back
    file, nonces = opened()
    assert not nonces.use("k", "1999")
    assert nonces.use("k", "new")
    file.close()


def test_a_nonce_that_cannot_be_stored_opens_nothing(tmp_path: Path) -> None:
    function, gate, key, _ = keyed(kind=KeyKind.SIGNING, auth=Auth.HMAC)
    gate = Gate(gate.keyring, journal=NonceFile(tmp_path / "gone" / "nonces"))
    ((line, fields, _),), seen = send(tmp_path, function, gate, signed(key, body=b"pay 5"))
    assert (line, fields[b"retry-after"]) == (b"HTTP/1.1 503 Service Unavailable", b"1")
    assert seen == []


def test_a_function_that_is_open_is_not_served_to_the_network_whenever_it_came(tmp_path: Path) -> None:
    """Only the functions that are there at the start can refuse it: a deploy, or an alias, brings others."""

    async def scene(made: Stage) -> None:
        await made.add(app(), answering(HELLO))
        reach = exposure("0.0.0.0", [])
        gateway = Gateway(made.invocations, made.routes, gate=Gate(Keyring()), exposure=reach)
        made.port = await gateway.start("127.0.0.1", 0)
        line, _, body = split(await talk(made, closing(GET)))
        assert (line, b"app has no `auth`, and is not served to the network" in body) == (
            b"HTTP/1.1 403 Forbidden",
            True,
        )
        await gateway.close()

    play(tmp_path, scene)


# -- tokens ------------------------------------------------------------------------------------------------------------


PRIVATE = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def with_tokens(folder: Path, **rule: str) -> tuple[Function, Gate]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key()))
    path = folder / "jwks.json"
    path.write_text(json.dumps({"keys": [{**public, "kid": "one", "alg": "ES256", "use": "sig"}]}))
    return dataclasses.replace(app(), auth=Auth.JWT, jwt=JwtRule(path, **rule)), Gate(Keyring())


def token(key: Any = PRIVATE, *, kid: str | None = "one", algorithm: str = "ES256", **claims: Any) -> str:
    body = {"sub": "ada", "exp": datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1), **claims}
    body = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(body, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def test_a_token_of_the_issuer_opens(tmp_path: Path) -> None:
    function, gate = with_tokens(tmp_path, issuer="https://issuer.example", audience="shop")
    text = token(iss="https://issuer.example", aud="shop")
    [(line, _, _)], [seen] = send(tmp_path, function, gate, request(f"Authorization: Bearer {text}"))
    assert line == b"HTTP/1.1 200 OK"
    assert seen.one(b"x-fnctl-caller") == b"jwt:ada"
    assert not seen.all(b"authorization")


GOOD = {"iss": "https://issuer.example", "aud": "shop"}
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
BAD_TOKENS: dict[str, Callable[[], str]] = {
    "expired": lambda: token(**GOOD, exp=PAST),
    "without expiry": lambda: token(**GOOD, exp=None),
    "another issuer": lambda: token(iss="https://evil.example", aud="shop"),
    "another audience": lambda: token(iss="https://issuer.example", aud="bank"),
    "without audience": lambda: token(iss="https://issuer.example"),
    "another key": lambda: token(STRANGER, **GOOD),
    "an unknown key id": lambda: token(**GOOD, kid="two"),
    "not signed": lambda: token(None, **GOOD, algorithm="none"),
    "signed with a shared secret": lambda: token("s" * 32, **GOOD, algorithm="HS256"),
    "no token": lambda: "abc",
    "nested beyond what can be parsed": lambda: f"{base64.urlsafe_b64encode(b'[' * 15_000).decode()}.e30.x",
}


@pytest.mark.parametrize("what", BAD_TOKENS)
def test_a_token_that_is_not_valid_is_refused(tmp_path: Path, what: str) -> None:
    function, gate = with_tokens(tmp_path, issuer="https://issuer.example", audience="shop")
    [(line, _, body)], seen = send(tmp_path, function, gate, request(f"Authorization: Bearer {BAD_TOKENS[what]()}"))
    assert line == b"HTTP/1.1 401 Unauthorized", body
    assert seen == []


def test_a_broken_jwks_file_refuses(tmp_path: Path) -> None:
    function, gate = with_tokens(tmp_path)
    (tmp_path / "jwks.json").write_text("{}")
    [(line, _, body)], seen = send(tmp_path, function, gate, request(f"Authorization: Bearer {token()}"))
    assert line == b"HTTP/1.1 401 Unauthorized"
    assert b"jwks.json contains no usable keys" in body
    assert seen == []

"""Who may call a function: checked at the gateway, before an instance is asked for. Not who made the keys (keyring.py).

`auth: key`   `Authorization: Bearer fk_…`, or `X-Api-Key: fk_…`
`auth: hmac`  an HTTP message signature (RFC 9421, hmac-sha256) with `created` and `nonce`, each nonce once
`auth: jwt`   `Authorization: Bearer …`, a JSON Web Token (RFC 7519) signed by a key of the function's JWKS file

401 where there is no valid credential (RFC 9110 §15.5.2), 403 where there is one that does not open this function. The
field that carried the credential is not sent on; `X-Fnctl-Caller` says who called.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from fnctl.errors import FnctlError
from fnctl.model import Auth, Function
from fnctl.triggers.http.head import CHUNKED, RequestHead
from fnctl.triggers.http.keyring import Keyring
from fnctl.triggers.http.nonces import MAX_AGE_S, NonceJournal, Nonces
from fnctl.triggers.http.refusal import LengthRequired

# Bytes of the fields that the signature's library parses character by character, some 10 µs each.
MOST_SIGNED = 2048
_STRUCTURED = frozenset(("signature", "signature-input", "content-digest"))
REALM = "fnctl"
# A shared secret signs no token here: who can verify it could make it.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SIGNED = ("@method", "@authority", "@path", "@query")


class Unauthorized(FnctlError):
    """`challenge`: the value of WWW-Authenticate."""

    http_status = 401
    code = "unauthorized"

    def __init__(self, message: str, challenge: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.challenge = challenge


class Forbidden(FnctlError):
    http_status = 403
    code = "forbidden"


Verify = Callable[[bytes], None]  # the whole of a signed body; raises Unauthorized


class Admitted(NamedTuple):
    """The request as the function is to get it: without the credential, with who called."""

    head: RequestHead
    verify: Verify | None = None


class Gate:
    """Checks requests against the keys in force. On the event loop's thread."""

    def __init__(
        self,
        keyring: Keyring,
        clock: Callable[[], float] = time.monotonic,
        journal: NonceJournal | None = None,
    ) -> None:
        """`journal`: of the nonces that were used, for the next run."""
        self.keyring = keyring  # swapped whole
        self._nonces = Nonces(clock, journal=journal)
        self._jwks: dict[str, Any] = {}

    def forget(self) -> None:
        """Read JWKS files anew at their next use."""
        self._jwks.clear()

    def admit(self, function: Function, head: RequestHead) -> Admitted:
        """Raises Unauthorized or Forbidden. For a function without `auth`: where only strangers could ask."""
        if function.auth is Auth.NONE:
            raise Forbidden(
                f"{function.name} has no `auth`, and is not served to the network",
                hint="give it `auth: key` in fnctl.yaml; this version or alias of it may be from before it had one",
            )
        if function.auth is Auth.KEY:
            return self._by_key(function, head)
        if function.auth is Auth.JWT:
            return self._by_token(function, head)
        return self._by_signature(function, head)

    # -- auth: key -------------------------------------------------------------------------------------------------

    def _by_key(self, function: Function, head: RequestHead) -> Admitted:
        name, token = _credential(head, b"x-api-key")
        if token is None:
            raise Unauthorized(
                f"{function.name} needs a key",
                f'Bearer realm="{REALM}"',
                "send `Authorization: Bearer KEY`; `fnctl key add NAME` makes one",
            )
        key = self.keyring.bearer(token)
        if key is None:
            raise Unauthorized("the key is not valid", f'Bearer realm="{REALM}", error="invalid_token"')
        if not key.opens(function.name):
            raise Forbidden(f"the key {key.name} ({key.id}) is not valid for {function.name}")
        return Admitted(_passed_on(head, (name,), f"key:{key.name}"))

    # -- auth: jwt -------------------------------------------------------------------------------------------------

    def _by_token(self, function: Function, head: RequestHead) -> Admitted:
        import jwt

        _, token = _credential(head)
        if token is None:
            raise Unauthorized(f"{function.name} needs a token", f'Bearer realm="{REALM}"')
        rule = function.jwt
        assert rule is not None
        try:
            key = self._key_of(token, str(rule.jwks))
            claims = jwt.decode(
                token,
                key=key,
                algorithms=list(ALGORITHMS),
                audience=rule.audience,
                issuer=rule.issuer,
                options={"require": ["exp"], "verify_aud": rule.audience is not None},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise Unauthorized(
                f"the token is not valid: {error}", f'Bearer realm="{REALM}", error="invalid_token"'
            ) from error
        return Admitted(_passed_on(head, (b"authorization",), f"jwt:{claims.get('sub', '')}"))

    def _key_of(self, token: str, path: str) -> Any:
        import jwt

        known = self._jwks.get(path)
        if known is None:
            known = self._jwks[path] = _jwks(path)
        identity = jwt.get_unverified_header(token).get("kid")
        if identity is None and len(known.keys) == 1:
            return known.keys[0]
        return next((key for key in known.keys if key.key_id == identity), None) or _no_key(identity)

    # -- auth: hmac ------------------------------------------------------------------------------------------------

    def _by_signature(self, function: Function, head: RequestHead) -> Admitted:
        from http_message_signatures import HTTPMessageVerifier, InvalidSignature
        from http_message_signatures.algorithms import HMAC_SHA256

        if head.fields.length == CHUNKED:
            raise LengthRequired("the body of a signed request needs a Content-Length")
        challenge = f'Signature realm="{REALM}"'
        message = _Message(head)
        if "signature" not in message.names:
            raise Unauthorized(f"{function.name} needs a signed request (RFC 9421)", challenge)
        if message.signed_bytes > MOST_SIGNED:
            raise Unauthorized(f"the signature's fields are longer than {MOST_SIGNED} bytes", challenge)
        verifier = HTTPMessageVerifier(signature_algorithm=HMAC_SHA256, key_resolver=_resolver(self.keyring))
        required = [*SIGNED, *(("content-digest",) if head.fields.length else ())]
        try:
            result = verifier.verify(message, max_age=timedelta(seconds=MAX_AGE_S), require_components=required)[0]
        except InvalidSignature as error:
            raise Unauthorized(f"the signature is not valid: {error}", challenge) from error
        key = self.keyring.signing(str(result.parameters["keyid"]))
        if key is None or not key.opens(function.name):
            raise Forbidden(f"the key {result.parameters['keyid']} is not valid for {function.name}")
        if not result.nonce or not self._nonces.use(key.id, result.nonce):
            raise Unauthorized("the signature's nonce is missing or was used before", challenge)

        def verify_body(body: bytes) -> None:
            try:
                verifier.verify_body(message, [result], body)
            except InvalidSignature as error:
                raise Unauthorized(f"the body is not what was signed: {error}", challenge) from error

        passed = _passed_on(head, (b"signature", b"signature-input"), f"key:{key.name}")
        if head.fields.length:
            return Admitted(passed, verify_body)
        verify_body(b"")  # a body that was signed and is not there
        return Admitted(passed)


def _resolver(keyring: Keyring) -> Any:
    from http_message_signatures import HTTPSignatureKeyResolver

    class Resolver(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> bytes:
            raise NotImplementedError("the gateway signs nothing")

        def resolve_public_key(self, key_id: str) -> bytes | None:
            key = keyring.signing(key_id)
            return key.proof if key is not None else None

    return Resolver()


class _Lines(list[tuple[str, str]]):
    def items(self) -> list[tuple[str, str]]:
        return list(self)


class _Message:
    """A request as http_message_signatures reads it. Its authority is what the client said in Host."""

    def __init__(self, head: RequestHead) -> None:
        self.method = head.method.decode()
        self.url = f"http://{head.fields.host.decode()}{head.target.decode('ascii', 'replace')}"
        lines = (line.partition(b":") for line in head.fields.forward.split(b"\r\n") if line)
        self.headers = _Lines((name.decode("latin-1"), value.strip().decode("latin-1")) for name, _, value in lines)
        self.names = {name.lower() for name, _ in self.headers}
        self.signed_bytes = sum(len(value) for name, value in self.headers if name.lower() in _STRUCTURED)


def _credential(head: RequestHead, *others: bytes) -> tuple[bytes, str | None]:
    """The field that carries it, and the token; more than one is none."""
    found: list[tuple[bytes, bytes]] = []
    for line in head.fields.forward.split(b"\r\n"):
        name, _, value = line.partition(b":")
        key = name.lower()
        if key == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            if scheme.lower() == b"bearer":
                found.append((key, token.strip()))
        elif key in others:
            found.append((key, value.strip()))
    if len(found) != 1:
        return b"", None
    return found[0][0], found[0][1].decode("latin-1")


def _passed_on(head: RequestHead, without: tuple[bytes, ...], caller: str) -> RequestHead:
    lines = [line for line in head.fields.forward.split(b"\r\n") if line.partition(b":")[0].lower() not in without]
    shown = caller.encode("ascii", "replace")[:256].translate(None, b"\r\n\0")
    lines.insert(max(0, len(lines) - 1), b"X-Fnctl-Caller: " + shown)
    return head._replace(fields=head.fields._replace(forward=b"\r\n".join(lines)))


def _jwks(path: str) -> Any:
    from pathlib import Path

    import jwt

    try:
        return jwt.PyJWKSet.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, jwt.PyJWTError, ValueError) as error:
        raise ValueError(f"{Path(path).name} contains no usable keys ({error})") from error


def _no_key(identity: object) -> Any:
    raise ValueError(f"no key has the id {identity!r}")

"""The API keys of callers, as values. Pure; control/api_keys.py has the file, auth.py checks.

A key is `fk_ID_SECRET`: SECRET is 256 random bits. Of a `bearer` key only the SHA-256 is kept: it has too many bits to
be guessed, so a slow hash would add nothing. A `signing` key must be known to verify a signature, and is kept as it is.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "fk"
SECRET_BYTES = 32
MOST_ACTIVE = 2  # of one name: the one in use, and the one that replaces it


class KeyKind(enum.StrEnum):
    BEARER = "bearer"
    SIGNING = "signing"


@dataclass(frozen=True, slots=True)
class Key:
    """`functions`: what it opens; empty: every function. `proof`: SHA-256 of the secret (bearer), or the secret."""

    id: str
    name: str
    kind: KeyKind
    functions: tuple[str, ...]
    proof: bytes
    created: float  # seconds since the epoch

    def opens(self, function: str) -> bool:
        return not self.functions or function in self.functions


class Keyring:
    """Every active key, by id."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = {key.id: key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def bearer(self, token: str) -> Key | None:
        """The key that this token is; the comparison takes the same time wherever they differ."""
        prefix, _, rest = token.partition("_")
        identity, _, secret = rest.partition("_")
        key = self._keys.get(identity)
        if prefix != PREFIX or key is None or key.kind is not KeyKind.BEARER:
            return None
        return key if hmac.compare_digest(_digest(secret), key.proof) else None

    def signing(self, identity: str) -> Key | None:
        key = self._keys.get(identity)
        return key if key is not None and key.kind is KeyKind.SIGNING else None


def new_key(name: str, kind: KeyKind, functions: Iterable[str], created: float) -> tuple[Key, str]:
    """A key, and the text that its holder gets: it is told once."""
    identity = secrets.token_hex(4)
    raw = secrets.token_bytes(SECRET_BYTES)
    secret = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    proof = _digest(secret) if kind is KeyKind.BEARER else secret.encode()
    return Key(identity, name, kind, tuple(functions), proof, created), f"{PREFIX}_{identity}_{secret}"


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()

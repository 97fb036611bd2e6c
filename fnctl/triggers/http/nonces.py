"""Nonces of signed requests that were used: each opens once. Not how a signature is checked (auth.py)."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

MAX_AGE_S = 300  # of a signature
KEPT_S = 2 * MAX_AGE_S  # how long a nonce is remembered: longer than any clock lets a signature be valid
MOST_NONCES = 100_000  # of one key, at once; past that, its requests are refused until the oldest have aged


class NonceJournal(Protocol):
    """Keeps them for the next run (control/nonce_file.py)."""

    def left(self) -> Iterable[tuple[bytes, bytes, float]]:
        """What was used before this run: key and nonce as `digests` has them, and how many seconds ago."""
        ...

    def add(self, key: bytes, nonce: bytes) -> None:
        """Raises StoreUnavailable."""
        ...


class Nonces:
    """Bounded for each key, so that nobody who has one can shut out the others. On the given clock, in seconds."""

    def __init__(
        self, clock: Callable[[], float], most: int = MOST_NONCES, journal: NonceJournal | None = None
    ) -> None:
        """`journal` None: they are forgotten with this object."""
        self._clock = clock
        self._most = most
        self._journal = journal
        self._used: dict[bytes, OrderedDict[bytes, float]] = {}
        for key, nonce, age_s in journal.left() if journal is not None else ():
            self._of(key)[nonce] = clock() - age_s

    def use(self, key: str, nonce: str) -> bool:
        """False where it was used, or where no more can be remembered. Raises StoreUnavailable: it is not used."""
        key_digest, digest = digests(key, nonce)
        now, used = self._clock(), self._of(key_digest)
        while used and next(iter(used.values())) < now - KEPT_S:
            used.popitem(last=False)
        if digest in used or len(used) >= self._most:
            return False
        if self._journal is not None:
            self._journal.add(key_digest, digest)
        used[digest] = now
        return True

    def _of(self, key: bytes) -> OrderedDict[bytes, float]:
        return self._used.setdefault(key, OrderedDict())


def digests(key: str, nonce: str) -> tuple[bytes, bytes]:
    """Of one size, however long a nonce is that somebody sends."""
    return _digest(key), _digest(nonce)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

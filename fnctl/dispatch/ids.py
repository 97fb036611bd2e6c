"""Invocation ids: 26 characters that sort by time, as ULIDs do. Unique, not secret."""

from __future__ import annotations

import secrets

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)


def _encode(value: int, pairs: int) -> str:
    return "".join(_PAIRS[(value >> shift) & 1023] for shift in range(10 * (pairs - 1), -1, -10))


class InvocationIds:
    """Each call gives the next id: 10 characters of milliseconds, 8 of a count, 8 drawn once for this process.

    Strictly increasing within a process even where the wall clock steps back. Two processes collide only in the same
    millisecond, at the same count, with the same 40 random bits.
    """

    __slots__ = ("_count", "_last_ms", "_process", "_stem")

    def __init__(self) -> None:
        self._process = _encode(secrets.randbits(40), 4)
        self._count = 0
        self._last_ms = -1
        self._stem = ""

    def __call__(self, at: float) -> str:
        """`at`: wall clock, seconds since the epoch."""
        self._count = count = self._count + 1
        now_ms = int(at * 1000)
        low = count & 0xFFFFF
        if now_ms > self._last_ms or low == 0:
            self._last_ms = max(now_ms, self._last_ms)
            self._stem = _encode(self._last_ms, 5) + _encode((count >> 20) & 0xFFFFF, 2)
        return f"{self._stem}{_PAIRS[low >> 10]}{_PAIRS[low & 1023]}{self._process}"

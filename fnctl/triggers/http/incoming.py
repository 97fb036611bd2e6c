"""The body of one request on its way in: what is held until an instance is asked for, and its bounds. No connection."""

from __future__ import annotations

from collections.abc import Callable

from fnctl.errors import TooLarge
from fnctl.triggers.http.body import body_of, chunk, last_chunk
from fnctl.triggers.http.head import CHUNKED, malformed
from fnctl.triggers.http.limits import Limits


class Incoming:
    """Made where a request has a body. `verify`: of a signed one, which is held until it is whole.

    Raises TooLarge, UsageError for malformed coding, and what `verify` raises.
    """

    __slots__ = ("_body", "_held", "_limits", "_most", "_received", "_verify", "chunked", "counted", "ended")

    def __init__(
        self, length: int, limits: Limits, verify: Callable[[bytes], None] | None, most: int | None = None
    ) -> None:
        """`length`: as the head gives it, a count or CHUNKED. `most`: bytes that the function takes, where that is
        another limit than all have."""
        self.chunked = length == CHUNKED
        self.ended = False
        self.counted = 0  # bytes of it that the gateway counts as held (state.py)
        self._body = body_of(length)
        self._limits = limits
        self._most = limits.body_bytes if most is None else most
        self._verify = verify
        self._received = 0
        self._held: list[bytes] = []
        self._bound(length)

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """(what goes on, as it is on the wire; what came after the body)."""
        try:
            payload, rest = self._body.feed(data)
        except ValueError as error:
            raise malformed(str(error)) from error
        self._received += len(payload)
        self._bound(self._received)
        wire = chunk(payload) if self.chunked else payload
        if rest is None:
            return wire, b""
        self.ended = True
        return (wire + last_chunk(self._body.trailer) if self.chunked else wire), rest

    @property
    def behind(self) -> bool:
        """It holds what is for another turn of the loop: `feed` nothing then, and go on."""
        return self._body.behind

    def hold(self, wire: bytes) -> bool:
        """Keep it; whether an instance can be asked for now."""
        if wire:
            self._held.append(wire)
        return self.ended or (self._verify is None and self._received >= self._limits.hold_bytes)

    def held(self) -> bytes:
        """All that was kept, once."""
        held, self._held = b"".join(self._held), []
        if self._verify is not None:
            self._verify(held)
        return held

    def _bound(self, size: int) -> None:
        most = self._most if self._verify is None else self._limits.signed_bytes
        if size > most:
            raise TooLarge(
                f"the request's body is larger than {most} bytes",
                hint="raise `max_body` of the function in fnctl.yaml: bodies are streamed"
                if self._verify is None
                else "a signed body is held until it is checked: send large data unsigned, or send its address",
            )

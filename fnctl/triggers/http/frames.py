"""Frames of the connection that all requests of an instance share (layers/PROTOCOL.md): values ↔ bytes. Pure.

length of the payload u32 · slot u16 · number u32 · kind u8 · payload          all little-endian
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from fnctl.errors import ProtocolError

HEADERS, REQUEST, CANCEL, CREDIT, DATA, CLOSE = range(1, 7)
WINDOW = 128 << 10  # bytes of an answer that may be sent before there is credit for more
BODY_BYTES = 64 << 10  # of a request; a larger one has a connection of its own
HEAD_BYTES = 8 << 10  # likewise: Node counts 16 KiB, with names and values of its own
FRAMES_A_TURN = 512  # so many take about half a millisecond to read

_HEAD = struct.Struct("<IHIB")
_REQUEST = struct.Struct("<IHIB26sdHBH")
_FIXED = _REQUEST.size - _HEAD.size
_CREDIT = struct.Struct("<IHIBI")
_HAS_LENGTH = 0x80
# By the number that llhttp has for it. Others have a connection of their own.
METHODS = {b"DELETE": 0, b"GET": 1, b"HEAD": 2, b"POST": 3, b"PUT": 4, b"OPTIONS": 6, b"PATCH": 28}


class Frame(NamedTuple):
    kind: int
    slot: int
    number: int
    payload: bytes


class Asked(NamedTuple):
    """A request's head, as it goes into frames."""

    method: int  # and whether its length is told
    target: bytes
    headers: bytes  # lines, each with its CRLF

    @classmethod
    def of(cls, method: bytes, target: bytes, headers: bytes, *, length: bool) -> Asked:
        return cls(METHODS[method] | (_HAS_LENGTH if length else 0), target, headers)


def headers(number: int, lines: bytes) -> bytes:
    """From now on, these lines have this number."""
    return _HEAD.pack(len(lines), 0, number, HEADERS) + lines


def request(
    slot: int, number: int, asked: Asked, known: int, invocation: bytes, deadline_ms: float, body: bytes
) -> bytes:
    """`known`: the number of its header lines."""
    method, target, _ = asked
    size = _FIXED + len(target) + len(body)
    fixed = _REQUEST.pack(size, slot, number, REQUEST, invocation, deadline_ms, known, method, len(target))
    return b"%b%b%b" % (fixed, target, body)


def cancel(slot: int, number: int) -> bytes:
    return _HEAD.pack(0, slot, number, CANCEL)


def credit(slot: int, number: int, size: int) -> bytes:
    return _CREDIT.pack(4, slot, number, CREDIT, size)


class Decoder:
    """Reads what an agent sends. `behind`: it holds whole frames, which are for another turn."""

    __slots__ = ("_rest", "behind")

    def __init__(self) -> None:
        self._rest = b""
        self.behind = False

    def feed(self, data: bytes) -> list[Frame]:
        """At most FRAMES_A_TURN. ProtocolError where it is none of an agent's."""
        if self._rest:
            data = self._rest + data
        found: list[Frame] = []
        at, size, start = 0, len(data), _HEAD.size
        self.behind = False
        while size - at >= start:
            length, slot, number, kind = _HEAD.unpack_from(data, at)
            if not (kind == DATA and 0 < length <= WINDOW) and (kind != CLOSE or length):
                raise ProtocolError("the agent sent what is no frame", code="protocol")
            end = at + start + length
            if end > size:
                break
            if len(found) == FRAMES_A_TURN:
                self.behind = True
                break
            found.append(Frame(kind, slot, number, data[at + start : end]))
            at = end
        self._rest = data[at:]
        return found

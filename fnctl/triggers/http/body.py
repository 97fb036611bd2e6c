"""Message bodies on the wire: where one ends, and chunked coding both ways. Pure; strict (RFC 9112 §7)."""

from __future__ import annotations

import re
from typing import Protocol

from fnctl.triggers.http.head import CHUNKED, UNTIL_CLOSE, trailers

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BYTES = 10  # the longest size line, with its CRLF
_TRAILER_BYTES = 8 * 1024
# Decoding one costs half a microsecond whatever its size: what is done at once takes a quarter of a millisecond.
CHUNKS_A_TURN = 512


class Body(Protocol):
    """The rest of a message. `feed` is not called again after it told the end."""

    trailer: bytes  # fields that came after a chunked body, each with its CRLF
    behind: bool  # it holds data that are for another turn of the loop: `feed` nothing then, until it is not

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """(payload, None) while more must come, (payload, what came after the body) at its end.

        ValueError: the coding is malformed.
        """
        ...


def body_of(length: int) -> Body:
    """`length` as the heads give it: a count, CHUNKED or UNTIL_CLOSE."""
    if length == CHUNKED:
        return ChunkedBody()
    if length == UNTIL_CLOSE:
        return OpenBody()
    return CountedBody(length)


class CountedBody:
    __slots__ = ("_left", "trailer")
    behind = False

    def __init__(self, length: int) -> None:
        self._left = length
        self.trailer = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        size = len(data)
        if size < self._left:
            self._left -= size
            return data, None
        left, self._left = self._left, 0
        return data[:left], data[left:]


class OpenBody:
    """Ends with its connection, which is the caller's to see."""

    __slots__ = ("trailer",)
    behind = False

    def __init__(self) -> None:
        self.trailer = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        return data, None


class ChunkedBody:
    """Chunk extensions are refused: nobody needs them, and parsers have disagreed about them.

    The pieces of one read come out joined, so that many tiny chunks cost their reader no more than the reads.
    """

    __slots__ = ("_after_data", "_held", "_in_trailer", "_left", "behind", "trailer")

    def __init__(self) -> None:
        self._held = b""  # the beginning of a line that is not complete
        self._left = 0  # bytes to come of the present chunk
        self._after_data = False  # the CRLF behind a chunk's data is next
        self._in_trailer = False
        self.behind = False
        self.trailer = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        position = chunks = 0
        self.behind = False
        while not self._in_trailer:
            if self._left:
                piece = data[position : position + self._left]
                position += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if self._left:
                    return b"".join(pieces), None
                self._after_data = True
            if self._after_data:
                if (line := data[position : position + 2]) != b"\r\n":
                    self._hold(line, b"\r\n".startswith(line))
                    return b"".join(pieces), None
                position += 2
                self._after_data = False
            if chunks == CHUNKS_A_TURN and position < len(data):
                self._held, self.behind = data[position:], True
                return b"".join(pieces), None
            chunks += 1
            size = _SIZE.match(data, position)
            if size is None:
                self._hold(data[position:], _may_be_size(data[position : position + _SIZE_BYTES]))
                return b"".join(pieces), None
            position = size.end()
            self._left = int(size[1], 16)
            self._in_trailer = self._left == 0
        return b"".join(pieces), self._end(data[position:])

    def _hold(self, line: bytes, sound: bool) -> None:
        if not sound:
            raise ValueError("malformed chunked coding")
        self._held = line

    def _end(self, data: bytes) -> bytes | None:
        """After the last chunk: trailer fields, then an empty line."""
        if data.startswith(b"\r\n"):
            return data[2:]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._hold(data, len(data) <= _TRAILER_BYTES)
            return None
        kept = trailers(data[: end + 2]) if end <= _TRAILER_BYTES else None
        if kept is None:
            raise ValueError("malformed trailer")
        self.trailer = kept
        return data[end + 4 :]


_PARTIAL_SIZE = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")


def _may_be_size(line: bytes) -> bool:
    return _PARTIAL_SIZE.fullmatch(line) is not None and line != b"\r"


def chunk(payload: bytes) -> bytes:
    """One chunk; nothing for nothing, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def last_chunk(trailer: bytes = b"") -> bytes:
    return b"0\r\n%b\r\n" % trailer

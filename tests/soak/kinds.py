"""What hostile requests and answers are made of. Each kind is written out: a grammar misses the odd ones."""

from __future__ import annotations

import random

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: a\r\nX-Hidden: 1\r\n\r\n"


class Requests:
    """Sound ones, with something hidden in the body; and unsound ones, with something hidden behind a doubt."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def sound(self, number: int) -> tuple[bytes, bytes]:
        """The request, and the body as the function must get it."""
        body = self.chance.choice((b"", HIDDEN, b"0\r\n\r\n" + HIDDEN, b"\r\n\r\n" + HIDDEN, HIDDEN * 50))
        head = b"POST /ok/%d HTTP/1.1\r\nHost: a\r\n" % number
        if self.chance.random() < 0.5:
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body), body
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + self._chunks(body), body

    def _chunks(self, body: bytes) -> bytes:
        wire = b""
        while body:
            size = self.chance.randrange(1, len(body) + 1)
            wire, body = wire + b"%x\r\n%b\r\n" % (size, body[:size]), body[size:]
        return wire + b"0\r\n\r\n"

    def unsound(self, number: int) -> bytes:
        pick = self.chance.choice
        target = b"/ok/%d" % number
        length = b"%d" % pick((0, 3, len(HIDDEN)))
        framing = pick(
            (
                b"Content-Length: %b\r\nTransfer-Encoding: chunked\r\n" % length,
                b"Transfer-Encoding: chunked\r\nContent-Length: %b\r\n" % length,
                b"Content-Length: %b\r\nContent-Length: 1%b\r\n" % (length, length),
                b"Content-Length: %b, %b\r\n" % (length, length),
                *(
                    b"Content-Length: %b\r\n" % (odd % length)
                    for odd in (b"+%b", b"-%b", b"0x%b", b"%b ;", b"%b.0", b'"%b"', b"%b\x00", b"%be1")
                ),
                *(
                    b"Transfer-Encoding: %b\r\n" % odd
                    for odd in (
                        b"xchunked",
                        b"chunked, identity",
                        b"identity, chunked",
                        b"gzip, chunked",
                        b"chunked;q=1",
                        b'"chunked"',
                        b"chunked\x0b",
                        b"\x0bchunked",
                        b"chun\x00ked",
                        b"chunked, chunked",
                        b"",
                    )
                ),
                b"Transfer-Encoding : chunked\r\n",
                b"Transfer-Encoding\t: chunked\r\n",
                b" Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding:\r\n chunked\r\n",
                b"X: 1\nTransfer-Encoding: chunked\r\n",
                b"X: 1\rTransfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                b"Content-Length: %b\r\n Content-Length: 0\r\n" % length,
            )
        )
        if pick((True, False, False, False)):
            framing, wire = (
                b"Transfer-Encoding: chunked\r\n",
                pick(
                    (
                        b"3;x=1\r\nabc\r\n0\r\n\r\n",
                        b"+3\r\nabc\r\n0\r\n\r\n",
                        b"0x3\r\nabc\r\n0\r\n\r\n",
                        b"3 \r\nabc\r\n0\r\n\r\n",
                        b" 3\r\nabc\r\n0\r\n\r\n",
                        b"3\nabc\n0\n\n",
                        b"3\r\nabcd\r\n0\r\n\r\n",
                        b"-1\r\nabc\r\n",
                        b"fffffffff\r\nabc\r\n",
                        b"3\r\nabc0\r\n\r\n",
                        b"3\r\nabc\r0\r\n\r\n",
                        b"3\r\nabc\r\n0\r\nContent-Length : 3\r\n\r\n",
                        b"\r\n3\r\nabc\r\n0\r\n\r\n",
                        b"3_\r\nabc\r\n",
                    )
                ),
            )
        else:
            wire = b"0\r\n\r\n"
        line = pick(
            (b"POST %b HTTP/1.1\r\nHost: a\r\n" % target,) * 6
            + (
                b"POST  %b HTTP/1.1\r\nHost: a\r\n" % target,
                b"POST %b HTTP/1.2\r\nHost: a\r\n" % target,
                b"POST %b\r\nHost: a\r\n" % target,
                b"POST %b HTTP/1.1\r\nHost: a\r\nHost: b\r\n" % target,
                b"POST %b HTTP/1.1\r\nHost: a/../\r\n" % target,
                b"P\x00ST %b HTTP/1.1\r\nHost: a\r\n" % target,
                b"POST %b HTTP/1.1 \r\nHost: a\r\n" % target,
            )
        )
        return line + framing + b"\r\n" + wire + HIDDEN

    def mangled(self, number: int) -> bytes:
        """A sound one without anything hidden, then a few bytes of it changed, taken out or put in."""
        data = bytearray(b"POST /ok/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\nhello" % number)
        for _ in range(self.chance.randrange(1, 5)):
            at = self.chance.randrange(len(data))
            data[at : at + self.chance.randrange(2)] = self.chance.choice(
                (b"\r", b"\n", b"\x00", b" ", b":", b"\t", b"", b"\xff", bytes([self.chance.randrange(256)]))
            )
        return bytes(data)


class Answers:
    """What a function may answer: sound, or made to leave something behind for the next."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        poison = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned"
        self._ends = (poison, b"", b"\r\n", b"x", b"0\r\n\r\n" + poison)

    def any(self) -> bytes:
        pick = self.chance.choice
        if self.chance.random() < 0.3:
            sound = b"HTTP/1.1 200 OK\r\n" + pick(
                (b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
            )
            return sound + pick((b"", b"", *self._ends))
        head = pick(
            (
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 200\r\n",
                b"HTTP/1.0 200 OK\r\n",
                b"HTTP/1.1 204 No Content\r\n",
                b"HTTP/1.1 304 X\r\n",
                b"HTTP/2 200\r\n",
                b"HTTP/1.1 099 X\r\n",
                b"HTTP/1.1 2000 X\r\n",
                b"HTTP/1.1 101 X\r\n",
                b"200 OK\r\n",
                b"\r\nHTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 200 O\x00K\r\n",
                b"HTTP/1.1 103 X\r\n\r\n" * pick((1, 99, 200)) + b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
            )
        )
        fields = pick(
            (
                b"Content-Length: 2\r\n",
                b"Content-Length: 2\r\nContent-Length: 3\r\n",
                b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                b"",
                b"Transfer-Encoding: chunked\r\n",
                b"Transfer-Encoding: gzip, chunked\r\n",
                b"Content-Length: +2\r\n",
                b"Content-Length: 1\r\n",
                b"X: a\nSet-Cookie: b\r\nContent-Length: 2\r\n",
                b"X: a\r\n b\r\nContent-Length: 2\r\n",
                b"X-Fnctl-Error: crash\r\nContent-Length: 2\r\n",
                b"a: b\r\n" * 400 + b"Content-Length: 2\r\n",
                b"Connection: close\r\nContent-Length: 2\r\n",
                b"Content-Length: 99999999999999999\r\n",
            )
        )
        body = pick(
            (
                b"ok",
                b"2\r\nok\r\n0\r\n\r\n",
                b"2;x\r\nok\r\n0\r\n\r\n",
                b"1\r\no\r\n" * 2000 + b"0\r\n\r\n",
                b"zz\r\n",
                b"",
                b"\xff" * 100,
            )
        )
        data = head + fields + b"\r\n" + body + pick(self._ends)
        if self.chance.random() < 0.1:
            at = self.chance.randrange(len(data))
            data = data[:at] + bytes([self.chance.randrange(256)]) + data[at + 1 :]
        return data

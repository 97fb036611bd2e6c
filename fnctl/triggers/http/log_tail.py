"""The end of an invocation's log in the answer to a platform's Invoke (`LogType: Tail`): heard, awaited, told.

The answer is held until what its instance printed is read, for a moment at most. One that is too large to be held goes
out as it comes, without the log.
"""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections import deque

from fnctl.dispatch.admission import Lease
from fnctl.triggers.http.exchange import Client

TAIL_BYTES = 4 << 10  # as Lambda's and Function Compute's
HELD_BYTES = 8 << 20  # of an answer; Lambda's own are 6 MB at most
WAIT_S = 0.25
LOOK_S = 0.002  # between two looks at whether all is read

_TAIL = re.compile(rb"(?i)\r\nx-(?:amz|fc)-log-type:[ \t]*tail[ \t]*\r\n")


def wanted(raw: bytes) -> bool:
    """Whether a head asks for the log."""
    return _TAIL.search(raw) is not None


class Tail:
    """The last lines of one invocation, as Lambda has them: between START and END, with a REPORT."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._size = 0

    def heard(self, line: str) -> None:
        self._lines.append(line.encode("utf-8", "replace") + b"\n")
        self._size += len(self._lines[-1])
        while self._size - len(self._lines[0]) >= TAIL_BYTES:  # what is left is enough without the first
            self._size -= len(self._lines.popleft())

    def rendered(self, id: str, duration_ms: float, memory_mb: int) -> bytes:
        """In base64, as a field's value."""
        begun = f"START RequestId: {id} Version: $LATEST\n"
        ended = (
            f"END RequestId: {id}\nREPORT RequestId: {id}\tDuration: {duration_ms:.2f} ms\t"
            f"Billed Duration: {-int(-duration_ms // 1)} ms\tMemory Size: {memory_mb} MB\t\n"
        )
        whole = begun.encode() + b"".join(self._lines) + ended.encode()
        return base64.b64encode(whole[-TAIL_BYTES:])


class HeldAnswer:
    """An exchange's client, whose answer goes out with the log of its invocation."""

    def __init__(self, client: Client, field: bytes, memory_mb: int) -> None:
        """`field`: where the log stands."""
        self._client = client
        self._field = field
        self._memory_mb = memory_mb
        self._pieces: list[bytes] | None = []
        self._size = 0
        self._tail = Tail()
        self._lease: Lease | None = None
        self._id = ""
        self._since = self._took_ms = 0.0

    @property
    def closing(self) -> bool:
        return self._client.closing

    @closing.setter
    def closing(self, value: bool) -> None:
        self._client.closing = value

    def pause_reading(self) -> None:
        self._client.pause_reading()

    def resume_reading(self) -> None:
        self._client.resume_reading()

    def write(self, data: bytes) -> None:
        if self._pieces is None:
            self._client.write(data)
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HELD_BYTES:
            self._let_out(b"")

    def finished(self, clean: bool) -> None:
        self._client.finished(clean)

    def hear(self, lease: Lease, id: str) -> None:
        """The request is about to be sent there."""
        self._lease, self._id, self._since = lease, id, time.monotonic()
        lease.overhear(id, self._tail.heard)

    def finish(self, clean: bool) -> None:
        """There is no more of it: it goes out once its log is read."""
        self._took_ms = (time.monotonic() - self._since) * 1000
        self._look(clean, time.monotonic() + WAIT_S)

    def _look(self, clean: bool, until: float) -> None:
        lease, log = self._lease, b""
        if lease is not None:
            if lease.unread and time.monotonic() < until:
                asyncio.get_running_loop().call_later(LOOK_S, self._look, clean, until)
                return
            lease.overhear(self._id, None)
            log = self._tail.rendered(self._id, self._took_ms, self._memory_mb)
        self._let_out(log)
        self._client.finished(clean)

    def _let_out(self, log: bytes) -> None:
        whole, self._pieces = b"".join(self._pieces or ()), None
        if log and whole:
            line, rest = whole.split(b"\r\n", 1)
            whole = b"%b\r\n%b: %b\r\n%b" % (line, self._field, log, rest)
        if whole:
            self._client.write(whole)

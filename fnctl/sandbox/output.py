"""What the processes of a sandbox print: the connections of one slot's log socket, and their bounds."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from fnctl.sandbox.intake import Share, cost

MAX_LINE = 64 << 10  # bytes kept of one line before it is cut
# The supervisor opens one for each agent, a forking agent one for each process; others a function opens.
MAX_OPEN = 8
# With those whose other end is closed: of them, what was printed last is still to be read.
MAX_UNREAD = 32
# Bytes of one read, and so what is held of one connection beside the beginning of a line.
PIECE = 16 << 10
# Once its sandbox has ended, what one has not been read of yet is read this long, and then dropped.
LAST_WORDS_S = 2.0

Logged = Callable[[str | None, str], None]  # invocation, text
# Whose connection it is: the boot that it belongs to, and 0 for the one that the supervisor made, the output of the
# agent itself; n for the n-th that the agent made, for the n-th process it forks. None: some other process made it.
Printer = tuple[int, int] | None


class Output:
    """All that one sandbox prints. At most MAX_UNREAD connections are held, each with a line and a piece at most."""

    def __init__(
        self,
        share: Share,
        logged: Logged,
        is_own: Callable[[asyncio.BaseTransport], bool],
        refused: Callable[[], None],
        printer: Callable[[asyncio.BaseTransport], Printer],
        carries: Callable[[str, Printer], bool],
    ) -> None:
        """`is_own`: whether who has connected is the sandbox. `refused` is told of each that was turned away.
        `carries`: whether a line of this printer's can be of this invocation."""
        self.share = share
        self.logged = logged
        self.printer = printer
        self.carries = carries
        self.refused = refused
        self._is_own = is_own
        self.piece = bytearray(PIECE)  # what is read goes in here, and is taken out at once: one for all connections
        self._pipes: dict[Pipe, None] = {}

    def pipe(self) -> Pipe:
        return Pipe(self)

    def admit(self, pipe: Pipe, transport: asyncio.BaseTransport) -> bool:
        if not self._is_own(transport):
            return False
        if len(self._pipes) >= MAX_UNREAD or (len(self._pipes) >= MAX_OPEN and self._open() >= MAX_OPEN):
            return False
        self._pipes[pipe] = None
        return True

    def gone(self, pipe: Pipe) -> None:
        self._pipes.pop(pipe, None)
        self.share.forget(pipe)

    def _open(self) -> int:
        """How many have another end. The kernel knows before we have read all that was written there."""
        poll = select.poll()
        for pipe in self._pipes:
            poll.register(pipe.fileno(), select.POLLRDHUP)
        return len(self._pipes) - len(poll.poll(0))

    def close(self) -> None:
        """The sandbox has ended, and what it has printed is read for a moment yet."""
        for pipe in self._pipes:
            asyncio.get_running_loop().call_later(LAST_WORDS_S, pipe.drop)


class Pipe(asyncio.BufferedProtocol):
    """One connection: lines, each perhaps marked with its invocation (an intake.Source)."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._at = 0  # of these bytes, handled already
        self._cut = False  # in the rest of a line whose beginning was delivered already
        self._paused = False
        self._printer: Printer = None
        self.behind = False  # what was read holds a whole line, or too much of one

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._output.admit(self, transport):
            self._transport = cast(asyncio.Transport, transport)
            self._printer = self._output.printer(transport)
        else:
            cast(asyncio.Transport, transport).abort()
            self._output.refused()

    def fileno(self) -> int:
        return -1 if self._transport is None else int(self._transport.get_extra_info("socket").fileno())

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._output.piece

    def buffer_updated(self, nbytes: int) -> None:
        if self._transport is None:
            return
        self._unread = self._unread[self._at :] + self._output.piece[:nbytes]
        self._at = 0
        self.behind = True
        self._output.share.arrived(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is None:
            return
        self._transport = None
        rest = self._unread[self._at :]
        if rest and not self.behind:
            self._deliver(rest)
        self.behind = False
        self._output.gone(self)

    # -- intake.Source ---------------------------------------------------------------------------------------------

    def take(self, units: int) -> int:
        start = self._at
        lines = 0
        while cost(lines, self._at - start) < units:
            end = self._unread.find(b"\n", self._at, self._at + MAX_LINE + 1)
            if end >= 0:
                self._deliver(self._unread[self._at : end])
                self._at = end + 1
                self._cut = False
            elif len(self._unread) - self._at > MAX_LINE:
                self._deliver(self._unread[self._at : self._at + MAX_LINE] + " … [line cut]".encode())
                self._at += MAX_LINE
                self._cut = True
            else:
                self.behind = False
                break
            lines += 1
        return max(1, cost(lines, self._at - start))

    def pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    # --------------------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Whoever printed it is gone. What it has printed beyond what there was time to read is not read any more."""
        if self._transport is None:
            return
        if self.behind:
            self._unread, self._at, self.behind = b"", 0, False
            self._output.logged(None, "… the rest of the output was dropped: it came faster than it could be read")
        self._transport.abort()

    def _deliver(self, line: bytes) -> None:
        if self._cut:
            return
        invocation: str | None = None
        if line[:1] == b"\x1e":
            mark, _, line = line[1:].partition(b"\x1f")
            said = mark.decode("ascii", "replace")[:64]
            invocation = said if self._output.carries(said, self._printer) else None
        self._output.logged(invocation, line.decode("utf-8", "replace").rstrip("\r"))

"""What the processes of a sandbox print: the pipes that come over one slot's log socket, and their bounds."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from fnctl.protocol.messages import BACKLOG
from fnctl.sandbox.intake import Share, cost
from fnctl.sandbox.reading_end import received

MAX_LINE = 64 << 10  # bytes kept of one line before it is cut
# The supervisor makes one for each agent, a forking agent one for each process.
MAX_OPEN = 8
# With those whose other end is closed: of them, what was printed last is still to be read.
MAX_UNREAD = 32
# Bytes of one read, and so what is held of one connection beside the beginning of a line.
PIECE = 16 << 10
# Once its sandbox has ended, what one has not been read of yet is read this long, and then dropped.
LAST_WORDS_S = 2.0
NO_FILES_S = 1.0  # until connections are taken again, after there were no file descriptors for one

_COUNT = struct.Struct("i")

Logged = Callable[[str | None, str], None]  # invocation, text
# Whose output it is: the boot that it belongs to, and 0 for what the supervisor made for the agent itself; n for the
# n-th that the agent made, for the n-th process it forks. No other process has one.
Printer = tuple[int, int]


class Output:
    """All that one sandbox prints. At most MAX_UNREAD pipes are held, each with a line and a piece at most.

    Whoever starts a process inside makes a pipe for it, and hands us its reading end over a connection to the log
    socket: no other process has to pass on what is printed, and /dev/stdout and /dev/stderr can be opened, as a socket
    cannot.
    """

    def __init__(
        self,
        share: Share,
        logged: Logged,
        printer: Callable[[socket.socket], Printer | None],
        carries: Callable[[str, Printer], bool],
        refused: Callable[[], None],
    ) -> None:
        """`printer`: whose output comes over this connection, None for who has none. `refused` is told of each that was
        turned away. `carries`: whether a line of this printer's can be of this invocation."""
        self.share = share
        self.logged = logged
        self.carries = carries
        self.refused = refused
        self.piece = bytearray(PIECE)  # what is read goes in here, and is taken out at once: one for all pipes
        self._printer = printer
        self._listener: socket.socket | None = None
        self._pipes: dict[Pipe, None] = {}

    def listen(self, path: Path) -> None:
        """OSError where that cannot be."""
        self._listener = listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.bind(str(path))
        listener.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(listener, self._connected)

    def _connected(self) -> None:
        """One a turn: a sandbox can connect faster than we turn it away."""
        assert self._listener is not None
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # no file descriptors: the same a moment later
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener)
            loop.call_later(NO_FILES_S, self._listen_again)
            return
        if not self._admit(connection):
            self.refused()

    def _listen_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._connected)

    def _admit(self, connection: socket.socket) -> bool:
        printer = self._printer(connection)
        if printer is None or len(self._pipes) >= MAX_UNREAD or (len(self._pipes) >= MAX_OPEN <= self._open()):
            connection.close()
            return False
        pipe = Pipe(self, connection, printer)
        self._pipes[pipe] = None
        pipe.receive()
        return True

    @property
    def behind(self) -> bool:
        """There is more of it than we are to read now: who prints waits for us."""
        return self.share.behind

    @property
    def unread(self) -> bool:
        """Some of it was printed, and is not read. What is printed before an answer is in a pipe when that comes."""
        return any(pipe.unread for pipe in self._pipes)

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
        """The sandbox has ended, and what it has printed is read for a moment yet, of who has just connected, too."""
        listener, self._listener = self._listener, None
        loop = asyncio.get_running_loop()
        if listener is not None:
            loop.remove_reader(listener)
            with listener, contextlib.suppress(OSError):
                while True:
                    self._admit(listener.accept()[0])
        for pipe in self._pipes:
            loop.call_later(LAST_WORDS_S, pipe.drop)


class Pipe:
    """One of them: lines, each perhaps marked with its invocation (an intake.Source)."""

    def __init__(self, output: Output, connection: socket.socket, printer: Printer) -> None:
        """`connection`: over which the reading end is to come."""
        self._output = output
        self._loop = asyncio.get_running_loop()
        self._connection: socket.socket | None = connection
        self._end = -1  # the one we read from
        self._printer = printer
        self._unread = b""
        self._at = 0  # of these bytes, handled already
        self._cut = False  # in the rest of a line whose beginning was delivered already
        self._paused = False
        self.behind = False  # what was read holds a whole line, or too much of one

    def fileno(self) -> int:
        return self._end if self._connection is None else self._connection.fileno()

    @property
    def unread(self) -> bool:
        if self._end < 0:
            return self._connection is not None
        (held,) = _COUNT.unpack(fcntl.ioctl(self._end, termios.FIONREAD, bytes(_COUNT.size)))
        return held > 0 or self.behind

    def receive(self) -> None:
        """Take the reading end, now or when it has come: it is sent right after the connection is made."""
        assert self._connection is not None
        try:
            end = received(self._connection)
        except BlockingIOError:
            self._loop.add_reader(self._connection, self.receive)
            return
        self._hang_up()
        if end is None:
            self._output.gone(self)
            self._output.refused()
        else:
            self._end = end
            self._loop.add_reader(end, self._read)

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.remove_reader(connection)
            connection.close()

    def _read(self) -> None:
        try:
            size = os.readv(self._end, [self._output.piece])
        except BlockingIOError:  # someone inside was faster: they can read, too
            return
        if size == 0:
            self._lost()
            return
        self._unread = self._unread[self._at :] + self._output.piece[:size]
        self._at = 0
        self.behind = True
        self._output.share.arrived(self)

    def _lost(self) -> None:
        """Nobody can write there any more, or nobody is listened to."""
        self._hang_up()
        if self._end >= 0:
            self._loop.remove_reader(self._end)
            os.close(self._end)
            self._end = -1
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
        if not self._paused and self._end >= 0:
            self._paused = True
            self._loop.remove_reader(self._end)

    def resume(self) -> None:
        if self._paused and self._end >= 0:
            self._paused = False
            self._loop.add_reader(self._end, self._read)

    # --------------------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        """Whoever printed it is gone. What it has printed beyond what there was time to read is not read any more."""
        if self.behind:
            self._unread, self._at, self.behind = b"", 0, False
            self._output.logged(None, "… the rest of the output was dropped: it came faster than it could be read")
        self._lost()

    def _deliver(self, line: bytes) -> None:
        if self._cut:
            return
        invocation: str | None = None
        if line[:1] == b"\x1e":
            mark, _, line = line[1:].partition(b"\x1f")
            said = mark.decode("ascii", "replace")[:64]
            invocation = said if self._output.carries(said, self._printer) else None
        self._output.logged(invocation, line.decode("utf-8", "replace").rstrip("\r"))

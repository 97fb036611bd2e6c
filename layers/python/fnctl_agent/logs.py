"""Standard output and error of the function: whole lines, each marked with the invocation that wrote it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar

MAX_LINE = 64 << 10  # a line that never ends is written in pieces of this many characters

# The invocation whose code is running; asyncio and `asyncio.to_thread` carry it along.
invocation: ContextVar[str | None] = ContextVar("fnctl_invocation", default=None)


class LineStream(io.TextIOBase):
    """One of the two streams. Lines of concurrent invocations never mix: each has its own unfinished line."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, fd: int, *, marked: bool) -> None:
        self._fd = fd
        self._marked = marked
        self._unfinished: dict[str | None, str] = {}
        self._lock = threading.Lock()
        self.buffer = _Bytes(self)
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        mark = invocation.get()
        with self._lock:
            whole = self._unfinished.pop(mark, "") + text
            lines = whole.rfind("\n") + 1
            end = len(whole) if len(whole) - lines > MAX_LINE else lines
            if end < len(whole):
                self._unfinished[mark] = whole[end:]
            if end:
                self._emit(mark, whole[:end])
        return len(text)

    def finish(self, mark: str | None) -> None:
        """The invocation is over: what it left without a newline is a line now."""
        with self._lock:
            if rest := self._unfinished.pop(mark, None):
                self._emit(mark, rest)

    def _emit(self, mark: str | None, text: str) -> None:
        prefix = f"\x1e{mark}\x1f" if self._marked and mark is not None else ""
        lines = text.removesuffix("\n").split("\n")
        data = "".join(f"{prefix}{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        with contextlib.suppress(OSError):  # the host is gone, and the control connection says so
            _write(self._fd, data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Never closed: the process has no other output."""


def _write(fd: int, data: bytes) -> None:
    """The descriptor blocks: who prints faster than the host reads, waits. A program that has the same output may have
    made it a non-blocking one (Node does); opened anew it blocks."""
    try:
        while data:
            data = data[os.write(fd, data) :]
    except BlockingIOError:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_APPEND)
        try:
            _write(own, data)
        finally:
            os.close(own)


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`, for code that writes bytes."""

    def __init__(self, text: LineStream) -> None:
        self._text = text

    def write(self, data: object) -> int:
        raw = bytes(data)  # type: ignore[call-overload]
        self._text.write(raw.decode("utf-8", "backslashreplace"))
        return len(raw)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._text.fileno()

    def close(self) -> None:
        """As the text stream."""


def install(*, marked: bool) -> None:
    sys.stdout = sys.__stdout__ = LineStream(1, marked=marked)  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = LineStream(2, marked=marked)  # type: ignore[misc, assignment]


def finish(mark: str | None) -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if isinstance(stream, LineStream):
            stream.finish(mark)


@contextlib.contextmanager
def during(mark: str | None) -> Iterator[None]:
    """The code inside belongs to this invocation."""
    token = invocation.set(mark)
    try:
        yield
    finally:
        invocation.reset(token)
        finish(mark)

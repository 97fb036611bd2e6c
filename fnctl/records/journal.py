"""The log store's writer: what functions print, and their receipts, as JSON lines in bounded files. logread.py reads.

A function has `NAME.jsonl` and, when that is full, `NAME.jsonl.1` (the newer) and so on: at most FILES × MAX_BYTES,
whatever it prints. One JSON object a line, with `t` (epoch seconds), `function`, `instance` and a `kind`:

    line      `id`, `text`
    receipt   `id` and the receipt's fields
    calls     many receipts at once, of warm calls to one instance: what they share once, then `asked` (method, path,
              status) and `calls` (id, and as whole microseconds: at, handler, total; then which of `asked`)
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

from fnctl.dispatch.admission import WarmCall
from fnctl.model import Receipt
from fnctl.records.meter import Window

FILES = 4
MAX_BYTES = 8 << 20
MAX_LINE = 16 << 10  # characters of one line
# What may wait for the disk, per function. Lines give way first: a receipt is the record that something ran.
MAX_WAITING = 4 << 20
MAX_WAITING_RECEIPTS = 16 << 20
RECEIPT_WEIGHT = 400  # about the bytes of one
FLUSH_S = 0.05
# Rendering holds the interpreter's lock, which the event loop needs; each write gives it away. So small batches.
BATCH = 16

# What waits: a line, a receipt, or what is rendered already.
Waiting = tuple[float, str | None, str | None, str] | tuple[float, Receipt] | bytes


class LogWriter:
    """Takes lines and receipts on the event loop, where it only appends; a thread of its own writes them.

    What is taken is on disk within 100 ms, and all of it when `close` returns. Where the disk is slower than the
    functions, what is past the bound is dropped, and a line says how much. A disk that refuses costs log lines, never
    requests.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.time,
        *,
        max_bytes: int = MAX_BYTES,
        files: int = FILES,
        max_waiting: int = MAX_WAITING,
        max_waiting_receipts: int = MAX_WAITING_RECEIPTS,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._bounds = (max_bytes, files)
        self._max_waiting = max_waiting
        self._max_waiting_receipts = max_waiting_receipts
        self._queues: dict[str, _Queue] = {}
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write, name="logs", daemon=True)
        self._thread.start()

    def line(self, function: str, instance: str | None, invocation: str | None, text: str) -> None:
        """One line that an instance printed; without `invocation` it belongs to none (loading, background work)."""
        if len(text) > MAX_LINE:
            text = f"{text[:MAX_LINE]} … {len(text) - MAX_LINE} characters cut"
        queue = self._queues.get(function) or self._queue(function)
        queue.put((self._clock(), instance, invocation, text), len(text) + 100, self._max_waiting)
        if not self._news.is_set():
            self._news.set()

    def receipt(self, receipt: Receipt) -> None:
        queue = self._queues.get(receipt.function) or self._queue(receipt.function)
        queue.put((self._clock(), receipt), RECEIPT_WEIGHT, self._max_waiting_receipts)
        if not self._news.is_set():
            self._news.set()

    def calls(self, window: Window, calls: Sequence[WarmCall]) -> None:
        """Receipts of warm calls. Rendered here and now: a thread that did it would fight for the interpreter's lock
        with the loop that gives it the work."""
        queue = self._queues.get(window.function) or self._queue(window.function)
        line = rendered_calls(self._clock(), window, calls).encode()
        queue.put(line, len(line), self._max_waiting_receipts, count=len(calls))
        if not self._news.is_set():
            self._news.set()

    def close(self) -> None:
        """Write what waits and stop. Nothing may be taken after it. Closing twice is fine."""
        self._closing.set()
        self._news.set()
        self._thread.join(timeout=10)

    def _queue(self, function: str) -> _Queue:
        return self._queues.setdefault(
            function, _Queue(function, _File(self._folder / f"{function}.jsonl", *self._bounds))
        )

    def _write(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._closing.wait(FLUSH_S)  # gather a batch
            self._news.clear()  # before the drain: what comes during it is news again
            self._drain()
        self._drain()
        for queue in list(self._queues.values()):
            queue.file.close()

    def _drain(self) -> None:
        for queue in list(self._queues.values()):
            queue.drain(self._clock)


class _Queue:
    """What waits for one function's file. `put` on the event loop, `drain` on the writer's thread.

    Each counter has one writer, so none needs a lock.
    """

    def __init__(self, function: str, file: _File) -> None:
        self.file = file
        self._name = quoted(function)
        self._items: deque[tuple[int, int, Waiting]] = deque()  # (weight, how many entries, what)
        self._taken = 0  # weight ever put
        self._gone = 0  # weight ever drained
        self._dropped = 0
        self._told = 0  # of the dropped

    def put(self, item: Waiting, weight: int, bound: int, *, count: int = 1) -> None:
        if self._taken - self._gone > bound:
            self._dropped += count
            return
        self._taken += weight
        self._items.append((weight, count, item))

    def drain(self, clock: Callable[[], float]) -> None:
        while self._items:
            batch = [self._items.popleft() for _ in range(min(BATCH, len(self._items)))]
            self._gone += sum(weight for weight, _, _ in batch)
            if not self.file.append(b"".join([rendered(self._name, item) for _, _, item in batch])):
                self._dropped += sum(count for _, count, _ in batch)
                return
        lost = self._dropped - self._told
        if lost:
            marker = (clock(), None, None, f"… {lost} lines dropped: they came faster than they could be written")
            if self.file.append(rendered(self._name, marker)):
                self._told += lost


class _File:
    """An append-only file that rotates at a size. Opened when first needed; private to the user."""

    def __init__(self, path: Path, max_bytes: int, files: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._fd: int | None = None
        self._size = 0

    def append(self, data: bytes) -> bool:
        """Whether it could be written. Whole lines only go in, so rotation never splits one."""
        try:
            if self._fd is not None and self._size + len(data) > self._max_bytes:
                self._rotate()
            if self._fd is None:
                self._open()
            assert self._fd is not None
            while data:
                written = os.write(self._fd, data)
                self._size += written
                data = data[written:]
        except OSError:
            self.close()
            return False
        return True

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(self._path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size
        # A run that was killed in a write left half a line: it must not swallow the first one of this run.
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._size += os.write(self._fd, b"\n")

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 2, -1, -1):
            source = rotated(self._path, number)
            if source.exists():
                source.replace(rotated(self._path, number + 1))

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def rotated(path: Path, number: int) -> Path:
    """The file of a function, by age: 0 is the one written now."""
    return path.with_name(f"{path.name}.{number}") if number else path


def rendered(name: str, item: Waiting) -> bytes:
    """One item as a line of JSON; `name` is the function's, quoted already."""
    if isinstance(item, bytes):
        return item
    return (_receipt(name, *item) if len(item) == 2 else _line(name, *item)).encode()


def _line(name: str, at: float, instance: str | None, invocation: str | None, text: str) -> str:
    return f'{{"t":{at:.6f},"kind":"line","function":{name},{_who(instance, invocation)},"text":{quoted(text)}}}\n'


def _who(instance: str | None, invocation: str | None) -> str:
    return f'"instance":{_text(instance)},"id":{_text(invocation)}'


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.3f}"


_CALL = '["%s",%d,%d,%d,%d]'


def rendered_calls(at: float, window: Window, calls: Sequence[WarmCall]) -> str:
    """Whole numbers, since they are several times cheaper to print than decimals."""
    asked: dict[tuple[bytes, bytes, int], int] = {}
    rows = [
        _CALL % (invocation, began * 1e6, handler_s * 1e6, total_s * 1e6, asked.setdefault(what, len(asked)))
        for invocation, began, handler_s, total_s, what in calls
    ]
    kinds = [
        f"[{quoted(method.decode())},{quoted(target.decode('latin-1')[:MAX_LINE])},{status}]"
        for method, target, status in asked
    ]
    return (
        f'{{"t":{at:.6f},"kind":"calls","function":{quoted(window.function)},"instance":{quoted(window.instance)},'
        f'"version":{quoted(window.version)},"cpu_ms":{_number(window.cpu_ms)},"shared_by":{window.shared_by},'
        f'"peak_memory_mb":{_number(window.peak_memory_mb)},"asked":[{",".join(kinds)}],"calls":[{",".join(rows)}]}}\n'
    )


# Spelled out: a generic encoder takes three times as long.
_RECEIPT = (
    '{"t":%.6f,"kind":"receipt","function":%s,"instance":%s,"id":%s,"at":%.6f,"version":%s,"start":%s,"status":%d,"verdict":%s,'
    '"method":%s,"path":%s,%s,"handler_ms":%.3f,'
    '"total_ms":%.3f,"billed_ms":%d,"cpu_ms":%s,"shared_by":%d,"peak_memory_mb":%s,"detail":%s,"parent":%s}\n'
)


def _receipt(name: str, at: float, receipt: Receipt) -> str:
    invocation, detail, path = receipt.id, receipt.detail, receipt.path
    return _RECEIPT % (
        at,
        name,
        "null" if receipt.instance is None else _word(receipt.instance),
        f'"{invocation}"' if invocation.isalnum() and invocation.isascii() else quoted(invocation),
        receipt.at,
        _word(receipt.version),
        "null" if receipt.start is None else _word(receipt.start),
        receipt.status,
        _word(receipt.verdict),
        _word(receipt.method),
        _word(path if len(path) <= MAX_LINE else path[:MAX_LINE]),
        _START % (receipt.queue_ms, receipt.container_ms, receipt.runtime_ms, receipt.load_ms),
        receipt.handler_ms,
        receipt.total_ms,
        receipt.billed_ms,
        _number(receipt.cpu_ms),
        receipt.shared_by,
        _number(receipt.peak_memory_mb),
        "null" if detail is None else quoted(detail),
        "null" if receipt.parent is None else _word(receipt.parent),
    )


_START = '"queue_ms":%.3f,"container_ms":%.3f,"runtime_ms":%.3f,"load_ms":%.3f'


@lru_cache(maxsize=2048)
def _word(text: str) -> str:
    """What comes again and again, quoted: instances, versions, verdicts, paths."""
    return quoted(text)

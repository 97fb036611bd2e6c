"""The log store's reader: merges the functions' files by time, and follows them while they grow and rotate."""

from __future__ import annotations

import heapq
import json
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fnctl.records.journal import FILES, rotated

POLL_S = 0.1
_SHARED = re.compile(rb'"shared_by":(\d+)')  # how many calls a line is of, or a few more

Entry = dict[str, Any]  # one JSON line of the store; see fnctl.records.journal


def read(
    folder: Path,
    function: str | None = None,
    *,
    since: float | None = None,
    tail: int | None = None,
    follow: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Entry]:
    """The entries of one function or of all, oldest first; with `follow` it never ends by itself.

    `since` is epoch seconds; `tail` the last so many of what there is now. What rotation has deleted is gone; nothing
    else is left out or told twice, however often the files rotate meanwhile. Lines that are not whole, or not JSON, are
    passed over.
    """
    cursors = {path: _Cursor(path) for path in _paths(folder, function)}
    try:
        streams = [_entries(cursor, since, tail) for cursor in cursors.values()]
        merged = heapq.merge(*streams, key=_time)
        yield from merged if tail is None else deque(merged, maxlen=tail)
        while follow:
            wait(POLL_S)
            for path in _paths(folder, function):
                cursors.setdefault(path, _Cursor(path))
            new = [entry for cursor in cursors.values() for entry in _entries(cursor, since, None)]
            yield from sorted(new, key=_time)
    finally:
        for cursor in cursors.values():
            cursor.close()


@dataclass(frozen=True, slots=True)
class News:
    """What came between two looks: entries by time, and how many more there were."""

    entries: tuple[Entry, ...]
    more: int = 0


def news(
    folder: Path, over: Callable[[float], bool], successes: int, others: int, every_s: float = POLL_S
) -> Iterator[News]:
    """What is written from now on, for who looks on: at each look so many successes at most, and so many of all else.
    The rest is counted without being parsed, so that a busy service pays little for it.

    `over` waits so long and says whether this is to be the last look.
    """
    cursors = {path: _Cursor(path) for path in _paths(folder, None)}
    for cursor in cursors.values():
        deque(cursor.lines(), maxlen=0)
    try:
        last = False
        while not last:
            last = over(every_s)
            for path in _paths(folder, None):
                cursors.setdefault(path, _Cursor(path))
            yield _look(cursors.values(), successes, others)
    finally:
        for cursor in cursors.values():
            cursor.close()


def _look(cursors: Iterable[_Cursor], successes: int, others: int) -> News:
    found: list[Entry] = []
    left = {True: successes, False: others}
    more = 0
    for line in (line for cursor in cursors for line in cursor.lines()):
        fine = b'"verdict":"ok"' in line or b'"kind":"calls"' in line
        if left[fine] <= 0:
            more += int(count[1]) if (count := _SHARED.search(line)) and b'"kind":"calls"' in line else 1
            continue
        entries = list(_parsed(line))
        found += entries[: left[fine]]
        more += len(entries[left[fine] :])
        left[fine] -= len(entries)
    return News(tuple(sorted(found, key=_time)), more)


def _paths(folder: Path, function: str | None) -> list[Path]:
    return sorted(folder.glob("*.jsonl")) if function is None else [folder / f"{function}.jsonl"]


def _entries(cursor: _Cursor, since: float | None, tail: int | None) -> Iterator[Entry]:
    """What is new, parsed. Under `tail` only the last lines are parsed, which is what costs."""
    lines = cursor.lines() if tail is None else iter(deque(cursor.lines(), maxlen=tail))
    for line in lines:
        yield from (entry for entry in _parsed(line) if since is None or _time(entry) >= since)


def _parsed(line: bytes) -> Iterator[Entry]:
    try:
        entry = json.loads(line)
    except ValueError:
        return
    if isinstance(entry, dict):
        yield from _receipts(entry) if entry.get("kind") == "calls" else (entry,)


def _receipts(calls: Entry) -> Iterator[Entry]:
    """One line of many warm calls → a receipt each."""
    each = {name: calls[name] for name in ("t", "function", "instance", "version", "cpu_ms", "shared_by")}
    waits = {f"{part}_ms": 0.0 for part in ("queue", "container", "runtime", "load")}
    for invocation, at, handler, total, asked in calls["calls"]:
        method, path, status = calls["asked"][asked]
        yield {
            "kind": "receipt",
            **each,
            "id": invocation,
            "at": at / 1e6,
            "start": "warm",
            "status": status,
            "verdict": "ok",
            "method": method,
            "path": path,
            **waits,
            "handler_ms": handler / 1e3,
            "total_ms": total / 1e3,
            "billed_ms": -(-handler // 1000),
            "peak_memory_mb": calls["peak_memory_mb"],
            "detail": None,
            "parent": None,
        }


def _time(entry: Entry) -> float:
    return float(entry.get("t", 0.0))


class _Cursor:
    """A place in one function's chain of files, oldest to current. Holds the file open that it is in.

    A held file keeps its inode, so that it is found again under whatever name rotation has given it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._half = b""

    def lines(self) -> Iterator[bytes]:
        """Every whole line after the last one given."""
        while True:
            if self._file is not None:
                successor = self._successor()
                yield from self._rest()  # after the look: a file with a successor is not written any more
            else:
                successor = self._open(self._chain()[:1])
            if successor is None:
                return
            self.close()
            self._file, self._half = successor, b""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rest(self) -> Iterator[bytes]:
        assert self._file is not None
        while chunk := self._file.read(1 << 20):
            *whole, self._half = (self._half + chunk).split(b"\n")
            yield from whole

    def _chain(self) -> list[tuple[Path, tuple[int, int]]]:
        """The files there are, oldest first, with their identity. Beyond FILES too: a store may have had more."""
        found = []
        for number in range(FILES * 2, -1, -1):
            path = rotated(self._path, number)
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((path, (status.st_dev, status.st_ino)))
        return found

    def _successor(self) -> IO[bytes] | None:
        """The file that came after ours, open; None while there is none, or while a rotation is in the middle."""
        assert self._file is not None
        status = os.fstat(self._file.fileno())
        chain = self._chain()
        identities = [identity for _, identity in chain]
        if (status.st_dev, status.st_ino) in identities:
            return self._open(chain[identities.index((status.st_dev, status.st_ino)) + 1 :][:1])
        return self._open(chain[:1]) if status.st_nlink == 0 else None

    def _open(self, wanted: list[tuple[Path, tuple[int, int]]]) -> IO[bytes] | None:
        """The file, if the name still stands for the same one."""
        for path, identity in wanted:
            try:
                file = path.open("rb", buffering=0)
            except OSError:
                return None
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) == identity:
                return file
            file.close()
        return None

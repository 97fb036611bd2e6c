"""The nonces of signed requests on disk, so that none is good a second time after a restart.

Records of one size, appended without a sync: they survive the end of the process however it comes. After a power cut,
those of the last seconds may be missing. Two files: when the first record of one is old, it becomes the one before, and
what was in that is over.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fnctl.store.port import StoreUnavailable
from fnctl.triggers.http.nonces import KEPT_S

_RECORD = struct.Struct(">d16s16s")  # when (seconds since the epoch), key, nonce


class NonceFile:
    """(nonces.NonceJournal) For the holder of the project's lock. `close` in the end."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._file = -1
        self._since = 0.0  # the first record's time

    @property
    def _before(self) -> Path:
        return self._path.with_suffix(".before")

    def left(self) -> Iterator[tuple[bytes, bytes, float]]:
        """The oldest first. A clock that was set back makes them as young as can be."""
        now = self._now()
        for path in (self._before, self._path):
            for at, key, nonce in _records(path):
                if now - at < KEPT_S:
                    yield key, nonce, max(0.0, now - at)

    def add(self, key: bytes, nonce: bytes) -> None:
        now = self._now()
        try:
            if self._file < 0 or not 0 <= now - self._since < KEPT_S:
                self._begin(now)
            os.write(self._file, _RECORD.pack(now, key, nonce))
        except OSError as error:
            raise StoreUnavailable(f"a nonce cannot be stored: {error}", retry_after_s=1) from error

    def _begin(self, now: float) -> None:
        """What is there is continued while it is young."""
        first = next(_records(self._path), None)
        if first is not None and not 0 <= now - first[0] < KEPT_S:
            self._path.replace(self._before)
            first = None
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        whole = os.fstat(self._file).st_size // _RECORD.size * _RECORD.size
        os.ftruncate(self._file, whole)  # a record that a full disk has cut
        self._since = now if first is None else first[0]

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def _records(path: Path) -> Iterator[tuple[float, bytes, bytes]]:
    with contextlib.suppress(FileNotFoundError):
        data = path.read_bytes()
        for at in range(0, len(data) // _RECORD.size * _RECORD.size, _RECORD.size):
            yield _RECORD.unpack_from(data, at)

"""What a detached run says, in a file that does not grow without end: `run.log`, and `run.log.1`, what came before."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path

MOST = 1 << 20  # bytes of each of the two


class RunLog(io.TextIOBase):
    """Standard output and error of a process whose descriptors 1 and 2 are the file at `path`. From any thread."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, path: Path, most: int = MOST, descriptors: tuple[int, ...] = (1, 2)) -> None:
        self._path = path
        self._most = most
        self._descriptors = descriptors
        self._size = os.fstat(descriptors[0]).st_size
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        data = text.encode(self.encoding, self.errors)
        with self._lock:
            while data:
                room = max(1, self._most - self._size)
                written = os.write(self._descriptors[-1], data[:room])
                data = data[written:]
                self._size += written
                if self._size >= self._most:
                    self._begin_anew()
        return len(text)

    def _begin_anew(self) -> None:
        """A disk that refuses costs what was said so far, and not the run."""
        try:
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            os.ftruncate(self._descriptors[0], 0)
        else:
            for each in self._descriptors:
                os.dup2(fresh, each)
            os.close(fresh)
        self._size = 0

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptors[-1]


def keep(path: Path) -> None:
    """From now on what this process says goes there."""
    sys.stdout.flush()
    sys.stderr.flush()
    sys.stdout = sys.stderr = RunLog(path)

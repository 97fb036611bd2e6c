"""Which process serves a project, asked from outside: who holds its lock."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def holder(lock: Path) -> int | None:
    """The pid of the running service, 0 where it cannot be told yet, None where nobody holds the lock.

    The lock is asked, not the pid in the file: that of a killed run stays there, and may be another process's by now.
    Downside: for the moment of asking the lock is held shared, and a run that starts in that moment finds it taken.
    """
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(fd)

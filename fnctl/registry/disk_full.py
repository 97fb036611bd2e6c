"""A disk that is full, told as such: the system's error names no file, and is none of the registry's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fnctl.errors import ReleaseError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def told_of(place: Path) -> Iterator[None]:
    """ReleaseError where there is no room for what the block writes in `place`; any other error is as it was."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ReleaseError(
            f"{place}: {error.strerror}",
            hint="free disk space (`fnctl prune` helps), and run it again: what has arrived whole is not fetched again",
            code="disk_full",
        ) from error

"""Emptying the folders that a function can write to. Assumes that nobody else runs in the sandbox."""

# names are bytes here, and pathlib has none:
# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH118, PTH208
from __future__ import annotations

import contextlib
import os
import stat


def _entries(folder: bytes) -> list[bytes]:
    """Nothing for a folder that is not there or not ours to read: what cannot be listed cannot be written either."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_empty(folder: bytes) -> bool:
    return not _entries(folder)


def wipe(folder: bytes) -> bool:
    """Remove everything inside; True where nothing is left.

    Follows no links and does not recurse: folders inside folders are moved up to the top first, so that neither depth
    nor the length of a path is bounded. Names are bytes, whatever they hold.
    """
    serial = 0
    progress = True
    while names := _entries(folder):
        if not progress:
            return False
        progress = False
        for name in names:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(path).st_mode):
                    serial = _flatten(path, folder, serial)
                    os.rmdir(path)
                else:
                    os.unlink(path)
                progress = True
    return True


def _flatten(path: bytes, top: bytes, serial: int) -> int:
    os.chmod(path, 0o700)
    for name in os.listdir(path):
        inner = os.path.join(path, name)
        if not stat.S_ISDIR(os.lstat(inner).st_mode):
            os.unlink(inner)
            continue
        os.chmod(inner, 0o700)  # moving a folder rewrites its `..`
        serial += 1
        while os.path.lexists(target := os.path.join(top, b".wipe-%d" % serial)):
            serial += 1
        os.rename(inner, target)
    return serial

"""The kernel's events of folders (inotify(7)), by watchdog's bindings: one watch a folder, as many as were asked for.

Not watchdog's own observers: they watch whole trees and drop what they are told to ignore afterwards, and they do not
tell that the kernel has lost events.
"""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import struct
from typing import NamedTuple

from watchdog.observers.inotify_c import InotifyConstants as Kernel
from watchdog.observers.inotify_c import WatchDescriptor, inotify_add_watch, inotify_init, inotify_rm_watch

_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_BUFFER = 1 << 20


class Flags(enum.IntFlag):
    """What is asked for, and what is told."""

    ATTRIB = Kernel.IN_ATTRIB
    CLOSE_WRITE = Kernel.IN_CLOSE_WRITE
    CREATE = Kernel.IN_CREATE
    DELETE = Kernel.IN_DELETE
    DELETE_SELF = Kernel.IN_DELETE_SELF
    EXCL_UNLINK = Kernel.IN_EXCL_UNLINK
    IGNORED = Kernel.IN_IGNORED
    ISDIR = Kernel.IN_ISDIR
    MOVED_FROM = Kernel.IN_MOVED_FROM
    MOVED_TO = Kernel.IN_MOVED_TO
    MOVE_SELF = Kernel.IN_MOVE_SELF
    ONLYDIR = Kernel.IN_ONLYDIR
    Q_OVERFLOW = Kernel.IN_Q_OVERFLOW


class Event(NamedTuple):
    """`watch`: of the folder, -1 where it is about none. `name`: of the thing in it; empty: the folder itself."""

    watch: int
    mask: int
    name: str


class FolderEvents:
    """Raises OSError where the kernel has no room (EMFILE, ENOSPC), or a folder cannot be watched."""

    def __init__(self) -> None:
        self._file = _checked(inotify_init())
        os.set_blocking(self._file, False)
        os.set_inheritable(self._file, False)

    def fileno(self) -> int:
        return self._file

    def add_watch(self, folder: str, mask: int) -> int:
        """Its watch; the one that it has already, where it has one."""
        return _checked(inotify_add_watch(self._file, os.fsencode(folder), mask))

    def rm_watch(self, watch: int) -> None:
        _checked(inotify_rm_watch(self._file, WatchDescriptor(watch)))

    def read(self) -> list[Event]:
        """What has come, in order; nothing, where nothing has. Does not wait."""
        events: list[Event] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._file, _BUFFER):
                events += _parsed(data)
        return events

    def close(self) -> None:
        os.close(self._file)


def _parsed(data: bytes) -> list[Event]:
    events, position = [], 0
    while position < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, position)
        position += _EVENT.size
        name = os.fsdecode(data[position : position + length].rstrip(b"\0"))
        position += length
        events.append(Event(watch, mask, name))
    return events


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)

"""Hears of changes on disk, on a thread of its own: from the kernel (inotify), else by looking again and again.

What it cannot hear it says: a limit of the kernel that is too low, events that the kernel dropped. In both cases
nothing is missed, it only comes later.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fnctl.dev.area import Areas
from fnctl.dev.kernel import Event, Flags, FolderEvents
from fnctl.dev.scan import Scan, identity, is_remote, mounted, stamp
from fnctl.errors import FnctlError

# Editors write a save as several events within a few milliseconds (truncate and write; write aside and rename). Where
# the last of them says that a file is whole (closed after writing, or renamed into its place), only other files of the
# same save may be to come.
SETTLE_S = 0.02
WHOLE_S = 0.005
LOOK_S = 0.25  # how often the few files of the configuration and the folders' own places are looked at
SCAN_S = 1.0  # how often all files are, where the kernel does not tell; never more than a twentieth of the time
_LIMITS = Path("/proc/sys/fs/inotify")
# Not opened, read and closed unchanged: a build reads every file. Nor written by a program that keeps it open: a log.
_MASK = (
    Flags.CLOSE_WRITE | Flags.ATTRIB | Flags.CREATE | Flags.DELETE | Flags.MOVED_FROM | Flags.MOVED_TO
    | Flags.DELETE_SELF | Flags.MOVE_SELF | Flags.ONLYDIR | Flags.EXCL_UNLINK
)  # fmt: skip
_WHOLE = Flags.CLOSE_WRITE | Flags.MOVED_TO


@dataclass(frozen=True, slots=True)
class Heard:
    """`functions` were edited, and `files`: of the configuration, too. `settle_s`: more of it may come until then."""

    functions: frozenset[str] = frozenset()
    files: bool = False
    settle_s: float = SETTLE_S


@dataclass(frozen=True, slots=True)
class Watching:
    """How it hears: so many folders by the kernel's events, so many files by looking every `every_s`."""

    folders: int
    files: int = 0
    every_s: float = 0.0


class Listener(threading.Thread):
    """Calls `heard`, `watching` (each time that it begins anew) and `told` (limits of the kernel), on its thread."""

    def __init__(
        self,
        areas: Areas,
        files: Iterable[Path],
        heard: Callable[[Heard], None],
        watching: Callable[[Watching], None],
        told: Callable[[FnctlError], None],
        kernel: Callable[[], FolderEvents] = FolderEvents,
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self._areas = areas
        self._files = {path: stamp(path) for path in files}
        self._heard = heard
        self._watching = watching
        self._told = told
        self._make_kernel = kernel
        self._kernel: FolderEvents | None = None
        self._paths: dict[int, str] = {}  # watch descriptor → folder
        self._watches: dict[str, int] = {}
        self._places: dict[str, tuple[int, int] | None] = {}
        self._scan: Scan | None = None
        self._scan_at = self._scan_every_s = 0.0
        self._wake, self._woken = os.pipe()
        self.begun = threading.Event()  # nothing is missed from now on

    @property
    def files(self) -> frozenset[Path]:
        """Those of the configuration."""
        return frozenset(self._files)

    # -- its life --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._begin()
        self.begun.set()
        try:
            look_at = time.monotonic() + LOOK_S
            while not self._wait(look_at - time.monotonic()):
                self._take()
                if time.monotonic() >= look_at:
                    self._look()
                    look_at = time.monotonic() + LOOK_S
            self._take()  # who listens from now on knows nothing of what came before
            self._look()
        finally:
            self._end()
            os.close(self._wake)

    def stop(self) -> None:
        """Ends it; `join` waits until it has."""
        os.close(self._woken)

    def _wait(self, timeout_s: float) -> bool:
        """Until there are events, or the time has passed; True where it is to end."""
        poller = select.poll()
        poller.register(self._wake, select.POLLIN | select.POLLHUP)
        if self._kernel is not None:
            poller.register(self._kernel.fileno(), select.POLLIN)
        ready = poller.poll(max(0.0, timeout_s) * 1000)
        return any(descriptor == self._wake for descriptor, _ in ready)

    # -- what is watched -------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Watch everything anew."""
        self._end()
        self._places = {root: identity(root) for root in self._areas.roots}
        mounts = mounted()
        remote = [root for root in self._places if is_remote(root, mounts)]
        try:
            self._kernel = self._make_kernel()
            for root in self._places:
                if root not in remote:
                    self._add(root)
        except OSError as error:
            self._told(_short(error, sum(1 for root in self._places for _ in self._areas.folders(root))))
            self._end()
            remote = list(self._places)
        if remote:
            self._scan_by_time(remote)
        files = self._scan.count if self._scan else 0
        self._watching(Watching(len(self._paths), files, self._scan_every_s))

    def _scan_by_time(self, roots: list[str]) -> None:
        began = time.monotonic()
        self._scan = Scan(self._areas, roots)
        self._scan_every_s = max(SCAN_S, 20 * (time.monotonic() - began))
        self._scan_at = time.monotonic() + self._scan_every_s

    def _end(self) -> None:
        if self._kernel is not None:
            self._kernel.close()
        self._kernel = self._scan = None
        self._paths.clear()
        self._watches.clear()

    def _add(self, top: str) -> None:
        """Watch a folder and those below it. OSError where the kernel has no room for it."""
        assert self._kernel is not None
        for folder in self._areas.folders(top):
            if folder in self._watches:
                continue
            try:
                watch = self._kernel.add_watch(folder, _MASK)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP):
                    continue  # it went meanwhile; or it is not ours to read, and the build says so
                raise
            self._watches[folder], self._paths[watch] = watch, folder

    def _drop(self, top: str) -> None:
        """It was moved away, with all below it."""
        assert self._kernel is not None
        for folder in [each for each in self._watches if each == top or each.startswith(top + "/")]:
            watch = self._watches.pop(folder)
            self._paths.pop(watch, None)
            with contextlib.suppress(OSError):
                self._kernel.rm_watch(watch)

    # -- what is heard ---------------------------------------------------------------------------------------------

    def _take(self) -> None:
        edited: set[str] = set()
        whole = True
        for event in self._kernel.read() if self._kernel is not None else ():
            if event.mask & Flags.Q_OVERFLOW:
                self._told(_overflow())
                self._again()
                return
            if event.mask & Flags.IGNORED:
                self._forget(event.watch)
            elif (folder := self._paths.get(event.watch)) is not None:
                found = self._meaning(event, folder)
                edited |= found
                whole = whole and not (found and not event.mask & _WHOLE)
        if edited:
            self._heard(Heard(frozenset(edited), settle_s=WHOLE_S if whole else SETTLE_S))

    def _meaning(self, event: Event, folder: str) -> set[str]:
        """The functions that it is an edit of; and what comes or goes of folders."""
        if event.mask & (Flags.DELETE_SELF | Flags.MOVE_SELF) or not event.name:
            return set()  # the folder above tells that, and `_look` where it is a root
        path = f"{folder.rstrip('/')}/{event.name}"
        if not event.mask & Flags.ISDIR:
            if event.name == ".dockerignore" and folder in self._areas.roots:
                return set()  # `_look` sees it: what is watched changes with it
            return set(self._areas.of_file(path))
        if event.mask & Flags.ATTRIB:
            return set()
        concerned = set(self._areas.of_folder(path))
        if event.mask & Flags.MOVED_FROM:
            self._drop(path)
        elif concerned and event.mask & (Flags.CREATE | Flags.MOVED_TO):
            try:
                self._add(path)
            except OSError:
                self._begin()
        return concerned

    def _forget(self, watch: int) -> None:
        folder = self._paths.pop(watch, None)
        if folder is not None and self._watches.get(folder) == watch:
            del self._watches[folder]

    def _again(self) -> None:
        """Anything may have changed."""
        self._begin()
        self._heard(Heard(frozenset(each.function for areas in self._areas.roots.values() for each in areas)))

    # -- what is looked at -----------------------------------------------------------------------------------------

    def _look(self) -> None:
        places = {root: identity(root) for root in self._places}
        if places != self._places:
            moved = {root for root in places if places[root] != self._places[root]}
            self._begin()
            self._heard(Heard(frozenset(each.function for root in moved for each in self._areas.roots[root])))
        files = {path: stamp(path) for path in self._files}
        if files != self._files:
            self._files = files
            self._heard(Heard(files=True))
        if self._scan is not None and time.monotonic() >= self._scan_at:
            began = time.monotonic()
            if edited := self._scan.changed():
                self._heard(Heard(frozenset(edited)))
            self._scan_every_s = max(SCAN_S, 20 * (time.monotonic() - began))
            self._scan_at = time.monotonic() + self._scan_every_s


def _limit(name: str) -> str:
    try:
        return (_LIMITS / name).read_text().strip()
    except OSError:
        return "unknown"


def _short(error: OSError, folders: int) -> FnctlError:
    """Why the kernel takes no (further) watch."""
    if error.errno not in (errno.ENOSPC, errno.EMFILE):
        return FnctlError(
            f"the kernel does not report changes of files ({error.strerror}); looking for changes every second instead"
        )
    name = "max_user_watches" if error.errno == errno.ENOSPC else "max_user_instances"
    limit = _limit(name)
    return FnctlError(
        f"cannot watch {folders} folders: the limit fs.inotify.{name} is {limit} for all programs of a user; "
        "looking for changes every second instead",
        hint=f"`sudo sysctl fs.inotify.{name}={_raised(limit, folders)}`, or exclude folders in .dockerignore",
        code="watch_limit",
    )


def _raised(limit: str, folders: int) -> int:
    return max(524_288 if folders else 1024, 2 * int(limit) if limit.isdigit() else 0, 2 * folders)


def _overflow() -> FnctlError:
    limit = _limit("max_queued_events")
    more = 4 * int(limit) if limit.isdigit() else 65_536
    return FnctlError(
        f"more changes at once than fs.inotify.max_queued_events ({limit}); checking every function for changes",
        hint=f"`sudo sysctl fs.inotify.max_queued_events={more}` if this happens often",
        code="watch_overflow",
    )

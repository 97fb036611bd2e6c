"""Watch → rebuild → swap: what `fnctl run --watch` does when a file is saved. Not the building, not the swapping."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from fnctl.errors import FnctlError
from fnctl.model import Function

# Editors write a save as several events within a few milliseconds (truncate and write; write aside and rename). Where
# the last of them says that a file is whole (closed after writing, or renamed into its place), only other files of the
# same save may be to come.
SETTLE_S = 0.02
WHOLE_S = 0.005
# Opened, read and closed unchanged are no edits: a build reads every file.
_EDITS = frozenset({"created", "modified", "moved", "deleted", "closed"})
# vim's swap and probe files, emacs' locks and autosaves, JetBrains' and kate's temporaries, backups
_TEMPORARY = re.compile(
    r"^(4913|\.#.*|#.*#|.*~|.*\.sw[a-z]|.*___jb_(tmp|old)___|.*\.kate-swp|\.goutputstream-.*|.*\.tmp)$"
)
_ASIDE = frozenset(
    {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".mypy_cache", ".pytest_cache", ".idea"}
)


def relevant(root: Path, path: Path) -> bool:
    """Whether a change of this path under a function's folder is an edit of the function."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        return False
    return bool(parts) and not _ASIDE.intersection(parts) and _TEMPORARY.fullmatch(parts[-1]) is None


class _Ears(FileSystemEventHandler):
    """On watchdog's thread: tells the loop which path changed."""

    def __init__(self, heard: Callable[[Path, float], None]) -> None:
        self._heard = heard

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _EDITS or event.is_directory:
            return
        if event.src_path:
            self._heard(Path(str(event.src_path)), WHOLE_S if event.event_type == "closed" else SETTLE_S)
        if event.dest_path:
            self._heard(Path(str(event.dest_path)), WHOLE_S)


class Watch:
    """Calls `rebuild(function)` when its code has changed; again, once, if it changed meanwhile.

    `rebuild` raises FnctlError where the new code does not build or load; that is passed to `failed`, and whatever
    served before serves on. `swapped(function, seconds)` follows a success.
    """

    def __init__(
        self,
        functions: Iterable[Function],
        rebuild: Callable[[str], Awaitable[None]],
        swapped: Callable[[str, float], None],
        failed: Callable[[str, FnctlError], None],
    ) -> None:
        self._functions = {function.name: function for function in functions}
        self._rebuild = rebuild
        self._swapped = swapped
        self._failed = failed
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._observer = Observer()

    def start(self) -> None:
        loop = asyncio.get_running_loop()

        def heard(path: Path, settle_s: float) -> None:
            loop.call_soon_threadsafe(self._changed, path, settle_s)

        ears = _Ears(heard)
        for root in {function.path for function in self._functions.values()}:
            self._observer.schedule(ears, str(root), recursive=True)
        self._observer.start()

    def _changed(self, path: Path, settle_s: float) -> None:
        for name, function in self._functions.items():
            if relevant(function.path, path):
                if (timer := self._timers.get(name)) is not None:
                    timer.cancel()
                self._timers[name] = asyncio.get_running_loop().call_later(settle_s, self._settled, name)

    def _settled(self, name: str) -> None:
        del self._timers[name]
        if name in self._running:
            self._again.add(name)
            return
        task = asyncio.ensure_future(self._swap(name))
        self._running[name] = task
        task.add_done_callback(lambda _: self._over(name))

    async def _swap(self, name: str) -> None:
        began = time.monotonic()
        try:
            await self._rebuild(name)
        except FnctlError as error:
            self._failed(name, error)
        else:
            self._swapped(name, time.monotonic() - began)

    def _over(self, name: str) -> None:
        task = self._running.pop(name)
        if not task.cancelled():
            task.result()  # anything but an FnctlError is a fault of ours: let the loop's handler say so
        if name in self._again:
            self._again.discard(name)
            self._timers[name] = asyncio.get_running_loop().call_later(SETTLE_S, self._settled, name)

    async def stop(self) -> None:
        """No rebuild runs afterwards."""
        self._observer.stop()
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.get_running_loop().run_in_executor(None, self._observer.join, 5.0)

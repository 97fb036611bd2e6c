"""Watch → rebuild or reload → swap: what `fnctl run --watch` does when something changes. Not how that is heard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fnctl.dev.area import Area, Areas
from fnctl.dev.listener import SETTLE_S, Heard, Listener, Watching
from fnctl.errors import FnctlError

# A project that cannot be read is tried again this often: what it lacks may come where nothing is watched.
RETRY_S = 2.0
BEGIN_S = 30.0  # to walk through 100,000 folders on a slow disk


class Service(Protocol):
    """What is kept up to date."""

    def areas(self) -> Sequence[Area]:
        """Of every function that is served now. Blocking."""
        ...

    def stale(self) -> Sequence[str]:
        """The functions whose folders may not be as they were when they were built. Blocking."""
        ...

    def files(self) -> Sequence[Path]:
        """What the project was read from."""
        ...

    @property
    def detected(self) -> bool:
        """Whether there is no file that says what the functions are, so that any change may change that."""
        ...

    async def rebuild(self, function: str) -> None:
        """FnctlError leaves the old code serving."""
        ...

    async def reload(self) -> None:
        """FnctlError leaves everything as it was."""
        ...


class Teller(Protocol):
    def failed(self, function: str | None, error: FnctlError) -> None:
        """A function (None: the project) stays as it was."""
        ...

    def watching(self, how: Watching) -> None: ...

    def trouble(self, error: FnctlError) -> None:
        """Changes are heard later than they could be."""
        ...


class Watch:
    """A function is rebuilt when its code has changed; again, once, if it changed meanwhile. The project is read anew
    when a file has changed that it was read from. On the event loop's thread; the listener has one of its own."""

    def __init__(self, service: Service, tell: Teller) -> None:
        self._service = service
        self._tell = tell
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._files = asyncio.Event()
        self._broken: str | None = None  # what was told of the project, which cannot be read
        self._reloads: asyncio.Task[None] | None = None
        self._areas: Sequence[Area] = ()
        self._listener: Listener | None = None
        self._shown: Watching | None = None

    async def start(self) -> None:
        """Nothing is missed from now on, nor what was saved since the functions were built."""
        await self._listen()
        for function in await asyncio.get_running_loop().run_in_executor(None, self._service.stale):
            self._soon(function, SETTLE_S)
        self._reloads = asyncio.create_task(self._keep_up(), name="reloads")

    # -- what is listened to ---------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Listen to what is served now. Who listened before stops when another one does."""
        loop = asyncio.get_running_loop()
        before = self._listener
        self._areas = await loop.run_in_executor(None, self._service.areas)
        ignores = [each.root / ".dockerignore" for each in self._areas]

        def later(call: object, *args: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(call, *args)  # type: ignore[arg-type]

        self._listener = Listener(
            Areas(self._areas),
            [*self._service.files(), *ignores],
            lambda heard: later(self._heard, heard),
            lambda how: later(self._watching, how),
            lambda error: later(self._tell.trouble, error),
        )
        self._listener.start()
        await loop.run_in_executor(None, self._listener.begun.wait, BEGIN_S)
        await self._end(before)

    @staticmethod
    async def _end(listener: Listener | None) -> None:
        if listener is not None:
            listener.stop()
            await asyncio.get_running_loop().run_in_executor(None, listener.join, BEGIN_S)

    def _watching(self, how: Watching) -> None:
        if how != self._shown:
            self._shown = how
            self._tell.watching(how)

    def _heard(self, heard: Heard) -> None:
        if heard.files or (heard.functions and (self._service.detected or self._broken is not None)):
            self._files.set()
        for function in heard.functions:
            self._soon(function, heard.settle_s)

    # -- a function's code -----------------------------------------------------------------------------------------

    def _soon(self, function: str, settle_s: float) -> None:
        if (timer := self._timers.get(function)) is not None:
            timer.cancel()
        self._timers[function] = asyncio.get_running_loop().call_later(settle_s, self._settled, function)

    def _settled(self, function: str) -> None:
        del self._timers[function]
        if function in self._running:
            self._again.add(function)
            return
        task = asyncio.ensure_future(self._rebuild(function))
        self._running[function] = task
        task.add_done_callback(lambda _: self._over(function))

    async def _rebuild(self, function: str) -> None:
        try:
            await self._service.rebuild(function)
        except FnctlError as error:
            self._tell.failed(function, error)

    def _over(self, function: str) -> None:
        task = self._running.pop(function)
        if not task.cancelled():
            task.result()  # anything but an FnctlError is a fault of ours: let the loop's handler say so
        if function in self._again:
            self._again.discard(function)
            self._soon(function, SETTLE_S)

    # -- the project -----------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._files.wait(), RETRY_S if self._broken is not None else None)
            await asyncio.sleep(SETTLE_S)
            self._files.clear()
            await self._reload()

    async def _reload(self) -> None:
        try:
            await self._service.reload()
        except FnctlError as error:
            if error.message != self._broken:
                self._tell.failed(None, error)
            self._broken = error.message
            return
        self._broken = None
        before = {each.function: each for each in self._areas}
        after = await asyncio.get_running_loop().run_in_executor(None, self._service.areas)
        if list(after) != list(self._areas) or set(self._service.files()) != self._listened():
            await self._listen()
            for each in after:  # what was left out may be code now, and the other way round
                if each.function in before and before[each.function] != each:
                    self._soon(each.function, SETTLE_S)

    def _listened(self) -> set[Path]:
        known = self._listener.files if self._listener is not None else ()
        return {path for path in known if path.name != ".dockerignore"}

    async def stop(self) -> None:
        """No rebuild runs afterwards."""
        await self._end(self._listener)
        for timer in self._timers.values():
            timer.cancel()
        tasks = [task for task in (*self._running.values(), self._reloads) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

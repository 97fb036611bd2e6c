"""A project that is served for tests: in a thread of its own, with a virtual clock and a store that begins empty.

It is another project than the one that `fnctl run` serves from the same folder, so both can run at once.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from fnctl import catalog
from fnctl.control import compose, prepare
from fnctl.control.compose import ServeSettings, Stack
from fnctl.control.lock import ProjectLock
from fnctl.engine.ownership import owned
from fnctl.model import Contract, Function, Project, Scale
from fnctl.paths import ProjectPaths
from fnctl.progress import Silent

T = TypeVar("T")
STAND_IN = Path(__file__).parent / "standin"
WARM = 2  # pre-warmed containers: a test's first calls find them booted
KEPT_S = 3600.0  # an instance of a stand-in, whose memory has what the test said


class Serving:
    """start → … → stop, on one thread. `mocked`: the functions that have stand-ins, from the next reload on."""

    def __init__(self, project: Project) -> None:
        folder = project.place or project.root
        # of no folder that there is: the id of the folder's own project stays what it was
        self.project = replace(project, id=f"{project.id}-test", place=folder / ".test", name=None, store=None)
        self.paths = ProjectPaths.of(self.project.id)
        self.mocked: frozenset[str] = frozenset()
        self.events: list[Mapping[str, Any]] = []  # of the bus, so far
        self._lock = ProjectLock(self.paths.ensure().lock)
        self._engine = compose.connect()
        self._thread: threading.Thread | None = None
        self._stack: Stack | None = None

    def start(self) -> None:
        """Raises ConflictError where another test run serves it, and whatever `fnctl run` would end with."""
        self._lock.acquire()
        try:
            self.paths.store.unlink(missing_ok=True)
            prepared = prepare.to_serve(self._selected(), self._engine, Silent())
            ready: Future[Stack] = Future()
            serving = self._serve(prepared, ready)
            self._thread = threading.Thread(target=lambda: uvloop.run(serving), name="served for tests")
            self._thread.start()
            self._stack = ready.result()
        except BaseException:
            self._lock.release()
            raise

    def stop(self) -> None:
        """Nothing of it is left: containers, volumes, logs."""
        assert self._stack is not None
        assert self._thread is not None
        self._stack.loop.call_soon_threadsafe(self._stack.request_stop, True)
        self._thread.join()
        for name in self._engine.volumes(owned(self.project.id)):
            self._engine.remove_volume(name)
        self._engine.close()
        self._lock.release()
        shutil.rmtree(self.paths.root, ignore_errors=True)

    def reload(self) -> None:
        """Serve stand-ins for what is `mocked` now, and the others as the project has them."""
        assert self._stack is not None
        self._done(self._stack.reload(code=False))

    def advance(self, seconds: float) -> float:
        """Move the clock on; returns its time when all that was due on the way is done."""
        return float(self._done(self._later().advance(seconds))["now"])

    def _later(self) -> Any:
        assert self._stack is not None
        return self._stack.later

    def _done(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._stack is not None
        return asyncio.run_coroutine_threadsafe(work, self._stack.loop).result()

    async def _serve(self, prepared: prepare.Prepared, ready: Future[Stack]) -> None:
        try:
            settings = ServeSettings(warm=WARM, virtual=True)
            async with compose.running(prepared, settings, self._selected) as stack:
                assert stack.later is not None
                stack.later.calls.bus.subscribers.append(self._published)
                ready.set_result(stack)
                await stack.stopping.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _published(self, event: Mapping[str, Any]) -> list[tuple[str, str]]:
        self.events.append(event)
        return []

    def _selected(self) -> prepare.Selection:
        functions = tuple(_stand_in(each) if each.name in self.mocked else each for each in self.project.functions)
        return prepare.select(replace(self.project, functions=functions), [])


def _stand_in(function: Function) -> Function:
    """In place of this one: reached by the same triggers, in nothing else alike."""
    node = next(spec for spec in catalog.default_runtimes() if spec.language == "node")
    return Function(
        function.name,
        STAND_IN,
        node.name,
        "standin.handler",
        contract=Contract.EVENT,
        scale=Scale(0, 1),
        keep_s=KEPT_S,
        triggers=function.triggers,
        deferred=function.deferred,
        calls=(),
    )

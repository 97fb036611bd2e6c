"""A service for one call of `fnctl invoke`: started, asked and ended by the command itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import uvloop

from fnctl.control import compose, prepare
from fnctl.control.compose import ServeSettings, Stack
from fnctl.control.lock import ProjectLock
from fnctl.control.prepare import Prepared
from fnctl.model import Project
from fnctl.paths import ProjectPaths
from fnctl.progress import Progress


@contextmanager
def one_shot(project: Project, name: str, progress: Progress) -> Iterator[Path]:
    """A service for one call: no pool, one function, no TCP. Yields the gateway's socket; nothing is left after it."""
    lock = ProjectLock(ProjectPaths.of(project.id).ensure().lock)
    lock.acquire()
    try:
        prepared = prepare.to_serve(prepare.select(project, [name]), compose.connect(), progress)
        ready: Future[Stack] = Future()
        thread = threading.Thread(target=lambda: uvloop.run(_serve_until_asked(prepared, ready)), name="one-shot")
        thread.start()
        stack = ready.result()
        try:
            yield stack.run.paths.gateway_socket
        finally:
            stack.loop.call_soon_threadsafe(stack.request_stop, True)
            thread.join()
    finally:
        lock.release()


async def _serve_until_asked(prepared: Prepared, ready: Future[Stack]) -> None:
    try:
        async with compose.running(prepared, ServeSettings(warm=0, later=False)) as stack:
            ready.set_result(stack)
            await stack.stopping.wait()
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)

"""The foreground of `fnctl run`: from a lock to an announcement, until it is stopped or another fnctl takes over."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fnctl.cli import detached, output, preconditions, service_manager
from fnctl.control import handover

if TYPE_CHECKING:
    from fnctl.control.compose import ServeSettings, Stack
    from fnctl.control.installation import Installation
    from fnctl.control.prepare import Prepared, Selection
    from fnctl.engine.port import Engine
    from fnctl.model import Project
    from fnctl.progress import Progress
    from fnctl.triggers.http.exposure import Exposure

CURRENT = ""  # the release that the folder served last


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the project comes from, to read it anew: by the places that the user named."""

    read: Callable[[], Project]
    names: Sequence[str]  # of the functions asked for
    said: tuple[Path, ...]

    def selection(self) -> Selection:
        from fnctl.control import prepare

        return prepare.select(self.read(), self.names)


def serve(
    project: Project,
    origin: Origin | str,
    settings: ServeSettings,
    exposed: Callable[[Project], Exposure],
    quiet: bool,
    held: int | None,
) -> None:
    """Until stopped. `origin`: a folder, or a release by its name. `held`: the project's lock, where this takes over
    from a run. On trial, ends where it would start."""
    import uvloop

    from fnctl import given_sockets
    from fnctl.control import compose, restore
    from fnctl.control.installation import Installation
    from fnctl.control.lock import ProjectLock
    from fnctl.paths import ProjectPaths

    preconditions.raise_descriptors()
    lock = ProjectLock(ProjectPaths.of(project.id).ensure().lock)
    if held is not None:
        lock.adopt(held)
    elif not handover.on_trial():
        lock.acquire()
    try:
        restore.check_whole(ProjectPaths.of(project.id))
        engine = compose.connect()
        installation = Installation(project.root, engine) if isinstance(origin, str) else None
        with output.progress() as progress:
            prepared = _prepared(project, origin, engine, installation, progress)
        settings = replace(settings, exposure=exposed(prepared.project))
        if handover.on_trial():
            return
        folder = None if isinstance(origin, str) else origin
        stack = uvloop.run(_serve(prepared, settings, folder, installation, quiet))
        if stack.handover.program is not None:
            given_sockets.become(stack.handover.program, stack.gateway.kept, lock.descriptor)
    finally:
        lock.release()


def _prepared(
    project: Project, origin: Origin | str, engine: Engine, installation: Installation | None, progress: Progress
) -> Prepared:
    from fnctl.control import prepare

    if isinstance(origin, Origin):
        return prepare.to_serve(prepare.select(project, origin.names), engine, progress)
    assert installation is not None, "a release has one"
    now = installation.history().now() if origin == CURRENT else None
    candidate = installation.again(now, progress) if now is not None else installation.fetched(origin, progress)
    if not handover.on_trial():
        installation.serves(candidate)
    return candidate.prepared


async def _serve(
    prepared: Prepared,
    settings: ServeSettings,
    origin: Origin | None,
    installation: Installation | None,
    quiet: bool,
) -> Stack:
    from fnctl.cli.live import watch
    from fnctl.cli.live_output import following
    from fnctl.control import compose
    from fnctl.paths import ProjectPaths

    source = origin.selection if origin is not None else None
    said = origin.said if origin is not None else ()
    loop = asyncio.get_running_loop()
    early = asyncio.Event()
    me = asyncio.current_task()
    assert me is not None

    def interrupted() -> None:
        # before the stack is up there is nothing to drain: unwind, and everything made so far is taken back
        if not early.is_set():
            early.set()
            me.cancel()

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, interrupted)
    try:
        step = f"Starting {settings.warm} pre-warmed containers"
        async with contextlib.AsyncExitStack() as ending:
            if not quiet:
                ending.enter_context(following(ProjectPaths.of(prepared.project.id).logs))
            with output.progress() as progress:
                progress.start(step)
                stack = await ending.enter_async_context(compose.running(prepared, settings, source, installation))
                progress.done(step)
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, stack.request_stop)
            output.notes([*stack.run.services.notes, *_not_loaded(stack)])
            _announce(stack)
            spare_collections()
            async with _edits(stack, said) if settings.watch else contextlib.nullcontext():
                await watch(stack)
            output.say(_ending(stack))
            service_manager.tell("STOPPING=1" if stack.handover.program is None else "STATUS=restarting")
        output.say("stopped: all containers removed")
        return stack
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _ending(stack: Stack) -> str:
    if stack.handover.program is None:
        return "stopping: waiting for in-flight requests; press Ctrl-C again to stop now"
    return "restarting: waiting for in-flight requests; new connections wait until the next process serves"


def _not_loaded(stack: Stack) -> list[str]:
    return [f"version {number} does not load: {why}" for number, why in sorted(stack.failed_versions.items())]


def _announce(stack: Stack) -> None:
    """The table of URLs, and lines to try; then the parent of a detached run may go."""
    status = stack.status()
    rows = [(row["name"], row["model"], url) for row in status["functions"] for url in row["urls"]]
    output.say(output.table(("FUNCTION", "MODEL", "URL"), rows))
    if status["host"] in ("0.0.0.0", "::"):
        output.say(f"\nlistening on all addresses of this machine ({status['host']}), port {status['port']}")
    output.say("\ntry:")
    for line in examples([url for row in status["functions"] for url in row["urls"]]):
        output.say(f"  {line}")
    output.say("")
    service_manager.tell(f"READY=1\nSTATUS=serving {stack.url}")
    if fd := os.environ.pop(detached.READY_FD, None):
        os.write(int(fd), b"ready")
        os.close(int(fd))


def _edits(stack: Stack, said: Sequence[Path]) -> contextlib.AbstractAsyncContextManager[None]:
    from fnctl.cli.edits import edits  # which is not needed without --watch

    return edits(stack, said)


def spare_collections() -> None:
    """What was imported by now stays: no collection has to look at it. And a receipt is garbage of one generation: with
    the default of 700 objects, a busy gateway would collect twenty times a second for nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def examples(urls: list[str]) -> list[str]:
    """Up to four curl lines that work as they are: GETs of addresses without parameters."""
    plain = [url.removeprefix("GET ") for url in urls if "{" not in url and (" " not in url or url.startswith("GET "))]
    return [f"curl -i {url}" for url in plain[:4]]

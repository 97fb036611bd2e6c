"""`fnctl run`: serve the project's functions until stopped, in the foreground or detached."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gc
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import detached, output, preconditions
from fnctl.cli.options import FileOption
from fnctl.config import here
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from fnctl.control.compose import ServeSettings, Stack
    from fnctl.control.installation import Installation
    from fnctl.control.prepare import Prepared, Selection
    from fnctl.engine.port import Engine
    from fnctl.model import Project
    from fnctl.progress import Progress
    from fnctl.triggers.http.exposure import Exposure

LEARNING_FLOOR = 3
MOST_WARM = 64
CURRENT = ""  # the release that the folder served last


class Clock(enum.StrEnum):
    REAL = "real"
    VIRTUAL = "virtual"


def run(
    functions: Annotated[
        list[str] | None,
        typer.Argument(metavar="FUNCTION|RELEASE", help="Functions to serve (default: all), or a release."),
    ] = None,
    warm: Annotated[
        str,
        typer.Option(
            "--warm",
            metavar="N|auto",
            help="Number of pre-warmed containers to keep, each with a booted runtime. N containers without a runtime "
            "wait behind them. auto: adapt N to the traffic.",
            envvar="FNCTL_WARM",
        ),
    ] = "3",
    pool_memory: Annotated[
        str,
        typer.Option(
            "--pool-memory",
            metavar="SIZE",
            help="Memory limit of what waits for requests: of the pool with --warm auto, and of pool and sleeping "
            "instances together.",
        ),
    ] = "256m",
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.", envvar="FNCTL_HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port", "-p", min=0, max=65535, help="Port to listen on; 0 for any free port.", envvar="FNCTL_PORT"
        ),
    ] = 8080,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--behind-proxy",
            metavar="ADDRESS",
            help="Address or network of a proxy in front, whose X-Forwarded-* headers are trusted. Repeatable.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="Also answer requests for this host name. Repeatable."),
    ] = None,
    max_clients: Annotated[
        int | None,
        typer.Option(
            "--max-clients",
            metavar="N",
            min=1,
            help="Maximum number of client connections (default: three quarters of the open file limit). "
            "Idle ones are closed to make room.",
            envvar="FNCTL_MAX_CLIENTS",
        ),
    ] = None,
    boot: Annotated[bool, typer.Option("--boot/--no-boot", help="Boot runtimes in the pre-warmed containers.")] = True,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Load new code when a file is saved.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not show requests and what functions print; `fnctl logs` does.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Serve in the background; `fnctl stop` stops it.")
    ] = False,
    clock: Annotated[
        Clock,
        typer.Option("--clock", help="virtual: for tests; timers and retries wait for `fnctl clock advance`."),
    ] = Clock.REAL,
    file: FileOption = None,
) -> None:
    """Serve the project's functions until stopped. Builds them first if needed.

    RELEASE is what `fnctl ship` has made: REGISTRY/REPO:TAG, REGISTRY/REPO@sha256:… or FILE.tar. It needs no source.

    \b
    Examples:
      fnctl run
      fnctl run --warm 3 --port 9000 todos
      fnctl run --watch
      fnctl run --warm auto --pool-memory 512m
      fnctl run -d && fnctl invoke todos; fnctl stop
      fnctl run registry.example.org/team/shop:1.4
    """
    from fnctl import config
    from fnctl.control import pulling

    place, given = here(), None if file is None else file.absolute()
    names = functions or []

    def exposed(project: Project) -> Exposure:
        return _exposure(project, names, host, behind_proxy or [], allow_host or [])

    def read() -> Project:
        project = config.load(place, given)
        exposed(project)
        return project

    release = names.pop() if pulling.is_release(names) else None
    if not names and given is None and release is None and pulling.is_installed(place):
        release = CURRENT
    if release is not None:
        _no_source(release, given, watch=watch)
    project = read() if release is None else pulling.unread(pulling.folder())
    preconditions.claim_project(project)
    preconditions.claim_port(host, port)
    if detach:
        detached.detach(project)  # whose own words are passed on
        return
    output.notes(project.notes)
    from fnctl.control.compose import ServeSettings

    if detached.READY_FD in os.environ:
        from fnctl.cli import run_log

        run_log.keep(detached.log_of(project))
    waiting_mb = memory_size(pool_memory)
    count, budget_mb = pool_size(warm, waiting_mb)
    _foreground(
        project,
        Origin(read, names, (given or place,)) if release is None else release,
        ServeSettings(
            count,
            host,
            port,
            boot,
            budget_mb,
            waiting_mb,
            watch,
            max_clients=max_clients,
            virtual=clock is Clock.VIRTUAL,
        ),
        exposed,
        quiet or detached.READY_FD in os.environ,
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the project comes from, to read it anew: by the places that the user named."""

    read: Callable[[], Project]
    names: Sequence[str]  # of the functions asked for
    said: tuple[Path, ...]

    def selection(self) -> Selection:
        from fnctl.control import prepare

        return prepare.select(self.read(), self.names)


def _no_source(release: str, given: Path | None, *, watch: bool) -> None:
    """A release is what it is: nothing of it is read from a folder."""
    for option, used in (("--file", given is not None), ("--watch", watch)):
        if used:
            what = release or "that this folder serves"
            hint = "a release has no source to be read"
            raise UsageError(f"{option} cannot be used with the release {what}", hint=hint)


def _exposure(project: Project, names: list[str], host: str, proxies: list[str], allowed: list[str]) -> Exposure:
    """Before anything is made: UsageError where it would serve strangers."""
    from fnctl.triggers.http.exposure import exposure

    served = [each for each in project.functions if not names or each.name in names]
    return exposure(host, served, proxies=proxies, names=allowed)


def memory_size(memory: str) -> float:
    """In MB. UsageError where it is no size."""
    from fnctl.config.units import size_mb

    try:
        return float(size_mb(memory))
    except ValueError as error:
        raise UsageError(f"--pool-memory {memory}: {error}", hint="try a size such as 256m or 1g") from error


def pool_size(warm: str, memory_mb: float) -> tuple[int, float | None]:
    """Containers to keep, and the memory within which the pool may grow: None where it does not."""
    if warm == "auto":
        return LEARNING_FLOOR, memory_mb
    if not warm.isascii() or not warm.isdigit() or int(warm) > MOST_WARM:
        raise UsageError(f"--warm {warm}: not a number from 0 to {MOST_WARM} and not `auto`", hint="try --warm 3")
    return int(warm), None


def _foreground(
    project: Project,
    origin: Origin | str,
    settings: ServeSettings,
    exposed: Callable[[Project], Exposure],
    quiet: bool,
) -> None:
    """`origin`: a folder, or a release by its name."""
    import uvloop

    from fnctl.control import compose
    from fnctl.control.installation import Installation
    from fnctl.control.lock import ProjectLock
    from fnctl.paths import ProjectPaths

    preconditions.raise_descriptors()
    lock = ProjectLock(ProjectPaths.of(project.id).ensure().lock)
    lock.acquire()
    try:
        engine = compose.connect()
        installation = Installation(project.root, engine) if isinstance(origin, str) else None
        with output.progress() as progress:
            prepared = _prepared(project, origin, engine, installation, progress)
        settings = replace(settings, exposure=exposed(prepared.project))
        uvloop.run(_serve(prepared, settings, None if isinstance(origin, str) else origin, installation, quiet))
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
    installation.serves(candidate)
    return candidate.prepared


async def _serve(
    prepared: Prepared,
    settings: ServeSettings,
    origin: Origin | None,
    installation: Installation | None,
    quiet: bool,
) -> None:
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
            output.notes(stack.run.services.notes)
            _announce(stack)
            spare_collections()
            async with _edits(stack, said) if settings.watch else contextlib.nullcontext():
                await watch(stack)
            output.say("stopping: waiting for in-flight requests; press Ctrl-C again to stop now")
        output.say("stopped: all containers removed")
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


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

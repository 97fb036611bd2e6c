"""`fnctl run`: serve the project's functions until stopped, in the foreground or detached."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import output
from fnctl.cli.options import FileOption
from fnctl.errors import FnctlError, UsageError

if TYPE_CHECKING:
    from fnctl.cli.compose import Prepared, ServeSettings, Stack
    from fnctl.model import Project

LEARNING_FLOOR = 3
MOST_WARM = 64
LEAST_FILES = 256  # some 50 to begin with, 10 an instance, 2 a request in flight
READY_FD = "FNCTL_READY_FD"  # a detached child says "ready" on this file descriptor


def run(
    functions: Annotated[
        list[str] | None, typer.Argument(metavar="FUNCTION", help="Functions to serve; all where none is named.")
    ] = None,
    warm: Annotated[
        str,
        typer.Option(
            "--warm",
            metavar="N|auto",
            help="First calls at once to be ready for, each with a booted container; auto: as many as come.",
            envvar="FNCTL_WARM",
        ),
    ] = "3",
    pool_memory: Annotated[
        str, typer.Option("--pool-memory", metavar="SIZE", help="With --warm auto: what the pool may take.")
    ] = "256m",
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.", envvar="FNCTL_HOST")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", "-p", min=0, max=65535, help="Port to listen on; 0: any.", envvar="FNCTL_PORT"),
    ] = 8080,
    boot: Annotated[bool, typer.Option("--boot/--no-boot", help="Boot runtimes ahead in the pool.")] = True,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Swap in new code whenever a file is saved.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Serve in the background; `fnctl stop` ends it.")
    ] = False,
    file: FileOption = None,
) -> None:
    """Serve the project's functions until stopped. Builds what is not built.

    \b
    Examples:
      fnctl run
      fnctl run --warm 3 --port 9000 todos
      fnctl run --watch
      fnctl run --warm auto --pool-memory 512m
      fnctl run -d && fnctl invoke todos; fnctl stop
    """
    from fnctl import config

    project = config.load(Path.cwd(), file)
    claim_port(host, port)
    if detach:
        _detach(project)  # whose own words are passed on
        return
    output.notes(project.notes)
    from fnctl.cli.compose import ServeSettings

    count, budget_mb = pool_size(warm, pool_memory)
    _foreground(project, functions or [], ServeSettings(count, host, port, boot, budget_mb, watch))


def pool_size(warm: str, memory: str) -> tuple[int, float | None]:
    """Containers to keep, and the memory within which the pool may grow: None where it does not."""
    from fnctl.config.units import size_mb

    if warm == "auto":
        try:
            return LEARNING_FLOOR, float(size_mb(memory))
        except ValueError as error:
            raise UsageError(f"--pool-memory {memory}: {error}", hint="a size such as 256m or 1g") from error
    if not warm.isascii() or not warm.isdigit() or int(warm) > MOST_WARM:
        raise UsageError(f"--warm {warm}: neither a number from 0 to {MOST_WARM} nor `auto`", hint="fnctl run --warm 3")
    return int(warm), None


def claim_port(host: str, port: int) -> None:
    """Find out before anything is made that it cannot be listened on. ConflictError says who has the port."""
    from fnctl.gateway.ports import cannot_listen

    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise cannot_listen(error, host, port) from error


def _foreground(project: Project, names: list[str], settings: ServeSettings) -> None:
    import uvloop

    from fnctl.cli import compose
    from fnctl.paths import ProjectPaths
    from fnctl.runtime.lock import ProjectLock

    raise_descriptors()
    lock = ProjectLock(ProjectPaths.of(project.id).ensure().lock)
    lock.acquire()
    try:
        engine = compose.connect()
        with output.progress() as progress:
            prepared = compose.prepare(project, names, engine, progress)
        uvloop.run(_serve(prepared, settings))
    finally:
        lock.release()


async def _serve(prepared: Prepared, settings: ServeSettings) -> None:
    from fnctl.cli import compose
    from fnctl.cli.live import watch

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
        step = f"start {settings.warm} pre-warmed containers"
        async with contextlib.AsyncExitStack() as ending:
            with output.progress() as progress:
                progress.start(step)
                stack = await ending.enter_async_context(compose.running(prepared, settings))
                progress.done(step)
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, stack.request_stop)
            _announce(stack)
            spare_collections()
            async with edits(stack) if settings.watch else contextlib.nullcontext():
                await watch(stack)
            output.say("stopping: what runs may end first; Ctrl-C again to cut it short")
        output.say("stopped: no container is left")
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _announce(stack: Stack) -> None:
    """The table of URLs, and lines to try; then the parent of a detached run may go."""
    status = stack.status()
    rows = [(row["name"], row["model"], url) for row in status["functions"] for url in row["urls"]]
    output.say(output.table(("FUNCTION", "MODEL", "URL"), rows))
    output.say("\ntry:")
    for line in examples([url for row in status["functions"] for url in row["urls"]]):
        output.say(f"  {line}")
    output.say("")
    if fd := os.environ.pop(READY_FD, None):
        os.write(int(fd), b"ready")
        os.close(int(fd))


def spare_collections() -> None:
    """What was imported by now stays: no collection has to look at it. And a receipt is garbage of one generation: with
    the default of 700 objects, a busy gateway would collect twenty times a second for nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def raise_descriptors() -> None:
    """A connection of a client takes a file descriptor, and so does one to an instance: use all that we may have.

    FnctlError, before anything is made, where that is too few to serve with.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        raise FnctlError(
            f"this process may have {hard} open files, and a run needs {LEAST_FILES} at least",
            hint="`ulimit -Hn` shows the limit; it is raised in /etc/security/limits.conf, or LimitNOFILE= of systemd",
            code="no_files",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.asynccontextmanager
async def edits(stack: Stack) -> AsyncIterator[None]:
    """While inside: what is saved is built, loaded, and takes over; what is not sound is told, the old code stays."""
    from fnctl.dev import Watch

    def swapped(function: str, took_s: float) -> None:
        output.say(f"{function}: new code serves after {took_s * 1000:.0f} ms")

    def failed(function: str, error: FnctlError) -> None:
        output.error(error)
        output.say(f"{function}: the code from before serves on")

    functions = [code.function for code in stack.prepared.codes]
    watching = Watch(functions, stack.rebuild, swapped, failed)
    watching.start()
    try:
        yield
    finally:
        await watching.stop()


def examples(urls: list[str]) -> list[str]:
    """Up to four curl lines that work as they are: GETs of addresses without parameters."""
    plain = [url.removeprefix("GET ") for url in urls if "{" not in url and (" " not in url or url.startswith("GET "))]
    return [f"curl -i {url}" for url in plain[:4]]


def _detach(project: Project) -> None:
    """Start the same command in a session of its own, wait until it serves or fails, and pass on how it went."""
    from fnctl.paths import ProjectPaths

    log = ProjectPaths.of(project.id).ensure().root / "run.log"
    arguments = [argument for argument in sys.argv[1:] if argument not in ("-d", "--detach")]
    reader, writer = os.pipe()
    with log.open("w") as out:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "fnctl.cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            pass_fds=(writer,),
            env={**os.environ, READY_FD: str(writer)},
        )
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as news:
            ready = news.read()
    except KeyboardInterrupt:
        child.terminate()
        child.wait()
        raise
    said = log.read_text()
    if ready != b"ready":
        raise DetachFailed(child.wait(), said)
    output.say(said.rstrip())
    output.say(f"serving in the background (pid {child.pid}); `fnctl logs -f`, `fnctl ps`, `fnctl stop`")


class DetachFailed(FnctlError):
    """The detached run ended before it served; its own words are the message."""

    def __init__(self, code: int, said: str) -> None:
        text = said.rstrip()
        marker = text.rfind("error: ")
        super().__init__(text[marker + len("error: ") :] if marker >= 0 else text or "the detached run ended at once")
        self.exit_code = code or 1

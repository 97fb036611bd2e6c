"""`fnctl run`: serve the project's functions until stopped, in the foreground or detached."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fnctl.cli import detached, output, preconditions
from fnctl.cli.options import FileOption
from fnctl.config import here
from fnctl.errors import UsageError

if TYPE_CHECKING:
    from fnctl.given_sockets import Given
    from fnctl.model import Project
    from fnctl.triggers.http.exposure import Exposure

LEARNING_FLOOR = 3
MOST_WARM = 64


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
    from fnctl.cli.serving import CURRENT, Origin, serve
    from fnctl.control import handover, pulling

    place, given = here(), None if file is None else file.absolute()
    names = functions or []
    opened = _opened(detach)
    if opened.listeners:
        host, port = opened.address

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
        release = CURRENT if opened.taken_over or handover.on_trial() else release
    project = read() if release is None else pulling.unread(pulling.folder())
    if not handover.on_trial():
        _claim(project, host, port, opened)
    if detach:
        detached.detach(project)  # whose own words are passed on
        return
    output.notes(project.notes)
    from fnctl.control.compose import ServeSettings

    if detached.is_detached() and not handover.on_trial():
        from fnctl.cli import run_log

        run_log.keep(detached.log_of(project))
    waiting_mb = memory_size(pool_memory)
    count, budget_mb = pool_size(warm, waiting_mb)
    serve(
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
            listeners=opened.listeners,
            arguments=tuple(sys.argv[1:]),
        ),
        exposed,
        quiet or detached.is_detached(),
        opened.lock,
    )


def _opened(detach: bool) -> Given:
    """The sockets to listen on, where somebody has opened some for this process."""
    from fnctl import given_sockets

    opened = given_sockets.taken()
    if detach and opened.listeners:
        hint = "systemd runs the service in the background by itself"
        raise UsageError("--detach cannot be used with a socket that systemd has opened", hint=hint)
    return opened


def _claim(project: Project, host: str, port: int, opened: Given) -> None:
    """What this run must have, before anything is made. What it was given needs no claim."""
    if not opened.taken_over:
        preconditions.claim_project(project)
    if not opened.listeners:
        preconditions.claim_port(host, port)
    elif not opened.taken_over:
        output.notes(
            [f"listening on the socket that systemd has opened, {host}:{port}; --host and --port are not used"]
        )


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

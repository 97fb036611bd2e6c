"""`fnctl install-service`: have systemd serve the project, from now on and after each boot."""

from __future__ import annotations

import getpass
import os
import pwd
import sys
from pathlib import Path
from typing import Annotated

import typer

from fnctl import config, paths
from fnctl.cli import output, preconditions
from fnctl.cli.options import FileOption, project_paths
from fnctl.config import here, locate
from fnctl.control import handover, service_units, units
from fnctl.control.holder import holder
from fnctl.errors import ConflictError, UsageError


def install_service(
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN_OPTION", help="Options of `fnctl run` for the service, after `--`."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port to listen on.")] = 8080,
    run_as: Annotated[
        str | None,
        typer.Option("--as", metavar="USER", help="User that runs the service (default: who called sudo, else you)."),
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="A service of your own systemd, not of the machine's; needs no root.")
    ] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="Send requests and what functions print to the journal, too.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Stop the service and remove its units.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the units, and change nothing.")] = False,
    file: FileOption = None,
) -> None:
    """Have systemd serve this project: now, after each boot, and again after a crash.

    systemd opens the socket, so that no connection is refused while the service restarts. Environment variables for
    the service are read from /etc/fnctl/NAME.env, with --user from ~/.config/fnctl/NAME.env.

    \b
    Examples:
      fnctl install-service --dry-run
      sudo fnctl install-service --port 80 --as fnctl
      fnctl install-service --user -- --warm 5
      sudo fnctl install-service --remove
    """
    given = None if file is None else file.absolute()
    place = _place(given)
    where = service_units.folder(user_units=user)
    name = _name(place, given)
    runner = run_as or os.environ.get("SUDO_USER") or getpass.getuser()
    wanted = units.Wanted(
        name,
        place,
        given,
        _home(runner),
        _program(),
        host,
        port,
        runner,
        user,
        journal,
        tuple(options or ()),
        os.environ.get("DOCKER_HOST", ""),
        where,
    )
    ask = service_units.systemctl(user_units=user)
    if remove:
        service_units.check(user_units=user)
        for path in service_units.remove(where, wanted.name, ask):
            output.say(f"removed {path}")
        return
    texts = units.texts(wanted)
    _check_project(place, given)
    if dry_run:
        output.emit("\n".join(texts.values()).rstrip())
        return
    service_units.check(user_units=user)
    _claim(file, where / f"{wanted.name}.service", host, port)
    with output.progress() as progress:
        step = f"Installing and starting {wanted.name}.service"
        progress.start(step)
        written = service_units.install(where, texts, ask)
        progress.done(step)
    for path in written:
        output.say(f"wrote {path}")
    output.say(f"`systemctl{' --user' if user else ''} status {wanted.name}` shows it; `fnctl ps`, `fnctl logs -f`")


def _place(given: Path | None) -> Path:
    """The project's folder as the user names it: a link such as `current` stays one."""
    found = config.find(here(), given)
    return locate.named(found.parent, given) if found else here()


def _name(place: Path, given: Path | None) -> str:
    """What the project is called. Reads no more of it: a broken file must not keep a service from being removed."""
    found = config.find(place, given)
    return (locate.project_name(found) if found else None) or place.name


def _check_project(place: Path, given: Path | None) -> None:
    """There is something to serve: source, or a release that this folder has served. FnctlError."""
    from fnctl.control import pulling

    if given is not None or not pulling.is_installed(place):
        config.load(place, given)


def _home(runner: str) -> Path:
    """Where fnctl keeps the data of this user. UsageError where there is no such user."""
    if "FNCTL_HOME" in os.environ or runner == getpass.getuser():
        return paths.home()
    try:
        there = pwd.getpwnam(runner).pw_dir
    except KeyError as error:
        hint = f"`sudo useradd --system --create-home --groups docker {runner}` makes one"
        raise UsageError(f"--as {runner}: this machine has no such user", hint=hint) from error
    return paths.home({"HOME": there})


def _program() -> tuple[str, ...]:
    """What starts this fnctl: the command where it is installed as one."""
    command = Path(sys.executable).with_name("fnctl")
    return (str(command),) if os.access(command, os.X_OK) else handover.own_program()


def _claim(file: Path | None, unit: Path, host: str, port: int) -> None:
    """Before anything is written: neither project nor port may be in the hands of a run that was started by hand."""
    if unit.exists():
        return
    if (pid := holder(project_paths(file).lock)) is not None:
        raise ConflictError(
            f"this project is running already (pid {pid}), and was not started by systemd",
            hint="`fnctl stop` stops it",
            code="locked",
        )
    preconditions.claim_port(host, port)

"""Getting a Docker Engine onto a machine that has none: what to run is decided here as values, then run. Not its use.

Nothing is installed where an engine was asked for by name (DOCKER_HOST, a context), nor without apt and root or sudo.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fnctl.errors import DeadlineExceeded, EngineError, EngineUnavailable
from fnctl.progress import Progress

STEP = "Installing Docker Engine"
ENGINE_PACKAGE = "docker.io"
COMMAND_PACKAGE = "docker-cli"  # the `docker` command, which is a package of its own from Debian 13 on
BOOTSTRAP_PACKAGES = ("mmdebstrap", "debian-archive-keyring")
INSTALL_TIMEOUT_S = 900.0
START_TIMEOUT_S = 60.0
DOCS = "https://docs.docker.com/engine/install/"


@dataclass(frozen=True, slots=True)
class Host:
    """What this machine offers, as far as installing an engine goes."""

    linux: bool
    asked_for: str | None  # the engine that the environment names
    root: bool
    sudo: bool  # without a password
    apt: bool
    dockerd: bool
    systemd: bool  # it runs, not only is there
    socket: bool  # the default socket exists
    socket_usable: bool
    command_apart: bool = False  # apt knows the `docker` command as a package of its own


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    background: bool = False  # in a session of its own, its output in a log file


def look(environment: Mapping[str, str]) -> Host:
    """Read this machine. Runs nothing but `sudo -n true` and `apt-cache show`."""
    socket = Path("/var/run/docker.sock")
    root = os.geteuid() == 0
    return Host(
        linux=os.uname().sysname == "Linux",
        asked_for=environment.get("DOCKER_HOST") or environment.get("DOCKER_CONTEXT"),
        root=root,
        sudo=not root and _succeeds("sudo", "-n", "true"),
        apt=shutil.which("apt-get") is not None,
        dockerd=_which("dockerd") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        socket=socket.exists(),
        socket_usable=os.access(socket, os.W_OK),
        command_apart=_succeeds("apt-cache", "show", COMMAND_PACKAGE),
    )


def _which(name: str) -> str | None:
    """Also in the system folders, which the PATH of a plain user leaves out."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")


def _succeeds(*argv: str) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=False).returncode == 0


def plan(host: Host) -> list[Command]:
    """What gets an engine running here. EngineUnavailable says why nothing can, with what the user can do."""
    if host.asked_for is not None:
        raise EngineUnavailable(
            f"the Docker Engine at {host.asked_for} does not answer",
            hint="start it, or unset DOCKER_HOST and DOCKER_CONTEXT to use this machine's own",
        )
    if not host.linux:
        raise EngineUnavailable("no Docker Engine answers", hint="install and start Docker Desktop, colima or similar")
    if host.socket and not host.socket_usable:
        raise EngineUnavailable(
            "no permission to use the Docker Engine (/var/run/docker.sock)",
            hint="sudo usermod -aG docker $USER, then log in again",
        )
    if not (host.root or host.sudo):
        raise EngineUnavailable(
            "no Docker Engine answers, and starting one needs root",
            hint=f"as root: apt-get install docker.io (Debian, Ubuntu), or see {DOCS}",
        )
    if not host.dockerd and not host.apt:
        raise EngineUnavailable("no Docker Engine on this machine", hint=f"install one: {DOCS}")
    packages = (ENGINE_PACKAGE, COMMAND_PACKAGE) if host.command_apart else (ENGINE_PACKAGE,)
    install = [] if host.dockerd else apt_install(host, packages)
    return [*install, _start(host)]


def apt_install(host: Host, packages: Sequence[str]) -> list[Command]:
    """EngineUnavailable where this user cannot install packages."""
    if not host.apt or not (host.root or host.sudo):
        raise EngineUnavailable(
            f"cannot install {' '.join(packages)}: that needs apt-get, and root or sudo without a password",
            hint=f"as root: apt-get install {' '.join(packages)}",
        )
    quiet = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120")
    return [
        _as_root(host, (*quiet, "update")),
        _as_root(host, (*quiet, "install", "--no-install-recommends", *packages)),
    ]


def _start(host: Host) -> Command:
    if host.systemd:
        return _as_root(host, ("systemctl", "start", "docker"))
    return _as_root(host, ("dockerd",), background=True)


def _as_root(host: Host, argv: tuple[str, ...], *, background: bool = False) -> Command:
    return Command(argv if host.root else ("sudo", "-n", *argv), background)


def perform(commands: Sequence[Command], progress: Progress, log: Path, *, step: str = STEP) -> None:
    """Run them in order. EngineError with the command's last lines where one fails; what came before it stays."""
    for command in commands:
        progress.line(step, shlex.join(command.argv))
        if command.background:
            _launch(command, log)
        else:
            _run(command, lambda line: progress.line(step, line))


def _launch(command: Command, log: Path) -> None:
    """Start a daemon that outlives us: own session, no terminal, output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    with log.open("ab") as out:
        subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PATH": path},
        )


def _run(command: Command, on_line: Callable[[str], None]) -> None:
    argv = ("timeout", "--kill-after=10", str(int(INSTALL_TIMEOUT_S)), *command.argv)
    tail: list[str] = []
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            on_line(line.rstrip())
            tail = [*tail[-19:], line]
    if process.returncode != 0:
        raise EngineError(
            f"`{shlex.join(command.argv)}` ended with {process.returncode}",
            detail="".join(tail),
            hint=f"run it by hand to see more, or install an engine another way: {DOCS}",
        )


def wait_until(answers: Callable[[], bool], log: Path, *, timeout_s: float = START_TIMEOUT_S) -> None:
    """Return once the engine answers. DeadlineExceeded carries the end of its log."""
    deadline = time.monotonic() + timeout_s
    while not answers():
        if time.monotonic() > deadline:
            raise DeadlineExceeded(
                f"the Docker Engine was started but did not answer within {timeout_s:.0f} s",
                detail=_last_lines(log),
                hint="`journalctl -u docker` shows why" if not log.exists() else f"its log is {log}",
                code="engine_timeout",
            )
        time.sleep(0.2)


def _last_lines(log: Path, count: int = 20) -> str | None:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-count:]) if log.exists() else None

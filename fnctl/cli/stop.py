"""`fnctl stop`: end the running service of this project, and wait until it has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Annotated

import typer

from fnctl.cli import output
from fnctl.cli.not_running import runs_elsewhere
from fnctl.cli.options import FileOption, duration, project_paths
from fnctl.control import client
from fnctl.control.holder import holder
from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.paths import ProjectPaths

POLL_S = 0.1


def stop(
    force: Annotated[bool, typer.Option("--force", help="Do not wait for in-flight requests.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait until everything has stopped.")
    ] = "60s",
    file: FileOption = None,
) -> None:
    """Stop the running functions of this project: accept no new requests, finish in-flight ones, remove containers.

    \b
    Examples:
      fnctl stop
      fnctl stop --force
    """
    wait_s = duration("--timeout", timeout)
    paths = project_paths(file)
    pid = holder(paths.lock)
    if pid is None:
        if (there := runs_elsewhere(file)) is not None:
            raise there
        output.say("this project is not running")
        return
    _ask(paths, force, pid)
    with output.progress() as progress:
        step = f"Stopping fnctl run (pid {pid})"
        progress.start(step)
        if _ended(paths, wait_s):
            progress.done(step, "all containers removed")
            return
        progress.failed(step, f"still running after {timeout}")
    hint = "try `fnctl stop --force`" if not force else f"`kill -9 {pid}`; its containers are removed within 30 s"
    raise DeadlineExceeded(f"fnctl run (pid {pid}) did not stop within {timeout}", hint=hint)


def _ask(paths: ProjectPaths, force: bool, pid: int) -> None:
    """Over the admin API; by signal where that does not answer, as while the service still starts."""
    try:
        client.admin(paths.admin_socket, "POST", f"/v1/stop?now={int(force)}")
    except FnctlError as failure:
        if not pid:
            raise
        output.say(f"fnctl run (pid {pid}) does not answer ({failure.message}); sending SIGTERM")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _ended(paths: ProjectPaths, timeout_s: float) -> bool:
    """Wait for the lock: its holder frees it last, after the containers have gone."""
    deadline = time.monotonic() + timeout_s
    while holder(paths.lock) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True

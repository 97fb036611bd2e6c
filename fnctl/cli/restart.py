"""`fnctl restart`: have this fnctl take over from the running one, without a refused connection."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.control import client, handover
from fnctl.control.holder import holder
from fnctl.errors import DeadlineExceeded, FnctlError
from fnctl.paths import ProjectPaths

POLL_S = 0.1


def restart(
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait until it serves again.")
    ] = "20m",
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Restart the running service in place, without refusing a connection: for a new version of fnctl.

    The fnctl that this command belongs to takes over, with the options that the service was started with. First it
    prepares images and code while the service still runs; if that fails, nothing changes. Then in-flight requests are
    answered, and new connections wait until the new process serves.

    \b
    Examples:
      fnctl restart
      /opt/fnctl-2/bin/fnctl restart
    """
    paths = project_paths(file)
    wait_s = duration("--timeout", timeout)
    began = time.monotonic()
    try:
        before = client.admin(paths.admin_socket, "GET", "/v1/status")
    except client.NotListening:
        raise not_running(paths, file) from None
    with output.progress() as progress:
        step = "Preparing what is served"
        progress.start(step)
        client.admin(
            paths.admin_socket, "POST", "/v1/restart", timeout_s=wait_s, told={"program": handover.own_program()}
        )
        progress.done(step)
        step = f"Restarting fnctl run (pid {before['pid']})"
        progress.start(step)
        now = _next(paths, before["started"], began + wait_s)
        progress.done(step)
    took_s = time.monotonic() - began
    if form is Format.JSON:
        output.emit_json(
            {"pid": now["pid"], "before": before.get("version"), "version": now["version"], "took_s": round(took_s, 3)}
        )
        return
    output.say(f"fnctl {now['version']} serves {now['url']} ({took_s:.1f} s)")


def _next(paths: ProjectPaths, before: float, deadline: float) -> dict[str, Any]:
    """The status of the run that took over from the one which had started `before`. FnctlError where none comes."""
    while time.monotonic() < deadline:
        if holder(paths.lock) is None:  # never, while one process goes over into the other
            raise FnctlError(
                "the service ended before the new fnctl served: it was stopped, or could not start",
                hint=f"its last words are where `fnctl run` writes; with --detach, in {paths.root / 'run.log'}",
                code="not_ready",
            )
        try:
            status = client.admin(paths.admin_socket, "GET", "/v1/status")
        except FnctlError:  # nobody listens for now
            status = {}
        if status.get("started", before) != before:
            return status
        time.sleep(POLL_S)
    hint = "`fnctl ps` shows when it serves again"
    raise DeadlineExceeded("the restarted service does not serve yet", hint=hint)

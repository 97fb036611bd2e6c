"""`fnctl reload`: have the running service take up what has changed, without a stop."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import FileOption, Format, FormatOption, duration, project_paths
from fnctl.control import client
from fnctl.control.changes import Applied


def reload(
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for builds and loads.")
    ] = "20m",
    form: FormatOption = Format.TEXT,
    file: FileOption = None,
) -> None:
    """Apply changes of fnctl.yaml, environment files, secrets and code to the running service, without a stop.

    New versions are built and loaded first; then all of them take over at once. If anything fails, everything keeps
    serving as before.

    \b
    Examples:
      fnctl reload
      fnctl reload -o json
    """
    paths = project_paths(file)
    wait_s = duration("--timeout", timeout)
    began = time.monotonic()
    try:
        answer = client.admin(paths.admin_socket, "POST", "/v1/reload", timeout_s=wait_s)
    except client.NotListening:
        raise not_running(paths, file) from None
    if form is Format.JSON:
        output.emit_json(answer)
        return
    applied = Applied(**{key: tuple(names) for key, names in answer.items()})
    output.notes(applied.notes)
    output.say(f"{applied} ({time.monotonic() - began:.1f} s)" if applied else str(applied))

"""`fnctl deploy`: let another version of a release take over in the running service."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from fnctl.cli import output
from fnctl.cli.absence import not_running
from fnctl.cli.options import Format, FormatOption, duration, project_paths
from fnctl.control import client


def deploy(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="REGISTRY/REPO:TAG, REPO@sha256:… or FILE.tar.")],
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for it.")
    ] = "20m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Have the running service serve another release. Run it in the folder of the service.

    The release is fetched and checked, and an instance of each function that it changes is loaded; then all of it takes
    over at once. Requests in flight end where they began. If anything fails, the version before keeps serving.

    \b
    Examples:
      fnctl deploy registry.example.org/team/shop:1.5
      fnctl rollback
    """
    from fnctl.registry import reference

    if not release.endswith(".tar"):
        reference.parse(release)
    else:
        from pathlib import Path

        release = str(Path(release).absolute())
    _change(f"/v1/deploy?{urlencode({'release': release})}", duration("--timeout", timeout), form)


def rollback(
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="Version to go back to (default: the one before).")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for it.")
    ] = "5m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Have the running service serve a version that it served before. Nothing is built, and nothing fetched.

    \b
    Examples:
      fnctl rollback
      fnctl rollback --to 3
    """
    _change(f"/v1/rollback?{urlencode({'to': to} if to else {})}", duration("--timeout", timeout), form)


def _change(target: str, wait_s: float, form: Format) -> None:
    folders = project_paths(None)
    began = time.monotonic()
    try:
        answer = client.admin(folders.admin_socket, "POST", target, timeout_s=wait_s)
    except client.NotListening:
        raise not_running(folders) from None
    if form is Format.JSON:
        output.emit_json(answer)
        return
    output.notes(answer["notes"])
    what = "; ".join(f"{verb} {', '.join(answer[verb])}" for verb in ("added", "changed", "removed") if answer[verb])
    said = f"version {answer['version']} is served: {what or 'nothing has changed'}"
    output.say(f"{said} ({time.monotonic() - began:.1f} s)\n{answer['release']}")

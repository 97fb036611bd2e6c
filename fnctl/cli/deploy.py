"""`fnctl deploy`, `rollback` and `promote`: switch the running service to another version of its release."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from fnctl.cli import output
from fnctl.cli.not_running import not_running
from fnctl.cli.options import Format, FormatOption, duration, project_paths
from fnctl.control import client
from fnctl.errors import UsageError


def deploy(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="REGISTRY/REPO:TAG, REPO@sha256:… or FILE.tar.")],
    probe: Annotated[
        str,
        typer.Option(
            "--probe", metavar="PATH", help="Health check for changed functions without `health`: GET this path."
        ),
    ] = "",
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="ALIAS", help="Point this alias to the release; other calls are served as before."
        ),
    ] = "",
    canary: Annotated[
        str,
        typer.Option(
            "--canary", metavar="PERCENT", help="Send this share of calls to the new version first, such as 10%."
        ),
    ] = "",
    lasting: Annotated[
        str,
        typer.Option("--for", metavar="DURATION", help="Length of the canary (default: 5m; with --calls: no limit)."),
    ] = "",
    calls: Annotated[
        int | None, typer.Option("--calls", metavar="N", min=1, help="End the canary after N calls to the new version.")
    ] = None,
    max_errors: Annotated[
        float,
        typer.Option(
            "--max-errors", metavar="PERCENT", min=0, help="Abort if this many percent more calls fail than before."
        ),
    ] = 1.0,
    max_slower: Annotated[
        float,
        typer.Option(
            "--max-slower", metavar="TIMES", min=1, help="Abort if p99 is more than this many times the old one."
        ),
    ] = 1.5,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for the switch.")
    ] = "20m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Switch the running service to another release. Run it in the folder of the service.

    Downloads and checks the release, loads an instance of each changed function, and checks its `health`. Then switches
    all functions at once. Requests in flight finish on the old version. If anything fails, the old version keeps
    serving.

    With --canary, a share of the calls goes to the new version first. More errors or a higher p99 than the old version
    abort the canary at once; otherwise the new version takes over at its end. `fnctl rollback` aborts it, too.

    \b
    Examples:
      fnctl deploy registry.example.org/team/shop:1.5
      fnctl deploy registry.example.org/team/shop:1.5 --to next
      fnctl deploy registry.example.org/team/shop:1.5 --canary 10% --for 2m
      fnctl rollback
    """
    from fnctl.registry import reference

    if not release.endswith(".tar"):
        reference.parse(release)
    else:
        from pathlib import Path

        release = str(Path(release).absolute())
    if probe and not probe.startswith("/"):
        raise UsageError(f"--probe cannot be `{probe[:20]}`", hint="a path, such as /health")
    asked: dict[str, object] = {"release": release, "probe": probe, "to": to}
    wait_s = duration("--timeout", timeout)
    if canary:
        if to:
            raise UsageError(
                "--canary and --to cannot be used together",
                hint="--canary tries a version for all calls, --to names one",
            )
        for_s = duration("--for", lasting or "5m") if lasting or calls is None else None
        asked |= {"canary": percent(canary), "errors": max_errors / 100, "slower": max_slower}
        asked |= {key: value for key, value in (("for", for_s), ("calls", calls)) if value is not None}
        wait_s += for_s or 0.0
    elif lasting or calls is not None:
        raise UsageError("--for and --calls need --canary", hint="add --canary 10%")
    _change(f"/v1/deploy?{urlencode(asked)}", wait_s, form)


def percent(text: str) -> float:
    """The share, between 0 and 1. UsageError for anything else."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(f"--canary {text[:20]}: not a percentage between 0 and 100", hint="try --canary 10%")
    return share


def rollback(
    to: Annotated[
        int | None, typer.Option("--to", metavar="N", min=1, help="Version to go back to (default: the one before).")
    ] = None,
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for the switch.")
    ] = "5m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Switch the running service back to an earlier version. Builds and downloads nothing.

    The version before the current one is still loaded: it takes over at once.

    \b
    Examples:
      fnctl rollback
      fnctl rollback --to 3
    """
    _change(f"/v1/rollback?{urlencode({'to': to} if to else {})}", duration("--timeout", timeout), form)


def promote(
    word: Annotated[
        str, typer.Argument(metavar="ALIAS|VERSION", help="Alias or version to serve calls without an alias.")
    ],
    timeout: Annotated[
        str, typer.Option("--timeout", "-t", metavar="DURATION", help="How long to wait for the switch.")
    ] = "5m",
    form: FormatOption = Format.TEXT,
) -> None:
    """Let the version of an alias serve all calls without an alias, too.

    If the alias splits calls between versions, the one with the largest weight is used.

    \b
    Examples:
      fnctl promote next
      fnctl promote 8
    """
    _change(f"/v1/promote?{urlencode({'from': word})}", duration("--timeout", timeout), form)


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
